//! Claims jobs of one queue ahead of need, as far ahead as its pace asks for.
//!
//! While a transaction is open somewhere for minutes, PostgreSQL must keep what was claimed meanwhile in the index of the line,
//! and each claim from the line's beginning would walk over it. So most claims begin where the last one did; now and then one
//! begins at a turn that was being served a second ago, behind which nothing can have been enqueued since, and one at the very
//! beginning, for jobs whose transactions took longer. What those two cost decides how often they come.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_postgres::Row;

use super::lease::Incarnation;
use super::queue::{Claimed, Queue};
use super::{Shared, pause_after};
use crate::connection::Line;
use crate::context::{JobInfo, Lease};
use crate::error::Error;
use crate::sql;

/// How far ahead jobs are claimed.
const AHEAD: f64 = 0.020;
const SETTLED_EVERY: Duration = Duration::from_millis(5);
/// Another domain's new job waits for such a look, so that it must come often whatever it costs; that is bounded by what a second
/// leaves behind.
const SETTLED_AT_LEAST_EVERY: Duration = Duration::from_millis(20);
const FULL_EVERY: Duration = Duration::from_millis(200);
const FULL_AT_LEAST_EVERY: Duration = Duration::from_secs(10);
/// A look that cost a millisecond more than a claim does is not repeated for so many.
const SPARING: u32 = 10;
/// Most in one statement: a job that has just arrived waits for at most one claim before its own.
const AT_ONCE: usize = 200;

/// Where in the line a claim begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    LastClaim,
    Settled,
    Beginning,
}

pub(super) struct Claimer {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    line: Line,
    last_turn: i64,
    next_settled: Instant,
    next_full: Instant,
    /// What claiming one job takes, smoothed.
    each: Duration,
    pace: Pace,
}

impl Claimer {
    pub(super) fn new(shared: &Arc<Shared>, queue: &Arc<Queue>) -> Self {
        let now = Instant::now();
        Self {
            shared: Arc::clone(shared),
            queue: Arc::clone(queue),
            line: Line::new(&shared.connector, Duration::from_secs(30)),
            last_turn: 0,
            next_settled: now,
            next_full: now,
            each: Duration::from_micros(20),
            pace: Pace {
                since: now,
                begun: 0,
                rate: 0.0,
            },
        }
    }

    /// Until the worker stops.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut exhausted = false;
        let mut failures = 0;
        loop {
            let queue = Arc::clone(&self.queue);
            let wait = async {
                if exhausted {
                    // Whoever asks at the end of the line has not looked at its beginning.
                    let until = self.next_full.saturating_duration_since(Instant::now());
                    let poll = shared.options.poll;
                    let poll = if until.is_zero() { poll } else { until.min(poll) };
                    let _ = tokio::time::timeout(poll, queue.wake.notified()).await;
                }
                while self.wanted() == 0 {
                    // The time limit only helps the pace to be measured.
                    let _ = tokio::time::timeout(Duration::from_millis(20), queue.room.notified()).await;
                }
            };
            tokio::select! {
                biased;
                () = shared.stop.cancelled() => return,
                () = wait => {}
            }
            let wanted = self.wanted().clamp(1, AT_ONCE);
            match self.claim(wanted, exhausted).await {
                Ok(found) => {
                    exhausted = found < wanted;
                    failures = 0;
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(queue = %self.queue.name, %error, failures, "cannot claim jobs");
                    pause_after(failures, &shared.stop).await;
                }
            }
        }
    }

    /// How many jobs to claim now; 0 while it is not worth it.
    fn wanted(&mut self) -> usize {
        let queue = &self.queue;
        let ahead = self
            .pace
            .ahead(queue.begun.load(Ordering::Relaxed))
            .min(queue.options.prefetch);
        queue.low.store(ahead / 2, Ordering::Relaxed);
        let waiting = queue.len();
        let running = queue.running.load(Ordering::Relaxed);
        let wanted = (queue.options.concurrency + ahead).saturating_sub(running + waiting);
        if waiting > ahead / 2 { 0 } else { wanted }
    }

    async fn claim(&mut self, wanted: usize, idle: bool) -> Result<usize, Error> {
        let Some(incarnation) = self.shared.leases.current() else {
            // The heartbeat registers anew.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(0);
        };
        let mut from = self.begin_at(idle);
        let mut found = self.claim_from(from, wanted, &incarnation).await?;
        if found < wanted && from != From::Beginning && Instant::now() >= self.next_full {
            from = From::Beginning;
            found += self.claim_from(from, wanted - found, &incarnation).await?;
        }
        Ok(found)
    }

    fn begin_at(&self, idle: bool) -> From {
        let now = Instant::now();
        if now >= self.next_full {
            From::Beginning
        } else if idle || now >= self.next_settled {
            From::Settled
        } else {
            From::LastClaim
        }
    }

    async fn claim_from(
        &mut self,
        from: From,
        wanted: usize,
        incarnation: &Arc<Incarnation>,
    ) -> Result<usize, Error> {
        let settled = self.queue.settled.load(Ordering::Relaxed);
        let floor = match from {
            From::Beginning => 0,
            From::Settled => settled,
            From::LastClaim => self.last_turn,
        };
        let limit = i64::try_from(wanted).unwrap_or(i64::MAX);
        let begun = Instant::now();
        let result = self
            .line
            .query(sql::CLAIM, &[&incarnation.id, &&*self.queue.name, &floor, &limit])
            .await;
        let took = begun.elapsed();
        let rows = match result {
            Ok(rows) => rows,
            Err(error) => {
                if !error.is_certain() {
                    // Perhaps jobs were claimed that we do not know of. They stay with the old id, and are handed back with it.
                    self.shared.leases.register(&self.shared, &mut self.line).await?;
                }
                return Err(error);
            }
        };
        let now = Instant::now();
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let looking = took.saturating_sub(self.each * count) * SPARING;
        match from {
            From::Beginning => self.next_full = now + looking.clamp(FULL_EVERY, FULL_AT_LEAST_EVERY),
            From::Settled => self.next_settled = now + looking.clamp(SETTLED_EVERY, SETTLED_AT_LEAST_EVERY),
            From::LastClaim if count > 0 => self.each = (self.each * 7 + took / count) / 8,
            From::LastClaim => {}
        }
        let mut jobs = Vec::with_capacity(rows.len());
        for row in &rows {
            jobs.push(self.read(row, incarnation)?);
        }
        if let Some(first) = jobs.iter().map(|job| job.turn).min() {
            self.last_turn = first.max(settled);
            self.queue.position.fetch_max(first, Ordering::Relaxed);
        }
        let found = jobs.len();
        self.queue.push(jobs);
        Ok(found)
    }

    fn read(&self, row: &Row, incarnation: &Arc<Incarnation>) -> Result<Claimed, Error> {
        let lease = Lease {
            domain: row.try_get(0)?,
            job: row.try_get(1)?,
            attempt: row.try_get(3)?,
            worker: incarnation.id,
        };
        let info = JobInfo {
            queue: Arc::clone(&self.queue.name),
            kind: row.try_get(2)?,
            max_attempts: row.try_get(4)?,
            run_at: row.try_get(6)?,
            created_at: row.try_get(7)?,
            batch: row.try_get(8)?,
            trace: row.try_get(9)?,
        };
        metrics::histogram!("job_queue_wait_seconds", "queue" => self.queue.name.to_string())
            .record(row.try_get::<_, f64>(11)?);
        Ok(Claimed {
            turn: row.try_get(5)?,
            lease,
            info: Arc::new(info),
            payload: row.try_get(10)?,
            stop: incarnation.hold(lease.job, lease.attempt),
            incarnation: Arc::clone(incarnation),
        })
    }
}

/// How fast jobs are begun, smoothed.
struct Pace {
    since: Instant,
    begun: u64,
    rate: f64,
}

impl Pace {
    fn ahead(&mut self, begun: u64) -> usize {
        let elapsed = self.since.elapsed().as_secs_f64();
        if elapsed >= 0.005 {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a number of jobs in a few milliseconds"
            )]
            let now = (begun - self.begun) as f64 / elapsed;
            // Up at once, down slowly.
            self.rate = if now > self.rate {
                now
            } else {
                self.rate * 0.8 + now * 0.2
            };
            self.begun = begun;
            self.since = Instant::now();
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small positive number"
        )]
        let ahead = (self.rate * AHEAD) as usize;
        ahead
    }
}
