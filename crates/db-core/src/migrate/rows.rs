//! The rows of a database, and whether others are what they were.

use std::collections::{BTreeMap, BTreeSet};

use pg_catalog::{Catalog, QualifiedName};
use tokio_postgres::Client;

use super::seed::unforced;

/// Rows of one table, each value as text.
#[derive(Clone, Debug, Default)]
struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

/// All rows of all tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows(BTreeMap<QualifiedName, Table>);

impl Rows {
    /// Reads them, as the owner of the tables.
    pub(super) async fn read(client: &Client, catalog: &Catalog) -> Result<Self, tokio_postgres::Error> {
        client.batch_execute("BEGIN").await?;
        unforced(client, catalog).await?;
        let mut all = BTreeMap::new();
        for (name, table) in &catalog.tables {
            // What a partition has is read through its parent.
            if table.partition_of.is_some() || table.columns.is_empty() {
                continue;
            }
            let columns: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
            let values: Vec<String> = columns
                .iter()
                .map(|column| format!("{}::text", pg_catalog::quote_ident(column)))
                .collect();
            let sql = format!("SELECT ARRAY[{}] FROM ONLY {name}", values.join(", "));
            let sql = if table.partition_key.is_some() {
                sql.replace("FROM ONLY", "FROM")
            } else {
                sql
            };
            let rows = client.query(&sql, &[]).await?;
            let rows = rows.iter().map(|row| row.get(0)).collect();
            all.insert(name.clone(), Table { columns, rows });
        }
        client.batch_execute("ROLLBACK").await?;
        Ok(Self(all))
    }

    /// What became of these rows, as far as tables and columns are there still. One line for each table that was harmed, but for
    /// those that `may_change`.
    pub(super) fn harmed(&self, now: &Self, may_change: &BTreeSet<String>) -> Vec<String> {
        let mut harmed = Vec::new();
        for (name, before) in &self.0 {
            let Some(after) = now.0.get(name) else { continue };
            if may_change.contains(&name.name) {
                continue;
            }
            if before.rows.len() != after.rows.len() {
                harmed.push(format!(
                    "table {name} had {} rows, and has {}",
                    before.rows.len(),
                    after.rows.len()
                ));
                continue;
            }
            let common: Vec<&str> = before
                .columns
                .iter()
                .filter(|column| after.columns.contains(column))
                .map(String::as_str)
                .collect();
            if before.project(&common) == after.project(&common) {
                continue;
            }
            let others: Vec<&str> = common
                .iter()
                .copied()
                .filter(|column| before.project(&[column]) != after.project(&[column]))
                .collect();
            harmed.push(if others.is_empty() {
                format!("table {name}: values have moved from one row to another")
            } else {
                format!("table {name}: the values of {} are others", others.join(", "))
            });
        }
        harmed
    }
}

impl Table {
    /// The values of these columns, rows in order.
    fn project(&self, columns: &[&str]) -> Vec<Vec<Option<&str>>> {
        let places: Vec<Option<usize>> = columns
            .iter()
            .map(|column| self.columns.iter().position(|own| own == column))
            .collect();
        let mut rows: Vec<Vec<Option<&str>>> = self
            .rows
            .iter()
            .map(|row| {
                let value = |place: &Option<usize>| place.and_then(|place| row.get(place)?.as_deref());
                places.iter().map(value).collect()
            })
            .collect();
        rows.sort_unstable();
        rows
    }
}
