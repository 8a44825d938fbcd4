//! Running and reverting.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::{MIGRATIONS, MigrateError, Migration, Status, error, history, lock, requirements};
use crate::owner::Owner;

/// How long DDL may wait for a lock before it lets the queue behind it pass and asks again.
const LOCK_TIMEOUT: Duration = Duration::from_millis(300);

/// How often DDL asks again.
const LOCK_ATTEMPTS: u32 = 20;

/// Runs and reverts migrations as the owner of the database.
#[derive(Clone, Debug)]
pub struct Migrator<'a> {
    owner: &'a Owner,
    patience: Duration,
}

/// A migration that was applied or reverted.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Applied {
    /// Its version.
    pub version: &'static str,
    /// Its name.
    pub name: &'static str,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
}

enum Direction {
    Up,
    Down,
}

impl<'a> Migrator<'a> {
    /// A migrator that waits for the lock for at most `patience`.
    pub fn new(owner: &'a Owner, patience: Duration) -> Self {
        Self { owner, patience }
    }

    /// How each migration stands.
    ///
    /// # Errors
    /// The owner cannot connect or read.
    pub async fn status(&self) -> Result<Status, MigrateError> {
        history::read(&self.owner.connect().await?).await
    }

    /// Applies what is pending, oldest first.
    ///
    /// # Errors
    /// See [`MigrateError`]; what was applied before the error stays applied.
    pub async fn run(&self) -> Result<Vec<Applied>, MigrateError> {
        let client = self.owner.connect().await?;
        let status = history::read(&client).await?;
        status.check()?;
        if status.is_current() {
            return Ok(Vec::new());
        }
        lock::acquire(&client, self.patience).await?;
        requirements::ensure(&client).await?;
        history::prepare(&client).await?;
        // Another process may have done the work in the meantime.
        let status = history::read(&client).await?;
        status.check()?;
        let mut done = Vec::new();
        for migration in status.pending() {
            done.push(step(&client, migration, &Direction::Up).await?);
        }
        lock::release(&client).await?;
        Ok(done)
    }

    /// Reverts the last `count` migrations, newest first.
    ///
    /// # Errors
    /// See [`MigrateError`]; what was reverted before the error stays reverted.
    pub async fn revert(&self, count: usize) -> Result<Vec<Applied>, MigrateError> {
        let client = self.owner.connect().await?;
        lock::acquire(&client, self.patience).await?;
        history::prepare(&client).await?;
        let status = history::read(&client).await?;
        status.check()?;
        let pending: Vec<&str> = status.pending().map(|migration| migration.version).collect();
        let applied = MIGRATIONS
            .iter()
            .rev()
            .filter(|migration| !pending.contains(&migration.version));
        let mut done = Vec::new();
        for migration in applied.take(count) {
            done.push(step(&client, migration, &Direction::Down).await?);
        }
        lock::release(&client).await?;
        Ok(done)
    }
}

/// One migration and its history rows in one transaction, tried again while a lock is not to be had.
async fn step(
    client: &Client,
    migration: &'static Migration,
    way: &Direction,
) -> Result<Applied, MigrateError> {
    let mut attempt = 1;
    loop {
        let started = Instant::now();
        match transaction(client, migration, way, started).await {
            Ok(duration_ms) => {
                tracing::info!(
                    version = migration.version,
                    name = migration.name,
                    duration_ms,
                    "migrated"
                );
                return Ok(Applied {
                    version: migration.version,
                    name: migration.name,
                    duration_ms,
                });
            }
            Err(error) => {
                // The connection may be gone; then the server has rolled back by itself.
                let _ = client.batch_execute("ROLLBACK").await;
                if error.code() != Some(&SqlState::LOCK_NOT_AVAILABLE) || attempt == LOCK_ATTEMPTS {
                    return Err(MigrateError::Failed {
                        version: migration.version.to_owned(),
                        name: migration.name.to_owned(),
                        message: error::describe(&error),
                    });
                }
                let [jitter] = crate::clock::random_bytes::<1>();
                tokio::time::sleep(Duration::from_millis(100 + u64::from(jitter) * 2)).await;
                attempt += 1;
            }
        }
    }
}

async fn transaction(
    client: &Client,
    migration: &Migration,
    way: &Direction,
    started: Instant,
) -> Result<i64, tokio_postgres::Error> {
    // row_security = off: a backfill that policies would filter fails instead of doing half of its work.
    client
        .batch_execute(&format!(
            "BEGIN; SET LOCAL row_security = off; SET LOCAL client_min_messages = warning; SET LOCAL lock_timeout = {}",
            LOCK_TIMEOUT.as_millis()
        ))
        .await?;
    let milliseconds = || i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
    match way {
        Direction::Up => {
            client.batch_execute(migration.up).await?;
            client
                .execute(
                    "INSERT INTO __diesel_schema_migrations (version) VALUES ($1)",
                    &[&migration.version],
                )
                .await?;
            client
                .execute(
                    "INSERT INTO plinth_migrations (version, name, checksum, duration_ms, applied_by, plinth_version)
                     VALUES ($1, $2, $3, $4, session_user, $5)",
                    &[
                        &migration.version,
                        &migration.name,
                        &migration.checksum(),
                        &milliseconds(),
                        &env!("CARGO_PKG_VERSION"),
                    ],
                )
                .await?;
        }
        Direction::Down => {
            client.batch_execute(migration.down).await?;
            for table in ["__diesel_schema_migrations", "plinth_migrations"] {
                client
                    .execute(
                        &format!("DELETE FROM {table} WHERE version = $1"),
                        &[&migration.version],
                    )
                    .await?;
            }
        }
    }
    client.batch_execute("COMMIT").await?;
    Ok(milliseconds())
}
