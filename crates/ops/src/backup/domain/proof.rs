//! That nothing of a domain is left: every table of the catalogue is read, partitions through the table that they are of, and in
//! it every column of type uuid.

use chrono::{DateTime, Utc};
use pg_catalog::quote_ident;
use serde::Serialize;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{DomainError, session};

/// Rows of a table in which the domain's id stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Of partitioned tables the partition.
    pub table: String,
    pub column: String,
    pub rows: i64,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows of {}, column {}", self.rows, self.table, self.column)
    }
}

/// What was read, and what was found.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    pub domain: Uuid,
    /// By the server's clock.
    pub proved_at: DateTime<Utc>,
    pub tables: usize,
    /// Partitions that were read with their tables.
    pub partitions: usize,
    pub columns: usize,
    /// What belongs to the domain. Nothing, if it is erased.
    pub left: Vec<Found>,
    /// What belongs to others and names it: the platform domain's activity stream says that it was made, and that it was erased.
    pub mentions: Vec<Found>,
}

/// A table that is looked into.
struct Looked {
    name: String,
    columns: Vec<String>,
    by_domain: bool,
    /// Whether it is read as plinth_system, because policies hide its rows from the login.
    by_policies: bool,
    partitions: i64,
}

const TABLES: &str = "SELECT c.oid::regclass::text,
           array_agg(a.attname::text ORDER BY a.attnum), bool_or(a.attname = 'domain_id'),
           c.relrowsecurity AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user),
           CASE WHEN c.relkind = 'p' THEN (SELECT count(*) FROM pg_partition_tree(c.oid) WHERE isleaf) ELSE 0 END
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 'uuid'::regtype
     WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND c.relpersistence <> 't'
       AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
     GROUP BY c.oid ORDER BY 1";

/// Walks the catalogue, in one snapshot.
///
/// # Errors
/// A table cannot be read: then nothing is proved.
pub(super) async fn prove(client: &Client, domain: Uuid) -> Result<Proof, DomainError> {
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    let rows = client.query(TABLES, &[]).await?;
    let mut tables: Vec<Looked> = rows
        .iter()
        .map(|row| Looked {
            name: row.get(0),
            columns: row.get(1),
            by_domain: row.get(2),
            by_policies: row.get(3),
            partitions: row.get(4),
        })
        .collect();
    // The role is taken on for the rest of the transaction.
    tables.sort_by_key(|table| table.by_policies);
    let row = client.query_one("SELECT clock_timestamp()", &[]).await?;
    let mut proof = Proof {
        domain,
        proved_at: row.get(0),
        tables: tables.len(),
        partitions: tables
            .iter()
            .map(|table| usize::try_from(table.partitions).unwrap_or_default())
            .sum(),
        columns: tables.iter().map(|table| table.columns.len()).sum(),
        left: Vec::new(),
        mentions: Vec::new(),
    };
    let mut as_system = false;
    for table in &tables {
        if table.by_policies && !as_system {
            client.batch_execute(session::AS_SYSTEM).await?;
            // What is hidden from it is not gone.
            let policies: Vec<&Looked> = tables.iter().filter(|table| table.by_policies).collect();
            session::require_sight(client, |name| policies.iter().any(|table| table.name == name)).await?;
            as_system = true;
        }
        look(client, table, &mut proof).await?;
    }
    client.batch_execute("COMMIT").await?;
    Ok(proof)
}

async fn look(client: &Client, table: &Looked, proof: &mut Proof) -> Result<(), DomainError> {
    let columns: Vec<_> = table.columns.iter().map(|column| quote_ident(column)).collect();
    let counts: Vec<String> = columns
        .iter()
        .map(|column| format!("count(*) FILTER (WHERE t.{column} = $1)"))
        .collect();
    let names: Vec<String> = columns.iter().map(|column| format!("t.{column}")).collect();
    let own = if table.by_domain {
        "t.domain_id IS NOT DISTINCT FROM $1"
    } else {
        "true"
    };
    let sql = format!(
        "SELECT t.tableoid::regclass::text, {own}, ARRAY[{}] FROM {} t WHERE $1 IN ({}) GROUP BY 1, 2 ORDER BY 1, 2",
        counts.join(", "),
        table.name,
        names.join(", "),
    );
    let rows = client.query(&sql, &[&proof.domain]).await.map_err(|error| {
        DomainError::failed(format!(
            "{} cannot be read, so that nothing is proved: {}",
            table.name,
            pg_connect::describe(&error)
        ))
    })?;
    for row in rows {
        let counts: Vec<i64> = row.get(2);
        let found = table
            .columns
            .iter()
            .zip(counts)
            .filter(|(_, rows)| *rows > 0)
            .map(|(column, rows)| Found {
                table: row.get(0),
                column: column.clone(),
                rows,
            });
        if row.get(1) {
            proof.left.extend(found);
        } else {
            proof.mentions.extend(found);
        }
    }
    Ok(())
}
