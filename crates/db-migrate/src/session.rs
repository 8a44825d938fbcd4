//! The connection that migrates: it has the lock, and waits for nobody for long.

use std::cell::Cell;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::progress::{Place, Watch, watched};
use super::random::jitter;
use super::waits::Waits;
use super::{Applied, Direction, MigrateError, Migration, ServerWide, history, lock, privileges, stepwise};
use pg_connect::Connector;
use pg_connect::connection_lost;

/// How long DDL may wait for a lock before it lets the queue behind it pass and asks again.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_millis(300);

/// How long what the runner itself reads waits for a lock: a view is not printed while somebody has a table of it to themselves.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// How often DDL asks again.
pub(super) const LOCK_ATTEMPTS: u32 = 20;

pub(super) struct Session<'a> {
    pub client: Client,
    pub owner: &'a Connector,
    pub watch: &'a dyn Watch,
    /// Process id of the server's side.
    pub pid: i32,
    /// Whether the schema was another than the migrations had made before this session changed anything.
    pub drifted: bool,
    /// SQL that gives the connection what it needs, whatever is set for the role or the database, or was set by a migration: the
    /// login's own rights, the schema of the history first, no limits.
    pub settled: String,
    /// What a migration may do to what the databases of the server share.
    pub server_wide: ServerWide,
}

impl<'a> Session<'a> {
    /// Takes the lock on a connection.
    pub async fn begin(
        client: Client,
        owner: &'a Connector,
        watch: &'a dyn Watch,
        patience: Duration,
    ) -> Result<Self, MigrateError> {
        lock::acquire(&client, patience).await?;
        let (pid, settled) = settle(&client).await?;
        Ok(Self {
            client,
            owner,
            watch,
            pid,
            drifted: false,
            settled,
            server_wide: ServerWide::Free,
        })
    }

    pub async fn end(self) -> Result<(), MigrateError> {
        lock::release(&self.client).await
    }

    /// Applies or reverts one migration.
    ///
    /// `last`: no other comes after it. Only the last one waits until it is on disk, and the write-ahead log before it with it.
    pub async fn step(
        &self,
        migration: &Migration,
        direction: Direction,
        half_done: bool,
        last: bool,
    ) -> Result<Applied, MigrateError> {
        // One that was begun statement by statement goes on so, whatever its metadata.toml says now.
        let duration_ms = if migration.transactional && !half_done {
            self.transaction(migration, direction, last).await?
        } else {
            stepwise::step(self, migration, direction).await?
        };
        if migration.statements(direction).is_ok_and(|all| all.is_empty()) {
            tracing::warn!(
                version = %migration.version,
                name = %migration.name,
                "{}.sql has no statement: nothing was done",
                direction.as_str()
            );
        }
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
            down_changed: false,
        })
    }

    pub fn place<'b>(&'b self, migration: &'b Migration, statement: Option<(usize, usize)>) -> Place<'b> {
        Place {
            owner: self.owner,
            watch: self.watch,
            pid: self.pid,
            migration,
            statement,
            waits: Waits::default(),
        }
    }

    /// One migration and its history rows in one transaction, tried again while a lock is not to be had.
    async fn transaction(
        &self,
        migration: &Migration,
        direction: Direction,
        last: bool,
    ) -> Result<i64, MigrateError> {
        // row_security = off: a backfill that policies would filter fails instead of doing half of its work.
        let local = format!(
            "set_config('row_security', 'off', true), set_config('lock_timeout', '{}', true){}",
            LOCK_TIMEOUT.as_millis(),
            if last {
                ""
            } else {
                ", set_config('synchronous_commit', 'off', true)"
            }
        );
        // One message: nothing of it is done when anything of it fails, and 200 migrations wait for the server 200 times.
        // The history is written as who we are, whatever role the migration has taken on, and where we found it.
        let sql = format!(
            "{}; {}, {local}; {};\n{}\n;\n{}; {}, {local}; {}; COMMIT",
            self.server_wide.begin(),
            lock::check(self.pid),
            self.server_wide.note(),
            migration.sql(direction),
            self.server_wide.check(),
            self.settled,
            history::sql(migration, direction, None, self.drifted),
        );
        let finished = Cell::new(0_usize);
        let place = self.place(migration, None);
        let work = retry(&self.client, &place.waits, async || {
            let started = Instant::now();
            finished.set(0);
            let mut messages = pin!(self.client.simple_query_raw(&sql).await?);
            while let Some(message) = messages.try_next().await? {
                if matches!(message, SimpleQueryMessage::CommandComplete(_)) {
                    finished.set(finished.get() + 1);
                }
            }
            Ok(milliseconds(started))
        });
        let error = match watched(&place, work).await {
            Ok(duration) => return Ok(duration),
            Err(error) => error,
        };
        if connection_lost(&error) {
            return Err(MigrateError::connection_lost(migration, &error));
        }
        if finished.get() == 1 && error.as_db_error().is_some() {
            return Err(MigrateError::Pooled);
        }
        let statements = migration.statements(direction).unwrap_or_default();
        let failed = finished
            .get()
            .checked_sub(BEFORE + usize::from(self.server_wide == ServerWide::Kept))
            .and_then(|index| Some((index + 1, statements.get(index)?.line)));
        if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            let (number, line) = failed.unwrap_or_default();
            return Err(MigrateError::table_locked(
                migration,
                number,
                line,
                &error,
                &place.waits,
            ));
        }
        let place = failed.map_or_else(String::new, |(number, line)| {
            format!("statement {number} of {} (line {line}): ", statements.len())
        });
        Err(MigrateError::Failed {
            version: migration.version.to_string(),
            name: migration.name.to_string(),
            message: format!("{place}{}", privileges::described(&self.client, &error).await),
        })
    }
}

/// How many statements the runner's own are before the migration's.
const BEFORE: usize = 2;

/// Sets what the session needs; the server's process id, and the SQL that does it again.
async fn settle(client: &Client) -> Result<(i32, String), tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT pg_backend_pid(), quote_literal(current_setting('search_path')),
                    ARRAY(SELECT name FROM pg_settings
                           WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout',
                                          'transaction_timeout'))",
            &[],
        )
        .await?;
    let path: &str = row.get(1);
    let set = |name: &str, value: &str| format!(", set_config('{name}', {value}, false)");
    // RESET ALL first: it takes back the path too.
    let mut sql = format!(
        "RESET SESSION AUTHORIZATION; RESET ALL; SELECT set_config('search_path', {path}, false){}",
        set("client_min_messages", "'warning'")
    );
    sql.push_str(&set("lock_timeout", &format!("'{}ms'", READ_TIMEOUT.as_millis())));
    for limit in row.get::<_, Vec<&str>>(2) {
        sql.push_str(&set(limit, "'0'"));
    }
    client.batch_execute(&sql).await?;
    // Without it, the server would go on with the statement of a process that was killed, and hold the lock until it is
    // through. Not every system that PostgreSQL runs on can do this.
    let noticing = set("client_connection_check_interval", "'500ms'");
    if client
        .batch_execute(&format!("SELECT NULL{noticing}"))
        .await
        .is_ok()
    {
        sql.push_str(&noticing);
    }
    Ok((row.get(0), sql))
}

/// Does it again, after a pause that differs, while a lock is not to be had or was part of a deadlock.
pub(super) async fn retry<T>(
    client: &Client,
    waits: &Waits,
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
        waits.refused();
        let pause = Duration::from_millis(100) + jitter(Duration::from_millis(500));
        tokio::time::sleep(pause).await;
        attempt += 1;
    }
}

pub(super) fn milliseconds(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)
}
