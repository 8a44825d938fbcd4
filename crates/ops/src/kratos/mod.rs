//! Whether a database is what Ory Kratos' migrations make, and what is in it.
//!
//! `v26.2.0.json` says which versions, tables and columns a database has on which Kratos' migrations of that release (those in SQL; the
//! two in Go only fill rows) have run, in the order of its migrator. Its table of versions is `schema_migration`, and a version counts as
//! applied when it, or its first 14
//! digits, which older releases wrote, stands there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Error};

/// The release that docker-compose.yml runs.
const RELEASE: &str = include_str!("v26.2.0.json");
/// Digits of the versions that older releases wrote.
const LEGACY_DIGITS: usize = 14;

/// What a release's migrations make.
#[derive(Debug, Deserialize)]
pub struct Release {
    release: String,
    versions: Vec<String>,
    /// By table, by column: type, and NOT NULL.
    tables: BTreeMap<String, BTreeMap<String, String>>,
}

/// How a database stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Exactly what the migrations make.
    Ok,
    /// Kratos has not migrated it.
    NotMigrated,
    /// Migrations are missing: an older Kratos, or one that was broken off.
    Pending,
    /// A newer Kratos has migrated it; what this program knows is there.
    Newer,
    /// All migrations are applied, and the tables are others. With a newer Kratos: one that this program knows is missing, or a column.
    Differs,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Found {
    /// How it stands.
    pub standing: Standing,
    /// The release that it was compared with.
    pub release: String,
    /// How many migrations are applied.
    pub applied: usize,
    /// The newest of them.
    pub newest: Option<String>,
    /// Versions that the release has, and the database has not.
    pub pending: Vec<String>,
    /// Versions that the database has, and the release has not.
    pub unknown: Vec<String>,
    /// Tables and columns that are missing or others, one line each.
    pub differences: Vec<String>,
    /// Rows of each table, and of some of them by what they are.
    pub counts: BTreeMap<String, i64>,
}

impl Release {
    /// The one that this program knows.
    ///
    /// # Errors
    /// The embedded file is no JSON, which its test rules out.
    pub fn known() -> Result<Self, serde_json::Error> {
        serde_json::from_str(RELEASE)
    }

    /// Looks at a database; `schema` is the one that Kratos' tables are in.
    ///
    /// # Errors
    /// A statement fails: the login may not read the tables, say.
    pub async fn verify(&self, client: &Client, schema: &str) -> Result<Found, Error> {
        let tables = columns(client, schema).await?;
        let mut found = Found {
            standing: Standing::NotMigrated,
            release: self.release.clone(),
            applied: 0,
            newest: None,
            pending: Vec::new(),
            unknown: Vec::new(),
            differences: Vec::new(),
            counts: BTreeMap::new(),
        };
        if !tables
            .get("schema_migration")
            .is_some_and(|columns| columns.contains_key("version"))
        {
            return Ok(found);
        }
        client
            .execute(
                "SELECT set_config('search_path', quote_ident($1) || ', public', false)",
                &[&schema],
            )
            .await?;
        let rows = client
            .query("SELECT version::text FROM schema_migration", &[])
            .await?;
        let applied: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        self.versions(&mut found, &applied);
        let missing = self.tables(&mut found, &tables);
        found.standing = if !found.pending.is_empty() {
            Standing::Pending
        } else if missing {
            // No version, however new, makes good for it.
            Standing::Differs
        } else if !found.unknown.is_empty() {
            Standing::Newer
        } else if found.differences.is_empty() {
            Standing::Ok
        } else {
            Standing::Differs
        };
        found.counts = counts(client, &tables).await?;
        Ok(found)
    }

    fn versions(&self, found: &mut Found, applied: &BTreeSet<String>) {
        let legacy = |version: &str| version.get(..LEGACY_DIGITS).map(ToOwned::to_owned);
        found.applied = applied.len();
        found.newest = applied.last().cloned();
        found.pending = self
            .versions
            .iter()
            .filter(|version| {
                !applied.contains(*version)
                    && !legacy(version).is_some_and(|legacy| applied.contains(&legacy))
            })
            .cloned()
            .collect();
        let known: BTreeSet<String> = self
            .versions
            .iter()
            .flat_map(|version| [Some(version.clone()), legacy(version)])
            .flatten()
            .collect();
        found.unknown = applied.difference(&known).cloned().collect();
    }

    /// Compares tables and columns; whether any is missing.
    fn tables(&self, found: &mut Found, tables: &BTreeMap<String, BTreeMap<String, String>>) -> bool {
        let mut missing = false;
        for (table, wanted) in &self.tables {
            let Some(have) = tables.get(table) else {
                found.differences.push(format!("the table {table} is missing"));
                missing = true;
                continue;
            };
            for (column, kind) in wanted {
                match have.get(column) {
                    None => {
                        missing = true;
                        found
                            .differences
                            .push(format!("the column {table}.{column} is missing"));
                    }
                    Some(other) if other != kind => found.differences.push(format!(
                        "the column {table}.{column} is {other}, and should be {kind}"
                    )),
                    Some(_) => {}
                }
            }
            for column in have.keys().filter(|column| !wanted.contains_key(*column)) {
                found
                    .differences
                    .push(format!("the column {table}.{column} is none of Kratos'"));
            }
        }
        missing
    }
}

async fn columns(client: &Client, schema: &str) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
    let rows = client
        .query(
            "SELECT c.relname::text, a.attname::text,
                    format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
              WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped",
            &[&schema],
        )
        .await?;
    let mut tables: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for row in &rows {
        tables
            .entry(row.get(0))
            .or_default()
            .insert(row.get(1), row.get(2));
    }
    Ok(tables)
}

/// Those that tell something beside the number of rows: label, table and its columns, condition.
const SPECIAL: [(&str, &str, &[&str], &str); 5] = [
    ("identities, active", "identities", &["state"], "state = 'active'"),
    (
        "identity_verifiable_addresses, verified",
        "identity_verifiable_addresses",
        &["verified"],
        "verified",
    ),
    (
        "sessions, live",
        "sessions",
        &["active", "expires_at"],
        "active AND expires_at > clock_timestamp() AT TIME ZONE 'UTC'",
    ),
    (
        "courier_messages, queued",
        "courier_messages",
        &["status"],
        "status = 1",
    ),
    (
        "courier_messages, abandoned",
        "courier_messages",
        &["status"],
        "status = 4",
    ),
];

async fn counts(
    client: &Client,
    tables: &BTreeMap<String, BTreeMap<String, String>>,
) -> Result<BTreeMap<String, i64>, Error> {
    let mut counts = BTreeMap::new();
    for table in tables.keys() {
        let quoted = table.replace('"', "\"\"");
        let row = client
            .query_one(&format!("SELECT count(*) FROM \"{quoted}\""), &[])
            .await?;
        counts.insert(table.clone(), row.get(0));
    }
    for (label, table, columns, condition) in SPECIAL {
        let there = tables
            .get(table)
            .is_some_and(|have| columns.iter().all(|column| have.contains_key(*column)));
        if there {
            let sql = format!("SELECT count(*) FROM {table} WHERE {condition}");
            counts.insert(label.to_owned(), client.query_one(&sql, &[]).await?.get(0));
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_whole() {
        let release = Release::known().unwrap();
        assert_eq!(release.release, "v26.2.0");
        assert_eq!((release.versions.len(), release.tables.len()), (338, 26));
        assert!(release.versions.is_sorted(), "popx applies them in this order");
    }
}
