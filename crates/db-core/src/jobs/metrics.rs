//! How full the queues are, for the metrics: asked of the database when somebody reads them, never by a loop.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::gauge;

use crate::owner::{Owner, SystemError};

/// How long an answer is good for.
const AGE: Duration = Duration::from_secs(10);
/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was last measured, so that a kind whose jobs are all gone says 0.
#[derive(Debug, Default)]
pub struct QueueMetrics(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    begun: Option<Instant>,
    /// Queue and kind of every gauge that was ever set.
    known: BTreeSet<(String, String)>,
}

/// Unfinished and dead jobs of a kind in a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct KindCounts {
    /// The queue.
    pub queue: String,
    /// The kind.
    pub kind: String,
    /// Jobs whose time has not come, in line, running, and dead.
    pub scheduled: i64,
    /// In line.
    pub available: i64,
    /// Running.
    pub running: i64,
    /// Dead letters.
    pub dead: i64,
    /// Seconds that the oldest job in line has waited; 0 without one.
    pub oldest_seconds: f64,
}

/// Counts the jobs of all domains.
///
/// # Errors
/// The database is away, or a statement fails.
pub async fn measure(owner: &Owner) -> Result<Vec<KindCounts>, SystemError> {
    owner
        .system(async |tx| {
            let rows = tx
                .client()
                .query(
                    "SELECT queue, kind, count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'available'),
                            count(*) FILTER (WHERE state = 'running'), count(*) FILTER (WHERE state = 'dead'),
                            coalesce(extract(epoch FROM now() - min(run_at) FILTER (WHERE state = 'available')), 0)::float8
                       FROM queue_jobs WHERE state IN ('scheduled', 'available', 'running', 'dead')
                      GROUP BY queue, kind ORDER BY queue, kind",
                    &[],
                )
                .await?;
            Ok(rows
                .iter()
                .map(|row| KindCounts {
                    queue: row.get(0),
                    kind: row.get(1),
                    scheduled: row.get(2),
                    available: row.get(3),
                    running: row.get(4),
                    dead: row.get(5),
                    oldest_seconds: row.get(6),
                })
                .collect())
        })
        .await
}

impl QueueMetrics {
    /// Sets the gauges `job_queue_jobs` (queue, kind, state) and `job_queue_oldest_seconds` (queue, kind), at most once in ten seconds.
    /// Where the database does not say, they say nothing (NaN).
    pub async fn refresh(&self, owner: &Owner) {
        {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if last.begun.is_some_and(|begun| begun.elapsed() < AGE) {
                return;
            }
            last.begun = Some(Instant::now());
        }
        let counts = match tokio::time::timeout(PATIENCE, measure(owner)).await {
            Ok(Ok(counts)) => Some(counts),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the queues could not be measured");
                None
            }
            Err(_elapsed) => None,
        };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = if counts.is_some() { 0.0 } else { f64::NAN };
        let mut missing = last.known.clone();
        for it in counts.into_iter().flatten() {
            #[expect(clippy::cast_precision_loss, reason = "counts of rows")]
            let states = [it.scheduled, it.available, it.running, it.dead].map(|count| count as f64);
            set(&it.queue, &it.kind, states, it.oldest_seconds);
            let key = (it.queue, it.kind);
            missing.remove(&key);
            last.known.insert(key);
        }
        for (queue, kind) in missing {
            set(&queue, &kind, [rest; 4], rest);
        }
    }
}

fn set(queue: &str, kind: &str, states: [f64; 4], oldest: f64) {
    for (state, count) in ["scheduled", "available", "running", "dead"]
        .into_iter()
        .zip(states)
    {
        gauge!("job_queue_jobs", "queue" => queue.to_owned(), "kind" => kind.to_owned(), "state" => state)
            .set(count);
    }
    gauge!("job_queue_oldest_seconds", "queue" => queue.to_owned(), "kind" => kind.to_owned()).set(oldest);
}
