//! The tables whose rows a backup has in its rows files, and how each is read: always asked of the catalogue.

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use super::BackupError;

/// Blocks of a table that are read at a time: 64 MiB. Ranges of one table are read side by side.
const RANGE: i64 = 8192;

/// Types whose binary form is the same in every database, of every version: it has no oid in it that somebody else could have
/// another of. Arrays of them, and enums, which are sent by their labels, are as good.
const PORTABLE: &str = "'bool', 'int2', 'int4', 'int8', 'uuid', 'timestamptz', 'timestamp', 'date', 'time', 'timetz', 'interval', \
                        'bytea', 'inet', 'cidr', 'macaddr', 'oid', 'char', 'name', 'text', 'varchar', 'bpchar', 'float4', 'float8', \
                        'numeric', 'json', 'jsonb', 'bit', 'varbit'";

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// `COPY`'s binary format: less than half the work for the server.
    Binary,
    /// `COPY`'s text: for columns whose binary form means nothing to another database.
    Text,
}

impl Format {
    /// As `COPY` is told.
    pub fn option(self) -> &'static str {
        match self {
            Self::Binary => " (FORMAT binary)",
            Self::Text => "",
        }
    }
}

/// How a table's rows are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    /// Quoted where needed; `domain_id` first. What PostgreSQL computes is not among them.
    pub columns: Vec<String>,
    pub format: Format,
    /// Whether it has a column `domain_id` of type `uuid`.
    pub by_domain: bool,
}

/// A table of a database.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// `schema.table`, quoted where needed.
    pub name: String,
    pub shape: Shape,
    partitioned: bool,
    /// Of the table, or of its largest partition.
    blocks: i64,
}

/// Blocks `from..to` of a table; `None` is no bound, so that nothing depends on how many there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub table: usize,
    from: Option<i64>,
    to: Option<i64>,
}

impl Table {
    /// The query that writes a range of it. Partitions are read through the table that they are of: an owner who is held by row
    /// level security sees nothing of them by their own names.
    pub fn copy_out(&self, range: Range) -> String {
        let only = if self.partitioned { "" } else { "ONLY " };
        let bounds: Vec<String> = [(">=", range.from), ("<", range.to)]
            .into_iter()
            .filter_map(|(sign, block)| Some(format!("ctid {sign} '({},0)'::pg_catalog.tid", block?)))
            .collect();
        let bounds = if bounds.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", bounds.join(" AND "))
        };
        format!(
            "COPY (SELECT {} FROM {only}{}{bounds}) TO STDOUT{}",
            self.shape.columns.join(", "),
            self.name,
            self.shape.format.option()
        )
    }

    /// Its ranges, which together are all of it.
    fn ranges(&self, table: usize) -> impl Iterator<Item = Range> {
        let last = (self.blocks.max(1) - 1) / RANGE;
        (0..=last).map(move |number| Range {
            table,
            from: (number > 0).then_some(number * RANGE),
            to: (number < last).then_some((number + 1) * RANGE),
        })
    }
}

/// The statement that puts rows back.
pub(super) fn copy_in(table: &str, shape: &Shape) -> String {
    let columns = if shape.columns.is_empty() {
        String::new()
    } else {
        format!(" ({})", shape.columns.join(", "))
    };
    format!("COPY {table}{columns} FROM STDIN{}", shape.format.option())
}

/// Ranges of all tables, those of the largest first.
pub(super) fn ranges(tables: &[Table]) -> Vec<Range> {
    let mut order: Vec<(usize, &Table)> = tables.iter().enumerate().collect();
    order.sort_by_key(|(_, table)| std::cmp::Reverse(table.blocks));
    order
        .into_iter()
        .flat_map(|(index, table)| table.ranges(index))
        .collect()
}

/// All tables but those of extensions, as the client sees them: in its transaction's snapshot, where it is in one.
pub(super) async fn read(client: &Client) -> Result<Vec<Table>, BackupError> {
    let rows = client
        .query(
            &format!(
                "SELECT c.oid::regclass::text, c.relkind = 'p',
                        coalesce((SELECT max(pg_relation_size(p.relid)) FROM pg_partition_tree(c.oid) p WHERE p.isleaf), pg_relation_size(c.oid), 0)
                            / current_setting('block_size')::bigint,
                        coalesce(bool_or(a.attname = 'domain_id' AND a.atttypid = 'uuid'::regtype), false),
                        coalesce(bool_and(t.typtype = 'e' OR s.typnamespace = 'pg_catalog'::regnamespace AND s.typname IN ({PORTABLE})), true),
                        coalesce(array_agg(quote_ident(a.attname) ORDER BY a.attname <> 'domain_id', a.attnum)
                                     FILTER (WHERE a.attname IS NOT NULL), '{{}}')
                   FROM pg_class c
                   JOIN pg_namespace n ON n.oid = c.relnamespace
                   LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                   LEFT JOIN pg_type t ON t.oid = a.atttypid
                   LEFT JOIN pg_type s ON s.oid = CASE WHEN t.typcategory = 'A' AND t.typlen = -1 THEN t.typelem ELSE t.oid END
                  WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
                    AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
                    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
                  GROUP BY c.oid, c.relkind ORDER BY 1"
            ),
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Table {
            name: row.get(0),
            partitioned: row.get(1),
            blocks: row.get(2),
            shape: Shape {
                by_domain: row.get(3),
                format: if row.get(4) { Format::Binary } else { Format::Text },
                columns: row.get(5),
            },
        })
        .collect())
}

/// Names of the tables with their partitions, for pg_dump: it leaves their rows out.
pub(super) async fn with_partitions(client: &Client, tables: &[Table]) -> Result<Vec<String>, BackupError> {
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let rows = client
        .query(
            "SELECT t.name FROM unnest($1::text[]) t (name)
              UNION SELECT p.relid::regclass::text FROM unnest($1::text[]) t (name) CROSS JOIN LATERAL pg_partition_tree(t.name::regclass) p",
            &[&names],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_of_a_table_leave_nothing_out_and_have_nothing_twice() {
        let table = |blocks| Table {
            name: "public.cards".to_owned(),
            shape: Shape {
                columns: vec!["domain_id".to_owned(), "id".to_owned()],
                format: Format::Binary,
                by_domain: true,
            },
            partitioned: false,
            blocks,
        };
        for blocks in [0, 1, RANGE] {
            let queries: Vec<String> = table(blocks)
                .ranges(0)
                .map(|range| table(blocks).copy_out(range))
                .collect();
            assert_eq!(
                queries,
                ["COPY (SELECT domain_id, id FROM ONLY public.cards) TO STDOUT (FORMAT binary)"]
            );
        }
        let all = ranges(&[table(1), table(2 * RANGE + 1)]);
        let bounds: Vec<_> = all
            .iter()
            .map(|range| (range.table, range.from, range.to))
            .collect();
        assert_eq!(
            bounds,
            [
                (1, None, Some(RANGE)),
                (1, Some(RANGE), Some(2 * RANGE)),
                (1, Some(2 * RANGE), None),
                (0, None, None)
            ]
        );
        assert!(
            table(0)
                .copy_out(all[1])
                .contains("WHERE ctid >= '(8192,0)'::pg_catalog.tid AND ctid < '(16384,0)'")
        );
    }
}
