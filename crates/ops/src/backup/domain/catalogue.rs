//! Which tables hold a domain's rows, and how they refer to each other: always asked of the catalogue, never listed by hand.

use std::collections::{BTreeMap, BTreeSet};

use pg_catalog::quote_ident;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Client;
use uuid::Uuid;

use super::DomainError;

/// Types of which equal values are the same bytes. `text` only under a deterministic collation.
const EXACT: &str = "'bool', 'int2', 'int4', 'int8', 'uuid', 'timestamptz', 'timestamp', 'date', 'time', 'bytea', 'inet', 'cidr', 'oid', \
                     'char', 'name', 'text', 'varchar'";

/// What may stand in a column, as far as ids are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Uuid,
    Uuids,
    Json,
    Other,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: String,
    pub sql_type: String,
    pub not_null: bool,
    /// Computed by PostgreSQL; never carried.
    pub generated: bool,
    pub holds: Holds,
    /// Whether equal values are always written alike, so that the value itself can be hashed.
    exact: bool,
    /// Sequence that numbers it, quoted where needed.
    pub sequence: Option<String>,
    /// It refers to a table that is left out, and need not: nothing stands in it.
    emptied: bool,
}

impl Column {
    /// Its value, as it is carried.
    pub fn value(&self) -> String {
        if self.emptied {
            format!("NULL::{}", self.sql_type)
        } else {
            quote_ident(&self.name).into_owned()
        }
    }

    /// The same of a table that is called so.
    pub fn value_of(&self, alias: &str) -> String {
        if self.emptied {
            self.value()
        } else {
            format!("{alias}.{}", quote_ident(&self.name))
        }
    }
}

/// A foreign key.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub columns: Vec<String>,
    /// `schema.table`, quoted where needed.
    pub to: String,
}

/// A table with rows of domains.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// `schema.table`, quoted where needed.
    pub name: String,
    pub partitioned: bool,
    /// `domain_id`, and `id` of the table `domains` itself.
    pub key: &'static str,
    /// In the order of their names: that of two databases with the same migrations may differ otherwise.
    pub columns: Vec<Column>,
    pub primary_key: Vec<String>,
    pub references: Vec<Reference>,
}

/// All of them, those that others refer to first.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub tables: Vec<Table>,
    /// SHA-256 over names, columns, keys and foreign keys; partitions, indexes and tables of no domain leave it as it is.
    pub fingerprint: String,
}

impl Table {
    /// As it stands behind FROM. Partitions are read through the table that they are of.
    pub fn from(&self) -> String {
        if self.partitioned {
            self.name.clone()
        } else {
            format!("ONLY {}", self.name)
        }
    }

    /// Whether it is the table of domains.
    pub fn is_domains(&self) -> bool {
        self.key == "id"
    }

    /// The columns that are carried.
    pub fn carried(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.generated)
    }

    /// Names of the columns that are carried.
    pub fn column_names(&self) -> Vec<String> {
        self.carried().map(|column| column.name.clone()).collect()
    }

    /// The same, quoted, with commas.
    pub fn column_list(&self) -> String {
        let names: Vec<_> = self.carried().map(|column| quote_ident(&column.name)).collect();
        names.join(", ")
    }

    /// Their values, as they are carried.
    pub fn values(&self) -> String {
        let values: Vec<String> = self.carried().map(Column::value).collect();
        values.join(", ")
    }

    /// Its rows of a domain, as a condition.
    pub fn of(&self, domain: Uuid) -> String {
        format!("{} = '{domain}'", self.key)
    }

    /// Count and hash, as a select list. The hash is that of backups: docs/BACKUPS.md.
    pub fn census(&self) -> String {
        let columns: Vec<String> = self
            .carried()
            .map(|column| {
                let cast = if column.exact { "" } else { "::text" };
                format!("{}{cast}", column.value())
            })
            .collect();
        format!(
            "count(*), coalesce(sum(hash_record_extended(ROW({}), 0)), 0)::text",
            columns.join(", ")
        )
    }

    /// Whether the column is part of a foreign key.
    pub fn refers_by(&self, column: &str) -> bool {
        self.references
            .iter()
            .any(|reference| reference.columns.iter().any(|of| of == column))
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

const TABLES: &str = "SELECT c.oid, c.oid::regclass::text, c.relkind = 'p', c.oid = to_regclass('public.domains')
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
       AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
       AND (c.oid = to_regclass('public.domains')
            OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'domain_id'
                                                    AND a.atttypid = 'uuid'::regtype AND NOT a.attisdropped))";

const CONSTRAINTS: &str = "SELECT k.conrelid, k.contype::text, k.conname::text, pg_get_constraintdef(k.oid), k.confrelid,
           coalesce(k.confrelid::regclass::text, ''),
           (SELECT array_agg(a.attname::text ORDER BY n.at) FROM unnest(k.conkey) WITH ORDINALITY n (attnum, at)
              JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.attnum)
      FROM pg_constraint k WHERE k.conrelid = ANY ($1) AND k.contype IN ('p', 'u', 'f') AND k.conparentid = 0 ORDER BY 1, 2, 3";

impl Tables {
    /// Reads them inside of the client's transaction, where it is in one. The client's search path has to be empty.
    pub async fn read(client: &Client) -> Result<Self, DomainError> {
        let mut tables: BTreeMap<u32, Table> = BTreeMap::new();
        for row in client.query(TABLES, &[]).await? {
            let table = Table {
                name: row.get(1),
                partitioned: row.get(2),
                key: if row.get(3) { "id" } else { "domain_id" },
                columns: Vec::new(),
                primary_key: Vec::new(),
                references: Vec::new(),
            };
            tables.insert(row.get(0), table);
        }
        if !tables.values().any(Table::is_domains) {
            return Err(DomainError::failed(
                "there is no table public.domains in this database",
            ));
        }
        let oids: Vec<u32> = tables.keys().copied().collect();
        let columns = format!(
            "SELECT a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated <> '',
                    CASE a.atttypid WHEN 'uuid'::regtype THEN 1 WHEN 'uuid[]'::regtype THEN 2 WHEN 'jsonb'::regtype THEN 3
                                    WHEN 'json'::regtype THEN 3 ELSE 0 END,
                    t.typtype = 'e' OR (t.typname IN ({EXACT}) AND t.typnamespace = 'pg_catalog'::regnamespace
                                        AND coalesce(l.collisdeterministic, true)),
                    pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)
               FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation l ON l.oid = a.attcollation
              WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
              ORDER BY a.attrelid, a.attname COLLATE \"C\""
        );
        for row in client.query(&columns, &[&oids]).await? {
            let holds = match row.get(5) {
                1 => Holds::Uuid,
                2 => Holds::Uuids,
                3 => Holds::Json,
                _ => Holds::Other,
            };
            if let Some(table) = tables.get_mut(&row.get(0)) {
                table.columns.push(Column {
                    name: row.get(1),
                    sql_type: row.get(2),
                    not_null: row.get(3),
                    generated: row.get(4),
                    holds,
                    exact: row.get(6),
                    sequence: row.get(7),
                    emptied: false,
                });
            }
        }
        let mut definitions: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for row in client.query(CONSTRAINTS, &[&oids]).await? {
            let (oid, kind, other): (u32, String, u32) = (row.get(0), row.get(1), row.get(4));
            let columns: Vec<String> = row.get(6);
            definitions.entry(oid).or_default().push(row.get(3));
            let known = tables.contains_key(&other);
            let Some(table) = tables.get_mut(&oid) else {
                continue;
            };
            if kind == "p" {
                table.primary_key = columns;
            } else if kind == "f" && known {
                table.references.push(Reference {
                    columns,
                    to: row.get(5),
                });
            }
        }
        let mut described: Vec<String> = tables
            .iter()
            .map(|(oid, table)| {
                let mut constraints = definitions.remove(oid).unwrap_or_default();
                constraints.sort();
                let columns = table.columns.iter().map(|column| {
                    format!(
                        "  {} {} {} {}",
                        column.name, column.sql_type, column.not_null, column.generated
                    )
                });
                let columns: Vec<String> = columns.collect();
                format!(
                    "{}\n{}\n  {}",
                    table.name,
                    columns.join("\n"),
                    constraints.join("\n  ")
                )
            })
            .collect();
        described.sort();
        Ok(Self {
            tables: in_order(tables.into_values().collect())?,
            fingerprint: hex::encode(Sha256::digest(described.join("\n"))),
        })
    }

    /// Takes tables out, and those that cannot be without them. Returns the names of all that are gone.
    pub fn leave_out(&mut self, leave: impl Fn(&Table) -> bool) -> BTreeSet<String> {
        let mut gone = BTreeSet::new();
        // Those that others refer to come first: one round is enough.
        for table in &self.tables {
            let needs = |reference: &Reference| {
                gone.contains(&reference.to)
                    && reference.columns.iter().all(|name| {
                        table
                            .column(name)
                            .is_none_or(|column| column.not_null || column.name == table.key)
                    })
            };
            let lost = table.references.iter().any(needs);
            if leave(table) || lost {
                gone.insert(table.name.clone());
            }
        }
        self.tables.retain(|table| !gone.contains(&table.name));
        for table in &mut self.tables {
            let lost: BTreeSet<String> = table
                .references
                .iter()
                .filter(|reference| gone.contains(&reference.to))
                .flat_map(|reference| reference.columns.clone())
                .collect();
            for column in &mut table.columns {
                column.emptied = !column.not_null && lost.contains(&column.name);
            }
        }
        gone
    }
}

/// Sorted so that a table comes behind those that it refers to. Its own rows may refer to each other.
fn in_order(mut left: Vec<Table>) -> Result<Vec<Table>, DomainError> {
    left.sort_by(|a, b| a.name.cmp(&b.name));
    let mut done: Vec<Table> = Vec::new();
    while !left.is_empty() {
        let waiting: BTreeSet<String> = left.iter().map(|table| table.name.clone()).collect();
        let (ready, rest): (Vec<Table>, Vec<Table>) = left.into_iter().partition(|table| {
            let mut others = table.references.iter().map(|reference| &reference.to);
            others.all(|other| *other == table.name || !waiting.contains(other))
        });
        if ready.is_empty() {
            let names: Vec<String> = rest.into_iter().map(|table| table.name).collect();
            return Err(DomainError::failed(format!(
                "these tables refer to each other in a circle, so that none can be filled before the others: {}",
                names.join(", ")
            )));
        }
        done.extend(ready);
        left = rest;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, to: &[(&str, bool)]) -> Table {
        let column = |name: &str, not_null| Column {
            name: name.to_owned(),
            sql_type: "uuid".to_owned(),
            not_null,
            generated: false,
            holds: Holds::Uuid,
            exact: true,
            sequence: None,
            emptied: false,
        };
        Table {
            name: name.to_owned(),
            partitioned: false,
            key: "domain_id",
            columns: to
                .iter()
                .map(|(to, not_null)| column(to, *not_null))
                .chain([column("domain_id", true)])
                .collect(),
            primary_key: Vec::new(),
            references: to
                .iter()
                .map(|(to, _)| Reference {
                    columns: vec!["domain_id".to_owned(), (*to).to_owned()],
                    to: (*to).to_owned(),
                })
                .collect(),
        }
    }

    #[test]
    fn those_that_others_refer_to_come_first_and_circles_are_named() {
        let names = |tables: &[Table]| tables.iter().map(|table| table.name.clone()).collect::<Vec<_>>();
        let tables = vec![
            table("a", &[("b", true), ("a", false)]),
            table("b", &[("c", false)]),
            table("c", &[]),
        ];
        let tables = in_order(tables).unwrap();
        assert_eq!(names(&tables), ["c", "b", "a"]);
        let error = in_order(vec![table("a", &[("b", true)]), table("b", &[("a", true)])]).unwrap_err();
        assert!(error.to_string().contains("a, b"), "{error}");

        // What must refer to a table that is left out goes with it; what may, stays.
        let mut all = Tables {
            tables,
            fingerprint: String::new(),
        };
        let gone = all.leave_out(|table| table.name == "b");
        assert_eq!(gone, ["a".to_owned(), "b".to_owned()].into());
        let mut all = Tables {
            tables: in_order(vec![table("b", &[("c", false)]), table("c", &[])]).unwrap(),
            fingerprint: String::new(),
        };
        assert_eq!(all.leave_out(|table| table.name == "c").len(), 1);
        assert_eq!(names(&all.tables), ["b"]);
        assert_eq!(all.tables[0].values(), "NULL::uuid, domain_id");
    }
}
