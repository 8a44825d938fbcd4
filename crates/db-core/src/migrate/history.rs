//! What has been applied: Diesel's history, and our ledger beside it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Client;

use super::{MIGRATIONS, MigrateError, Migration};

/// Makes both tables when they are not there. Diesel's has exactly the form that its command line makes.
pub(super) async fn prepare(client: &Client) -> Result<(), MigrateError> {
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
                 plinth_version text NOT NULL);
             COMMENT ON TABLE plinth_migrations IS
                 'Ledger beside __diesel_schema_migrations: what exactly was applied, by whom, how long it took.';",
        )
        .await?;
    Ok(())
}

/// How one migration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Applied as it is.
    Applied,
    /// Not yet applied.
    Pending,
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
    /// When it was applied.
    pub applied_at: Option<DateTime<Utc>>,
    /// How long it took, in milliseconds; unknown when the diesel command line applied it.
    pub duration_ms: Option<i64>,
    /// Who applied it: the database role.
    pub applied_by: Option<String>,
    /// Checksum of what was applied.
    pub checksum: Option<String>,
}

/// All migrations of the database and of the binary, by version.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// One line each.
    pub migrations: Vec<Entry>,
}

impl Status {
    /// Those that are not applied, oldest first.
    pub fn pending(&self) -> impl Iterator<Item = &'static Migration> {
        MIGRATIONS.iter().filter(|migration| {
            self.migrations.iter().any(|entry| {
                entry.version == migration.version
                    && matches!(entry.state, State::Pending | State::OutOfOrder)
            })
        })
    }

    /// Whether the schema is exactly what the binary wants.
    pub fn is_current(&self) -> bool {
        self.migrations.iter().all(|entry| entry.state == State::Applied)
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
            .find(|entry| entry.state == State::Applied)
            .map_or_else(String::new, |entry| entry.version.clone());
        for entry in &self.migrations {
            let (version, name) = (entry.version.clone(), entry.name.clone());
            match entry.state {
                State::Applied | State::Pending => {}
                State::Unknown => return Err(MigrateError::Unknown { version }),
                State::OutOfOrder => {
                    return Err(MigrateError::OutOfOrder {
                        version,
                        name,
                        newest,
                    });
                }
                State::Edited => {
                    let ours = MIGRATIONS
                        .iter()
                        .find(|migration| migration.version == version)
                        .map_or_else(String::new, Migration::checksum);
                    let applied = entry.checksum.clone().unwrap_or_default();
                    return Err(MigrateError::Edited {
                        version,
                        name,
                        applied,
                        ours,
                    });
                }
            }
        }
        Ok(())
    }

    /// For those who need the schema and do not migrate: [`Self::check`], and nothing may be pending.
    ///
    /// # Errors
    /// An unknown, edited, late or pending migration.
    pub fn require_current(&self) -> Result<(), MigrateError> {
        self.check()?;
        let pending: Vec<_> = self.pending().collect();
        match pending.first() {
            None => Ok(()),
            Some(first) => Err(MigrateError::Pending {
                count: pending.len(),
                first: format!("{}_{}", first.version, first.name),
            }),
        }
    }
}

/// Reads how things stand. Tables that are not there mean that nothing is applied.
pub(super) async fn read(client: &Client) -> Result<Status, MigrateError> {
    let there: bool = client
        .query_one(
            "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AND to_regclass('plinth_migrations') IS NOT NULL",
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
    for migration in MIGRATIONS {
        if let Some(entry) = entries
            .iter_mut()
            .find(|entry| entry.version == migration.version)
        {
            migration.name.clone_into(&mut entry.name);
            let edited = entry
                .checksum
                .as_ref()
                .is_some_and(|checksum| *checksum != migration.checksum());
            entry.state = if edited { State::Edited } else { State::Applied };
        } else {
            let late = *migration.version < *newest;
            entries.push(Entry {
                version: migration.version.to_owned(),
                name: migration.name.to_owned(),
                state: if late { State::OutOfOrder } else { State::Pending },
                applied_at: None,
                duration_ms: None,
                applied_by: None,
                checksum: None,
            });
        }
    }
    entries.sort_by(|a, b| a.version.cmp(&b.version));
    Ok(Status { migrations: entries })
}

async fn applied(client: &Client) -> Result<Vec<Entry>, MigrateError> {
    let rows = client
        .query(
            "SELECT h.version, coalesce(l.name, ''), coalesce(l.applied_at, h.run_on AT TIME ZONE 'UTC'),
                    l.duration_ms, l.applied_by, l.checksum
               FROM __diesel_schema_migrations h LEFT JOIN plinth_migrations l ON l.version = h.version",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Entry {
            version: row.get(0),
            name: row.get(1),
            state: State::Unknown,
            applied_at: row.get(2),
            duration_ms: row.get(3),
            applied_by: row.get(4),
            checksum: row.get(5),
        })
        .collect())
}
