//! What has been applied: Diesel's history, and our ledger beside it.

use chrono::{DateTime, Utc};
use pg_catalog::quote_literal;
use serde::Serialize;
use tokio_postgres::Client;

use super::fingerprint::DRIFTED;
use super::journal::{self, HalfDone};
use super::session::LOCK_TIMEOUT;
use super::{Direction, MigrateError, Migration, lock};

/// Tables that the runner keeps for itself, in the schema that the login makes tables in.
pub const BOOKKEEPING: [&str; 3] = [
    "__diesel_schema_migrations",
    "plinth_migrations",
    "plinth_migration_statements",
];

/// Makes history and ledger when they are not there. Diesel's has exactly the form that its command line makes.
///
/// Whether it made the history.
pub(super) async fn prepare(client: &Client) -> Result<bool, MigrateError> {
    let row = client
        .query_one(
            "SELECT coalesce(to_regclass('__diesel_schema_migrations'), to_regclass('plinth_migrations')) IS NULL",
            &[],
        )
        .await?;
    client
        .batch_execute(
            "SET client_min_messages = warning;
             CREATE TABLE IF NOT EXISTS __diesel_schema_migrations (
                 version varchar(50) PRIMARY KEY NOT NULL,
                 run_on timestamp NOT NULL DEFAULT current_timestamp);
             CREATE TABLE IF NOT EXISTS plinth_migrations (
                 version text PRIMARY KEY,
                 name text NOT NULL,
                 checksum text NOT NULL,
                 applied_at timestamptz NOT NULL DEFAULT now(),
                 duration_ms bigint NOT NULL,
                 applied_by text NOT NULL,
                 plinth_version text NOT NULL,
                 schema_fingerprint text,
                 down_checksum text);
             ALTER TABLE plinth_migrations
                 ADD COLUMN IF NOT EXISTS schema_fingerprint text, ADD COLUMN IF NOT EXISTS down_checksum text;
             COMMENT ON TABLE plinth_migrations IS
                 'Ledger beside __diesel_schema_migrations: what exactly was applied, by whom, how long it took.';",
        )
        .await?;
    Ok(row.get(0))
}

/// Takes back what a run has made in a database that was new to it, when its first migration failed: the history, for as long as
/// nobody has written to it, and the extensions.
pub(super) async fn take_back(client: &Client, pid: i32, extensions: &[&str]) {
    let mut drops = "DROP TABLE plinth_migrations, __diesel_schema_migrations;".to_owned();
    for extension in extensions {
        drops.push_str(&format!(" DROP EXTENSION \"{extension}\";"));
    }
    // Through a pooler, the lock may have been lost: then the history may be somebody's.
    let sql = format!(
        "BEGIN; {}; SET LOCAL lock_timeout = {}; LOCK TABLE plinth_migrations, __diesel_schema_migrations;
         DO $back$ BEGIN
             IF NOT EXISTS (SELECT FROM plinth_migrations) AND NOT EXISTS (SELECT FROM __diesel_schema_migrations) THEN
                 {drops}
             END IF;
         END $back$; COMMIT",
        lock::check(pid),
        LOCK_TIMEOUT.as_millis(),
    );
    if let Err(error) = client.batch_execute(&sql).await {
        let _ = client.batch_execute("ROLLBACK").await;
        tracing::warn!(%error, "what was made before the first migration stays: the history's tables, and extensions");
    }
}

/// SQL that writes down that the migration is applied, or that it no longer is. For the end of the caller's transaction:
/// without a duration, that is how long it has been open. A ledger's line that the diesel command line left behind, which
/// knows nothing of ledgers, is written over.
pub(super) fn sql(
    migration: &Migration,
    direction: Direction,
    duration_ms: Option<i64>,
    drifted: bool,
) -> String {
    let version = quote_literal(&migration.version);
    match direction {
        Direction::Up => {
            let duration = duration_ms.map_or_else(
                || "extract(epoch FROM clock_timestamp() - transaction_timestamp()) * 1000".to_owned(),
                |duration| duration.to_string(),
            );
            format!(
                "INSERT INTO __diesel_schema_migrations (version) VALUES ({version});
                 INSERT INTO plinth_migrations
                     (version, name, checksum, down_checksum, duration_ms, applied_by, plinth_version, schema_fingerprint)
                 VALUES ({version}, {}, {}, {}, {duration}, session_user, {}, {})
                 ON CONFLICT (version) DO UPDATE
                    SET (name, checksum, down_checksum, applied_at, duration_ms, applied_by, plinth_version, schema_fingerprint)
                      = (excluded.name, excluded.checksum, excluded.down_checksum, excluded.applied_at, excluded.duration_ms,
                         excluded.applied_by, excluded.plinth_version, excluded.schema_fingerprint)",
                quote_literal(&migration.name),
                quote_literal(&migration.checksum()),
                quote_literal(&migration.down_checksum()),
                quote_literal(env!("CARGO_PKG_VERSION")),
                if drifted { quote_literal(DRIFTED) } else { "NULL".to_owned() },
            )
        }
        Direction::Down => format!(
            "DELETE FROM __diesel_schema_migrations WHERE version = {version};
             DELETE FROM plinth_migrations WHERE version = {version}"
        ),
    }
}

/// How one migration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Applied as it is.
    Applied,
    /// Not yet applied.
    Pending,
    /// Broken off between two of its statements, on the way there or back.
    HalfDone,
    /// Not yet applied, although a newer one is.
    OutOfOrder,
    /// Applied, and changed since.
    Edited,
    /// Applied, and not among ours.
    Unknown,
}

/// One line of the status.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Version, the digits of the timestamp.
    pub version: String,
    /// Name; empty for an unknown one that the ledger does not have.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// Where it was broken off, when it was.
    pub half_done: Option<HalfDone>,
    /// When it was applied.
    pub applied_at: Option<DateTime<Utc>>,
    /// How long it took, in milliseconds; unknown when another tool applied it.
    pub duration_ms: Option<i64>,
    /// Who applied it: the database role.
    pub applied_by: Option<String>,
    /// Checksum of what was applied.
    pub checksum: Option<String>,
    /// The tool that had applied it when the database was taken over: `diesel`, `golang-migrate`, `drizzle`.
    pub baselined_from: Option<String>,
    /// Checksum of what we have, when it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum_now: Option<String>,
    /// Whether its `down.sql` is another than when it was applied, which it may be: a way back that was found wrong is mended. False
    /// where nobody wrote down what it was.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub down_changed: bool,
    /// Checksum of the `down.sql` that was there when it was applied.
    #[serde(skip)]
    down_checksum: Option<String>,
}

impl Entry {
    /// Whether something is left to run before it is applied.
    pub fn is_due(&self) -> bool {
        matches!(self.state, State::Pending | State::OutOfOrder | State::HalfDone)
    }
}

/// All migrations of the database and of the program, by version.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// One line each.
    pub migrations: Vec<Entry>,
}

impl Status {
    /// Those that are not applied, or not wholly, oldest first.
    pub fn pending(&self) -> impl Iterator<Item = &Entry> {
        self.migrations.iter().filter(|entry| entry.is_due())
    }

    /// Whether the schema is exactly what the program wants.
    pub fn is_current(&self) -> bool {
        self.migrations.iter().all(|entry| entry.state == State::Applied)
    }

    pub(super) fn entry(&self, version: &str) -> Option<&Entry> {
        self.migrations.iter().find(|entry| entry.version == version)
    }

    /// The first thing that nothing may be done about without a person.
    ///
    /// # Errors
    /// An unknown, edited or late migration.
    pub fn check(&self) -> Result<(), MigrateError> {
        let newest = self
            .migrations
            .iter()
            .rev()
            .find(|entry| entry.applied_at.is_some())
            .map_or_else(String::new, |entry| entry.version.clone());
        // What was changed behind the program's back first: that cannot be mended by a new version.
        let mut entries: Vec<&Entry> = self.migrations.iter().collect();
        entries.sort_by_key(|entry| entry.state == State::OutOfOrder);
        for entry in entries {
            let (version, name) = (entry.version.clone(), entry.name.clone());
            match entry.state {
                State::Applied | State::Pending | State::HalfDone => {}
                State::Unknown => return Err(MigrateError::Unknown { version }),
                State::OutOfOrder => {
                    return Err(MigrateError::OutOfOrder {
                        version,
                        name,
                        newest,
                    });
                }
                State::Edited => {
                    return Err(MigrateError::Edited {
                        version,
                        name,
                        applied: entry.checksum.clone().unwrap_or_default(),
                        ours: entry.checksum_now.clone().unwrap_or_default(),
                    });
                }
            }
        }
        Ok(())
    }

    /// For those who need the schema and do not migrate: [`Self::check`], and nothing may be pending.
    ///
    /// # Errors
    /// An unknown, edited, late, half done or pending migration.
    pub fn require_current(&self) -> Result<(), MigrateError> {
        self.check()?;
        let pending: Vec<_> = self.pending().collect();
        let Some(first) = pending.first() else {
            return Ok(());
        };
        Err(match &first.half_done {
            Some(half) => half.error(first),
            None => MigrateError::Pending {
                count: pending.len(),
                first: format!("{}_{}", first.version, first.name),
            },
        })
    }
}

/// Reads how things stand. Tables that are not there mean that nothing is applied.
pub(super) async fn read(client: &Client, migrations: &[Migration]) -> Result<Status, MigrateError> {
    let there: bool = client
        .query_one(
            "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL",
            &[],
        )
        .await?
        .get(0);
    let mut entries: Vec<Entry> = if there { applied(client).await? } else { Vec::new() };
    let newest = entries
        .iter()
        .map(|entry| entry.version.clone())
        .max()
        .unwrap_or_default();
    for migration in migrations {
        if let Some(entry) = entries
            .iter_mut()
            .find(|entry| entry.version == migration.version)
        {
            migration.name.as_ref().clone_into(&mut entry.name);
            let ours = migration.checksum();
            let edited = entry.checksum.as_ref().is_some_and(|checksum| *checksum != ours);
            entry.state = if edited { State::Edited } else { State::Applied };
            entry.checksum_now = edited.then_some(ours);
            let then = entry.down_checksum.as_ref();
            entry.down_changed = then.is_some_and(|then| *then != migration.down_checksum());
        } else {
            let late = *migration.version < *newest;
            entries.push(Entry {
                name: migration.name.to_string(),
                state: if late { State::OutOfOrder } else { State::Pending },
                ..unknown(&migration.version)
            });
        }
    }
    for (version, half) in journal::read(client, migrations).await? {
        if let Some(entry) = entries.iter_mut().find(|entry| entry.version == version) {
            if entry.state != State::Unknown {
                entry.state = State::HalfDone;
            }
            entry.half_done = Some(half);
        } else {
            entries.push(Entry {
                half_done: Some(half),
                ..unknown(&version)
            });
        }
    }
    entries.sort_by(|a, b| a.version.cmp(&b.version));
    Ok(Status { migrations: entries })
}

fn unknown(version: &str) -> Entry {
    Entry {
        version: version.to_owned(),
        name: String::new(),
        state: State::Unknown,
        half_done: None,
        applied_at: None,
        duration_ms: None,
        applied_by: None,
        checksum: None,
        baselined_from: None,
        checksum_now: None,
        down_changed: false,
        down_checksum: None,
    }
}

async fn applied(client: &Client) -> Result<Vec<Entry>, MigrateError> {
    let ledger: bool = client
        .query_one("SELECT to_regclass('plinth_migrations') IS NOT NULL", &[])
        .await?
        .get(0);
    // The diesel command line leaves no ledger; one that was made before anything was taken over has no such column.
    let sql = if ledger {
        "SELECT h.version, coalesce(l.name, ''), coalesce(l.applied_at, h.run_on AT TIME ZONE 'UTC'),
                l.duration_ms, l.applied_by, l.checksum, to_jsonb(l) ->> 'baselined_from', to_jsonb(l) ->> 'down_checksum'
           FROM __diesel_schema_migrations h LEFT JOIN plinth_migrations l ON l.version = h.version"
    } else {
        "SELECT version, '', run_on AT TIME ZONE 'UTC', NULL::bigint, NULL, NULL, NULL, NULL FROM __diesel_schema_migrations"
    };
    let rows = client.query(sql, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let baselined_from: Option<String> = row.get(6);
            Entry {
                name: row.get(1),
                applied_at: row.get(2),
                // What another tool did took a time that nobody wrote down.
                duration_ms: row.get::<_, Option<i64>>(3).filter(|_| baselined_from.is_none()),
                applied_by: row.get(4),
                checksum: row.get(5),
                baselined_from,
                down_checksum: row.get(7),
                ..unknown(row.get(0))
            }
        })
        .collect())
}
