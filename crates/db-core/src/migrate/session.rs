//! The connection that migrates: it has the lock, and waits for nobody for long.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::progress::{Place, Watch, watched};
use super::{
    Applied, Direction, MigrateError, Migration, connection_lost, describe, history, lock, stepwise,
};
use crate::owner::Owner;

/// How long DDL may wait for a lock before it lets the queue behind it pass and asks again.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_millis(300);

/// How often DDL asks again.
const LOCK_ATTEMPTS: u32 = 20;

pub(super) struct Session<'a> {
    pub client: Client,
    pub owner: &'a Owner,
    pub watch: &'a dyn Watch,
    /// Process id of the server's side.
    pub pid: i32,
}

impl<'a> Session<'a> {
    /// Takes the lock on a connection.
    pub async fn begin(
        client: Client,
        owner: &'a Owner,
        watch: &'a dyn Watch,
        patience: Duration,
    ) -> Result<Self, MigrateError> {
        lock::acquire(&client, patience).await?;
        settle(&client).await?;
        let pid = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
        Ok(Self {
            client,
            owner,
            watch,
            pid,
        })
    }

    pub async fn end(self) -> Result<(), MigrateError> {
        lock::release(&self.client).await
    }

    /// Applies or reverts one migration.
    pub async fn step(
        &self,
        migration: &Migration,
        direction: Direction,
        half_done: bool,
    ) -> Result<Applied, MigrateError> {
        // One that was begun statement by statement goes on so, whatever its metadata.toml says now.
        let duration_ms = if migration.transactional && !half_done {
            self.transaction(migration, direction).await?
        } else {
            stepwise::step(self, migration, direction).await?
        };
        tracing::info!(
            version = %migration.version,
            name = %migration.name,
            direction = direction.as_str(),
            duration_ms,
            "migrated"
        );
        Ok(Applied {
            version: migration.version.to_string(),
            name: migration.name.to_string(),
            direction,
            duration_ms,
        })
    }

    pub fn place<'b>(&'b self, migration: &'b Migration, statement: Option<(usize, usize)>) -> Place<'b> {
        Place {
            owner: self.owner,
            watch: self.watch,
            pid: self.pid,
            migration,
            statement,
        }
    }

    /// One migration and its history rows in one transaction, tried again while a lock is not to be had.
    async fn transaction(&self, migration: &Migration, direction: Direction) -> Result<i64, MigrateError> {
        let work = retry(&self.client, async || {
            let started = Instant::now();
            // row_security = off: a backfill that policies would filter fails instead of doing half of its work.
            let begin = format!(
                "BEGIN; SET LOCAL row_security = off; SET LOCAL lock_timeout = {}",
                LOCK_TIMEOUT.as_millis()
            );
            self.client.batch_execute(&begin).await?;
            self.client.batch_execute(migration.sql(direction)).await?;
            let duration = milliseconds(started);
            history::write(&self.client, migration, direction, duration).await?;
            self.client.batch_execute("COMMIT").await?;
            Ok(milliseconds(started))
        });
        watched(&self.place(migration, None), work)
            .await
            .map_err(|error| {
                if connection_lost(&error) {
                    return MigrateError::History(error);
                }
                MigrateError::Failed {
                    version: migration.version.to_string(),
                    name: migration.name.to_string(),
                    message: describe(&error),
                }
            })
    }
}

/// What the session needs, whatever is set for the role or the database.
pub(super) async fn settle(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(
            "SET client_min_messages = warning;
             SELECT set_config(name, '0', false) FROM pg_settings
              WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout',
                             'transaction_timeout')",
        )
        .await?;
    // Without it, the server would go on with the statement of a process that was killed, and hold the lock until it is
    // through. Not every system that PostgreSQL runs on can do this.
    let _ = client
        .batch_execute("SET client_connection_check_interval = '500ms'")
        .await;
    Ok(())
}

/// Does it again, after a pause that differs, while a lock is not to be had or was part of a deadlock.
pub(super) async fn retry<T>(
    client: &Client,
    mut work: impl AsyncFnMut() -> Result<T, tokio_postgres::Error>,
) -> Result<T, tokio_postgres::Error> {
    let mut attempt = 1;
    loop {
        let error = match work().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        // The connection may be gone; then the server has rolled back by itself.
        let _ = client.batch_execute("ROLLBACK").await;
        let blocked = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED]
            .iter()
            .any(|state| error.code() == Some(state));
        if !blocked || attempt == LOCK_ATTEMPTS {
            return Err(error);
        }
        let [jitter] = crate::clock::random_bytes::<1>();
        tokio::time::sleep(Duration::from_millis(100 + u64::from(jitter) * 2)).await;
        attempt += 1;
    }
}

pub(super) fn milliseconds(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)
}
