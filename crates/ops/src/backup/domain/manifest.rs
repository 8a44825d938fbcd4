//! What an archive says of itself, and what is known of the installation that it comes from.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use pg_catalog::quote_ident;
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;
use uuid::Uuid;

use super::DomainError;
use super::catalogue::{Table, Tables};

/// Name of the manifest's file.
pub(super) const FILE: &str = "manifest.json";

/// A domain by id and names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainName {
    pub id: Uuid,
    /// Short name used at sign-in.
    pub slug: String,
    /// Name shown to people.
    pub name: String,
}

/// Rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableRows {
    /// `schema.table`, quoted where needed.
    pub name: String,
    /// As the file has them.
    pub columns: Vec<String>,
    pub rows: u64,
    /// Sum of the rows' hashes; `docs/BACKUPS.md` says which hash.
    pub hash: String,
    /// File with the rows; `None` where there are none.
    pub file: Option<String>,
}

/// What an archive says of itself. Holds no secret, and of the domain no more than its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Rises when an older program could not read the archive any more.
    pub format: u32,
    pub domain: DomainName,
    pub plinth_version: String,
    /// The moment that the archive shows, by the server's clock.
    pub snapshot_at: DateTime<Utc>,
    /// The backup that it was taken from; `None` for the living database.
    pub backup: Option<String>,
    pub server_version: String,
    /// Versions of the applied migrations, oldest first.
    pub migrations: Vec<String>,
    /// Of the tables that hold rows of domains.
    pub fingerprint: String,
    /// When the installation was set up: which one it is.
    pub installation: Option<DateTime<Utc>>,
    /// Fingerprints of the encryption keys that the installation remembers.
    pub key_fingerprints: Vec<String>,
    /// Ids of the encryption keys that rows of the domain name.
    pub key_ids: Vec<String>,
    /// age recipients that the files are encrypted for.
    pub recipients: Vec<String>,
    /// Tables of which nothing is carried.
    pub left_out: Vec<String>,
    /// In the order in which they can be filled.
    pub tables: Vec<TableRows>,
    pub rows: u64,
}

impl Manifest {
    pub(super) const FORMAT: u32 = 1;
}

/// The installation that a database belongs to.
#[derive(Clone, Debug)]
pub(super) struct Installation {
    pub set_up_at: Option<DateTime<Utc>>,
    pub key_fingerprints: Vec<String>,
    pub migrations: Vec<String>,
}

impl Installation {
    /// As the login, who owns the history of migrations.
    pub async fn read(client: &Client) -> Result<Self, DomainError> {
        let row = client
            .query_opt("SELECT set_up_at, key_fingerprints FROM public.installation", &[])
            .await?;
        let (set_up_at, key_fingerprints) = row.map_or_else(Default::default, |row| {
            (row.get::<_, Option<DateTime<Utc>>>(0), row.get(1))
        });
        let rows = client
            .query(
                "SELECT version::text FROM public.__diesel_schema_migrations ORDER BY version",
                &[],
            )
            .await?;
        Ok(Self {
            set_up_at,
            key_fingerprints,
            migrations: rows.iter().map(|row| row.get(0)).collect(),
        })
    }
}

/// Ids of the encryption keys that rows of a domain name.
pub(super) async fn key_ids(
    client: &Client,
    tables: &Tables,
    domain: Uuid,
) -> Result<Vec<String>, DomainError> {
    let mut ids = BTreeSet::new();
    for table in &tables.tables {
        for column in key_columns(table) {
            let column = quote_ident(column);
            let sql = format!(
                "SELECT DISTINCT {column} FROM {} WHERE {} AND {column} IS NOT NULL",
                table.from(),
                table.of(domain)
            );
            let rows = client.query(&sql, &[]).await?;
            ids.extend(rows.iter().map(|row| row.get::<_, String>(0)));
        }
    }
    Ok(ids.into_iter().collect())
}

/// Columns with ids of encryption keys: `key_id`, or what ends with `_key_id`, as db-core's `EncryptedColumn` has them.
pub(super) fn key_columns(table: &Table) -> impl Iterator<Item = &str> {
    table
        .columns
        .iter()
        .filter(|column| {
            column.sql_type == "text" && (column.name == "key_id" || column.name.ends_with("_key_id"))
        })
        .map(|column| column.name.as_str())
}

/// A domain by slug, or by id.
pub(super) async fn find(
    client: &Client,
    slug_or_id: &str,
) -> Result<Option<(DomainName, String)>, DomainError> {
    let row = client
        .query_opt(
            "SELECT id, slug, name, status FROM public.domains WHERE slug = $1 OR id::text = lower($1) ORDER BY slug <> $1 LIMIT 1",
            &[&slug_or_id],
        )
        .await?;
    Ok(row.map(|row| {
        (
            DomainName {
                id: row.get(0),
                slug: row.get(1),
                name: row.get(2),
            },
            row.get(3),
        )
    }))
}
