//! What a long statement is doing, read by a second connection about once a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio_postgres::Client;

use super::waits::Waits;
use super::{Applied, Migration};
use pg_connect::Connector;

/// How long a statement runs before anybody asks, and how often it is asked about.
const TICK: Duration = Duration::from_secs(1);

/// How often it is asked about while it does not get a lock.
const LOCK_TICK: Duration = Duration::from_millis(100);

/// How often the log says something.
const LOG_SECONDS: u64 = 10;

/// A statement that takes longer than a second.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    /// Version of its migration.
    pub version: String,
    /// Name of its migration.
    pub name: String,
    /// Which statement, and of how many, where the migration runs statement by statement.
    pub statement: Option<(usize, usize)>,
    /// For how long it has been running.
    pub elapsed: Duration,
    /// What it is doing, in the words of `pg_stat_progress_create_index`, when it builds an index.
    pub phase: Option<String>,
    /// How much of the phase is done, 0 to 100.
    pub percent: Option<f64>,
    /// Process ids of the sessions that it waits for.
    pub waiting_for: Vec<i32>,
}

/// Somebody who wants to hear about long statements.
pub trait Watch: Send + Sync {
    /// Called about once a second while a statement runs that has taken a second already.
    fn progress(&self, progress: &Progress);
    /// Called when a statement that was spoken of is over.
    fn over(&self) {}
    /// Called when a migration was applied or reverted.
    fn done(&self, _: &Applied) {}
}

/// Says it in the log, every ten seconds.
#[derive(Debug, Default)]
pub struct Log {
    said_at: AtomicU64,
}

impl Watch for Log {
    fn progress(&self, progress: &Progress) {
        let seconds = progress.elapsed.as_secs();
        let said = self.said_at.load(Ordering::Relaxed);
        // A smaller number than last time belongs to the next statement.
        if seconds >= LOG_SECONDS && (seconds >= said + LOG_SECONDS || seconds < said) {
            self.said_at.store(seconds, Ordering::Relaxed);
            tracing::info!(
                version = progress.version,
                name = progress.name,
                statement = progress.statement.map(|(number, _)| number),
                seconds,
                phase = progress.phase,
                percent = progress.percent.map(f64::round),
                waiting_for = ?progress.waiting_for,
                "a migration is running"
            );
        }
    }
}

/// Whom a statement belongs to.
pub(super) struct Place<'a> {
    pub owner: &'a Connector,
    pub watch: &'a dyn Watch,
    /// Process id of the server's side of the connection that works.
    pub pid: i32,
    pub migration: &'a Migration,
    pub statement: Option<(usize, usize)>,
    /// Whom it waits for.
    pub waits: Waits,
}

/// Does the work, and says how it goes while it lasts. That the second connection cannot be had stops nothing.
pub(super) async fn watched<T>(place: &Place<'_>, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let mut spoke = false;
    let result = tokio::select! {
        result = work => result,
        never = ask(place, begun, &mut spoke) => match never {},
    };
    if spoke {
        place.watch.over();
    }
    result
}

enum Never {}

async fn ask(place: &Place<'_>, begun: Instant, spoke: &mut bool) -> Never {
    let mut client: Option<Client> = None;
    let mut told = begun;
    loop {
        // Each try for a lock is a short one: looks that are a second apart would miss them.
        let pause = if place.waits.trying() { LOCK_TICK } else { TICK };
        tokio::time::sleep(pause).await;
        if client.is_none() {
            client = place.owner.client().await.ok();
        }
        let mut progress = Progress {
            version: place.migration.version.to_string(),
            name: place.migration.name.to_string(),
            statement: place.statement,
            elapsed: begun.elapsed(),
            phase: None,
            percent: None,
            waiting_for: Vec::new(),
        };
        if let Some(connection) = &client
            && let Err(error) = look(connection, place, &mut progress).await
        {
            tracing::debug!(%error, "cannot read the progress of a migration");
            client = None;
        }
        if told.elapsed() >= TICK {
            told = Instant::now();
            place.watch.progress(&progress);
            *spoke = true;
        }
    }
}

/// Sources: <https://www.postgresql.org/docs/current/progress-reporting.html#CREATE-INDEX-PROGRESS-REPORTING>.
async fn look(
    client: &Client,
    place: &Place<'_>,
    progress: &mut Progress,
) -> Result<(), tokio_postgres::Error> {
    let row = client
        .query_opt(
            "SELECT p.phase, pg_blocking_pids(a.pid),
                    CASE WHEN p.phase LIKE 'waiting%' THEN 100.0::float8 * p.lockers_done / nullif(p.lockers_total, 0)
                         WHEN p.blocks_total > 0 AND p.phase NOT LIKE '%tuples%' THEN 100.0::float8 * p.blocks_done / p.blocks_total
                         ELSE 100.0::float8 * p.tuples_done / nullif(p.tuples_total, 0) END
               FROM pg_stat_activity a LEFT JOIN pg_stat_progress_create_index p ON p.pid = a.pid
              WHERE a.pid = $1",
            &[&place.pid],
        )
        .await?;
    if let Some(row) = row {
        progress.phase = row.get(0);
        progress.waiting_for = row.get(1);
        progress.percent = row.get::<_, Option<f64>>(2).map(|percent| percent.min(100.0));
        place.waits.note(client, &progress.waiting_for).await?;
    }
    Ok(())
}
