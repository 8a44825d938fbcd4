//! A migration without a transaction: statement by statement, with a journal, so that a killed one is resumed.
//!
//! A statement that can be in a transaction is in one with its row in the journal, and so is done exactly once. One that
//! cannot is written down before and after; when the process is killed in between, it is run again.

use std::time::Instant;

use tokio_postgres::error::SqlState;

use super::index::{self, Found};
use super::kind::{Kind, NewIndex, kind};
use super::migration::checksum;
use super::progress::watched;
use super::server_wide::{self, ServerWide, Way};
use super::session::{LOCK_TIMEOUT, Session, milliseconds, retry};
use super::split::Statement;
use super::waits::Waits;
use super::{Direction, MigrateError, Migration, history, journal, privileges};
use pg_connect::connection_lost;

/// How often an index build is begun that deadlocks end.
const DEADLOCKS: u32 = 5;

/// Why a statement is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Server(#[from] tokio_postgres::Error),
    #[error("{0}")]
    Said(String),
}

/// Runs what is left of one direction, then writes the history; the duration is that of this run.
pub(super) async fn step(
    session: &Session<'_>,
    migration: &Migration,
    direction: Direction,
) -> Result<i64, MigrateError> {
    let started = Instant::now();
    let (client, version) = (&session.client, migration.version.as_ref());
    let statements = migration
        .statements(direction)
        .map_err(|error| MigrateError::StatementFailed {
            version: version.to_owned(),
            name: migration.name.to_string(),
            statement: 0,
            of: 0,
            line: error.line,
            message: error.problem.to_owned(),
        })?;
    journal::prepare(client).await?;
    // row_security = off: a backfill that policies would filter fails instead of doing half of its work.
    client
        .batch_execute(&format!(
            "SET row_security = off; SET lock_timeout = {}",
            LOCK_TIMEOUT.as_millis()
        ))
        .await?;
    let begun = journal::begin(client, version, direction, session.drifted).await?;
    for row in begun.iter().filter(|row| row.finished) {
        let now = statements.get(row.statement - 1);
        if now.is_none_or(|statement| checksum(statement.sql) != row.checksum) {
            return Err(MigrateError::EditedStatement {
                version: version.to_owned(),
                name: migration.name.to_string(),
                statement: row.statement,
            });
        }
    }
    for (number, statement) in (1..).zip(&statements) {
        if begun.iter().any(|row| row.finished && row.statement == number) {
            continue;
        }
        let place = session.place(migration, Some((number, statements.len())));
        let one = Step {
            session,
            waits: &place.waits,
            version,
            direction,
            number,
            statement,
        };
        let message = match watched(&place, one.run()).await {
            Ok(()) => continue,
            Err(StepError::Server(error)) if connection_lost(&error) => {
                return Err(MigrateError::connection_lost(migration, &error));
            }
            Err(StepError::Server(error)) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                return Err(MigrateError::table_locked(
                    migration,
                    number,
                    statement.line,
                    &error,
                    &place.waits,
                ));
            }
            Err(StepError::Server(error)) => privileges::described(client, &error).await,
            Err(StepError::Said(message)) => message,
        };
        return Err(MigrateError::StatementFailed {
            version: version.to_owned(),
            name: migration.name.to_string(),
            statement: number,
            of: statements.len(),
            line: statement.line,
            message,
        });
    }
    let duration = milliseconds(started);
    client.batch_execute("BEGIN").await?;
    let history = history::sql(migration, direction, Some(duration), session.drifted);
    client.batch_execute(&history).await?;
    journal::clear(client, version).await?;
    client.batch_execute("COMMIT").await?;
    // What the file has set for the session goes with it.
    client.batch_execute(&session.settled).await?;
    Ok(duration)
}

/// One statement.
struct Step<'a> {
    session: &'a Session<'a>,
    waits: &'a Waits,
    version: &'a str,
    direction: Direction,
    number: usize,
    statement: &'a Statement<'a>,
}

impl Step<'_> {
    async fn run(&self) -> Result<(), StepError> {
        let client = &self.session.client;
        let server_wide = self.session.server_wide;
        if server_wide == ServerWide::Kept && Way::of(self.statement.sql) == Way::Never {
            return Err(StepError::Said(
                "it changes the server, and cannot be rolled back: not on a scratch database beside live ones; try it on a \
                 disposable server, with --disposable-server"
                    .to_owned(),
            ));
        }
        match kind(self.statement).map_err(StepError::Said)? {
            Kind::Setting => Ok(client.batch_execute(self.statement.sql).await?),
            Kind::Inside => {
                let work = async || {
                    let begin = format!("{}; {}", server_wide.begin(), server_wide.note());
                    client.batch_execute(&begin).await?;
                    client.batch_execute(self.statement.sql).await?;
                    self.write(true).await?;
                    client
                        .batch_execute(&format!("{}; COMMIT", server_wide.check()))
                        .await
                };
                Ok(retry(client, self.waits, work).await?)
            }
            Kind::Outside { patient, .. } => {
                self.write(false).await?;
                if server_wide == ServerWide::Kept {
                    let alone = async || self.outside(patient).await;
                    server_wide::keep(client, self.statement.sql, alone).await?;
                } else {
                    self.outside(patient).await?;
                }
                Ok(self.write(true).await?)
            }
            Kind::CreateIndex(index) => {
                self.write(false).await?;
                let impatience = self.patience().await?;
                self.create(&index).await?;
                client.batch_execute(&impatience).await?;
                Ok(self.write(true).await?)
            }
        }
    }

    /// Builds the index, unless it is there. Not by [`retry`]: what a deadlock leaves of it is in the way of the next try.
    async fn create(&self, index: &NewIndex) -> Result<(), StepError> {
        let client = &self.session.client;
        let mut attempt = 1;
        while index::mend(client, index).await? == Found::Nothing {
            let Err(error) = client.batch_execute(self.statement.sql).await else {
                return Ok(());
            };
            if error.code() != Some(&SqlState::T_R_DEADLOCK_DETECTED) || attempt == DEADLOCKS {
                // An invalid unique index would go on refusing rows. That it cannot be dropped now is no second error: the
                // next run finds it.
                if !connection_lost(&error) {
                    let _ = index::mend(client, index).await;
                }
                return Err(error.into());
            }
            attempt += 1;
        }
        Ok(())
    }

    /// `CONCURRENTLY` waits for the transactions of others, which `lock_timeout` would cut short, while nobody waits for it:
    /// its lock, SHARE UPDATE EXCLUSIVE, lets reads and writes pass, also when it is only queued (measured).
    async fn outside(&self, patient: bool) -> Result<(), tokio_postgres::Error> {
        let client = &self.session.client;
        let impatience = if patient {
            Some(self.patience().await?)
        } else {
            None
        };
        retry(client, self.waits, async || {
            client.batch_execute(self.statement.sql).await
        })
        .await?;
        if let Some(impatience) = impatience {
            client.batch_execute(&impatience).await?;
        }
        Ok(())
    }

    /// Waits for locks for as long as it takes; what gives back the limit that was set.
    async fn patience(&self) -> Result<String, tokio_postgres::Error> {
        let client = &self.session.client;
        let sql = "SELECT format('SET lock_timeout = %L', current_setting('lock_timeout')), set_config('lock_timeout', '0', false)";
        Ok(client.query_one(sql, &[]).await?.get(0))
    }

    async fn write(&self, finished: bool) -> Result<(), tokio_postgres::Error> {
        journal::write(
            &self.session.client,
            self.version,
            self.direction,
            self.number,
            self.statement,
            finished,
        )
        .await
    }
}
