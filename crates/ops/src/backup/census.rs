//! How many rows there are, and a hash over them, for each table and domain.
//!
//! The hash of a row is PostgreSQL's 64-bit `hash_record_extended` over its columns; that of a cell is the sum over its rows,
//! so that no order is needed, and with the count next to it a row cannot hide. Columns whose type calls values equal that
//! are written differently (1.0 and 1.00) or that cannot be hashed go in as text. A row that changed goes unseen once in
//! 2^64; this finds faults, not forgers: against those there is SHA-256 over the files.

use std::collections::BTreeMap;

use tokio_postgres::Client;
use uuid::Uuid;

use super::BackupError;
use super::progress::Counter;

/// Types of which equal values are the same bytes. `text` only under a deterministic collation.
pub(super) const EXACT: &str = "'bool', 'int2', 'int4', 'int8', 'uuid', 'timestamptz', 'timestamp', 'date', 'time', 'bytea', 'inet', 'cidr', 'oid', \
                     'char', 'name', 'text', 'varchar'";

/// Rows of one table in one domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub rows: u64,
    /// Sum of the rows' hashes; 2^64 rows would be needed to leave the range.
    pub hash: i128,
}

impl Cell {
    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.hash = self.hash.wrapping_add(other.hash);
    }
}

/// The cells of one table. A table without `domain_id` has one, under no domain.
pub(super) type TableCells = BTreeMap<Option<Uuid>, Cell>;

/// All cells, by table: `schema.table`, quoted where needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub tables: BTreeMap<String, TableCells>,
}

impl Census {
    /// Sum over a table.
    pub fn total(cells: &TableCells) -> Cell {
        let mut total = Cell::default();
        for cell in cells.values() {
            total.add(*cell);
        }
        total
    }

    /// How many cells there are.
    pub fn cells(&self) -> u64 {
        self.tables.values().map(|cells| cells.len() as u64).sum()
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.tables.values().map(|cells| Self::total(cells).rows).sum()
    }
}

/// Counts and hashes everything that the client sees: in its transaction's snapshot, where it is in one. The counter counts
/// tables.
pub(super) async fn take(client: &Client, tables_done: &Counter) -> Result<Census, BackupError> {
    let mut census = Census::default();
    for (name, query, by_domain) in queries(client).await? {
        let mut cells = TableCells::new();
        for row in client.query(&query, &[]).await? {
            let hash: String = row.get(2);
            let cell = Cell {
                rows: u64::try_from(row.get::<_, i64>(1)).unwrap_or_default(),
                hash: hash
                    .parse()
                    .map_err(|error| BackupError::Failed(format!("the hash {hash} of {name}: {error}")))?,
            };
            cells.insert(row.get(0), cell);
        }
        // An empty table without domains has a cell all the same: it is one that was looked at.
        if !by_domain {
            cells.entry(None).or_default();
        }
        census.tables.insert(name, cells);
        tables_done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    Ok(census)
}

/// For each table its name, the query, and whether it has domains. Partitions are read through the table that they are of.
async fn queries(client: &Client) -> Result<Vec<(String, String, bool)>, BackupError> {
    let rows = client
        .query(
            &format!(
                "SELECT c.oid::regclass::text, c.relkind = 'p',
                        coalesce(bool_or(a.attname = 'domain_id' AND a.atttypid = 'uuid'::regtype), false),
                        coalesce(array_agg(format(CASE
                            WHEN t.typtype = 'e' OR (t.typname IN ({EXACT}) AND t.typnamespace = 'pg_catalog'::regnamespace
                                                     AND coalesce(l.collisdeterministic, true))
                            THEN '%I' ELSE '%I::text' END, a.attname) ORDER BY a.attnum) FILTER (WHERE a.attname IS NOT NULL), '{{}}')
                   FROM pg_class c
                   LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                   LEFT JOIN pg_type t ON t.oid = a.atttypid
                   LEFT JOIN pg_collation l ON l.oid = a.attcollation
                   JOIN pg_namespace n ON n.oid = c.relnamespace
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
        .map(|row| {
            let (name, partitioned, by_domain): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
            let columns: Vec<String> = row.get(3);
            let columns = columns.join(", ");
            let only = if partitioned { "" } else { "ONLY " };
            let (domain, group) = if by_domain {
                ("domain_id", " GROUP BY domain_id")
            } else {
                ("NULL::uuid", "")
            };
            let query = format!(
                "SELECT {domain}, count(*), coalesce(sum(hash_record_extended(ROW({columns}), 0)), 0)::text FROM {only}{name}{group}"
            );
            (name, query, by_domain)
        })
        .collect())
}
