//! Connections of the owner, for long work, and what such a connection may see.

use app_config::DatabaseAddress;
use chrono::{DateTime, Utc};
use pg_connect::Connector;
use tokio_postgres::Client;

use super::BackupError;
use crate::program::{NAME, Program};

/// What `pg_stat_activity` shows of the connection that keeps a scratch database from being swept away.
pub(super) const KEEPER: &str = "plinth-ops keeper";

/// Connects as the owner, to another database than the configured one where `address` says so.
///
/// # Errors
/// It cannot be reached, or refuses.
pub(super) async fn connect(program: &Program, address: &DatabaseAddress) -> Result<Client, BackupError> {
    connect_as(program, address, NAME).await
}

/// As [`connect`], under another name in `pg_stat_activity`.
pub(super) async fn connect_as(
    program: &Program,
    address: &DatabaseAddress,
    name: &str,
) -> Result<Client, BackupError> {
    let options = db_core::connect_options(&program.config.database, name);
    let client = Connector::new(address, options)?.client().await?;
    // Long work, whatever is set for the role or the database; and text that reads the same everywhere, because it is hashed.
    client
        .batch_execute(
            "SET client_min_messages = warning;
             SELECT set_config(name, '0', false) FROM pg_settings
              WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout',
                             'transaction_timeout');
             SET search_path = ''; SET DateStyle = ISO, YMD; SET IntervalStyle = postgres; SET TimeZone = 'UTC';
             SET extra_float_digits = 1; SET bytea_output = hex; SET xmloption = content; SET quote_all_identifiers = off",
        )
        .await?;
    // Not every system that PostgreSQL runs on can do this.
    let _ = client
        .batch_execute("SET client_connection_check_interval = '500ms'")
        .await;
    Ok(client)
}

/// The address of another database of the same server.
pub(super) fn beside(address: &DatabaseAddress, database: &str) -> DatabaseAddress {
    DatabaseAddress {
        database: database.to_owned(),
        ..address.clone()
    }
}

/// A server, as far as it matters here.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// `15.18 (Debian …)`
    pub version: String,
    pub version_num: i32,
    pub now: DateTime<Utc>,
}

impl Server {
    pub async fn of(client: &Client) -> Result<Self, BackupError> {
        let row = client
            .query_one(
                "SELECT current_setting('server_version'), current_setting('server_version_num')::int, clock_timestamp()",
                &[],
            )
            .await?;
        Ok(Self {
            version: row.get(0),
            version_num: row.get(1),
            now: row.get(2),
        })
    }

    pub fn major(&self) -> u32 {
        u32::try_from(self.version_num / 10_000).unwrap_or_default()
    }
}

/// What row level security lets the login see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It is not held by row level security.
    Bypasses,
    /// By policies that show everything, of every table by its own name: partitions are seen through the table that they are of.
    ByPolicies,
}

/// Finds out what the login sees. A filtered dump looks like a good one: so each table is asked for a policy that shows every
/// row to the login, and for one that takes some away.
///
/// # Errors
/// Some rows would be missing: says of which table.
pub(super) async fn sight(client: &Client) -> Result<Sight, BackupError> {
    let row = client
        .query_one(
            "SELECT rolsuper OR rolbypassrls, rolname::text FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await?;
    if row.get(0) {
        return Ok(Sight::Bypasses);
    }
    let login: String = row.get(1);
    let filtered = hidden(client).await?;
    if !filtered.is_empty() {
        return Err(BackupError::Failed(format!(
            "row level security hides rows from the login {login}, in {}: a backup would be without them; as an administrator, \
             GRANT plinth_system TO {login} (WITH INHERIT TRUE from PostgreSQL 16 on), or give it BYPASSRLS",
            filtered.join(", ")
        )));
    }
    Ok(Sight::ByPolicies)
}

/// Tables, `schema.table`, of which the role in use may not see every row; none for one that row level security does not hold.
pub(super) async fn hidden(client: &Client) -> Result<Vec<String>, BackupError> {
    let rows = client
        .query(
            "WITH held AS (
                 SELECT c.oid, c.relispartition FROM pg_class c
                  WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity
                    AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))),
             policies AS (
                 SELECT p.polrelid, p.polpermissive, pg_get_expr(p.polqual, p.polrelid) = 'true' AS all_rows FROM pg_policy p
                  WHERE p.polcmd IN ('*', 'r')
                    AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE r = 0 OR pg_has_role(r, 'USAGE')))
             SELECT h.oid::regclass::text FROM held h
              WHERE NOT h.relispartition
                AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
                AND (NOT EXISTS (SELECT FROM policies p WHERE p.polrelid = h.oid AND p.polpermissive AND p.all_rows)
                     OR EXISTS (SELECT FROM policies p WHERE p.polrelid = h.oid AND NOT p.polpermissive))
              ORDER BY 1",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
