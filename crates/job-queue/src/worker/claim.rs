//! Claims jobs of one queue ahead of need, as far ahead as its pace asks for.
//!
//! While a transaction is open somewhere for minutes, PostgreSQL must keep what was claimed meanwhile in the index of the line,
//! and each claim from the line's beginning would walk over it. So most claims begin where the last one did; now and then one
//! begins at a turn that was being served a second ago, behind which nothing can have been enqueued since, and one at the very
//! beginning, for jobs whose transactions took longer. What those two cost decides how often they come. When somebody says that jobs have
//! arrived, one of the first kind comes at once, and takes a few: another domain's job does not wait until there is room for many.

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
/// A look from the beginning can take seconds when a transaction has been open for minutes; it may take a thirtieth of the time.
const FULL_AT_LEAST_EVERY: Duration = Duration::from_secs(600);
const FULL_SPARING: u32 = 30;
/// A look that cost a millisecond more than a claim does is not repeated for so many.
const SPARING: u32 = 10;
/// Most in one statement: a job that has just arrived waits for at most one claim before its own.
const AT_ONCE: usize = 64;
/// How many are taken on the word that some have arrived, even beyond what is claimed ahead.
const NEWCOMERS: usize = 16;
const NEWCOMERS_EVERY: Duration = Duration::from_millis(2);

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
    next_newcomers: Instant,
    /// How many jobs are claimed ahead.
    ahead: usize,
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
            next_newcomers: now,
            ahead: 0,
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
            let mut told = true;
            let wait = async {
                if exhausted {
                    // Whoever asks at the end of the line has not looked at its beginning.
                    let until = self.next_full.saturating_duration_since(Instant::now());
                    let poll = shared.options.poll;
                    let poll = if until.is_zero() { poll } else { until.min(poll) };
                    told = tokio::time::timeout(poll, queue.wake.notified()).await.is_ok();
                }
                while self.wanted() == 0 && !self.newcomers() {
                    // The time limit only helps the pace to be measured.
                    tokio::select! {
                        () = queue.room.notified() => {}
                        () = queue.wake.notified() => {}
                        () = tokio::time::sleep(Duration::from_millis(20)) => {}
                    }
                }
            };
            tokio::select! {
                biased;
                () = shared.stop.cancelled() => return,
                () = wait => {}
            }
            let newcomers = self.newcomers();
            if newcomers || exhausted {
                self.queue.told.store(false, Ordering::Release);
            }
            let most = if newcomers && !exhausted {
                NEWCOMERS
            } else {
                AT_ONCE
            };
            let wanted = self.wanted().max(if newcomers { NEWCOMERS } else { 1 }).min(most);
            match self.claim(wanted, exhausted || newcomers, told).await {
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
        self.ahead = ahead;
        queue.low.store(ahead / 2, Ordering::Relaxed);
        let waiting = queue.len();
        let running = queue.running.load(Ordering::Relaxed);
        let wanted = (queue.options.concurrency + ahead).saturating_sub(running + waiting);
        if waiting > ahead / 2 { 0 } else { wanted }
    }

    /// Whether to look for what has arrived, though there may be enough here: where jobs take long, nothing is claimed ahead.
    fn newcomers(&self) -> bool {
        self.queue.told.load(Ordering::Acquire)
            && self.ahead >= NEWCOMERS
            && self.queue.len() < self.ahead + NEWCOMERS
            && Instant::now() >= self.next_newcomers
    }

    async fn claim(&mut self, wanted: usize, settled: bool, told: bool) -> Result<usize, Error> {
        let Some(incarnation) = self.shared.leases.current() else {
            // The heartbeat registers anew.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(0);
        };
        let mut from = self.begin_at(settled);
        // Nobody said that there is something: a look writes nothing.
        if !told && !self.something_waits(from).await? {
            return Ok(0);
        }
        let mut found = self.claim_from(from, wanted, &incarnation).await?;
        if found < wanted && from != From::Beginning && Instant::now() >= self.next_full {
            from = From::Beginning;
            found += self.claim_from(from, wanted - found, &incarnation).await?;
        }
        Ok(found)
    }

    fn begin_at(&self, settled: bool) -> From {
        let now = Instant::now();
        if now >= self.next_full {
            From::Beginning
        } else if settled || now >= self.next_settled {
            From::Settled
        } else {
            From::LastClaim
        }
    }

    fn floor(&self, from: From) -> i64 {
        match from {
            From::Beginning => 0,
            From::Settled => self.queue.settled.load(Ordering::Relaxed),
            From::LastClaim => self.last_turn,
        }
    }

    async fn something_waits(&mut self, from: From) -> Result<bool, Error> {
        let floor = self.floor(from);
        let begun = Instant::now();
        let rows = self
            .line
            .query(sql::WAITING, &[&&*self.queue.name, &floor])
            .await?;
        let some = rows
            .first()
            .map(|row| row.try_get(0))
            .transpose()?
            .unwrap_or(false);
        if !some {
            self.looked(from, begun.elapsed());
        }
        Ok(some)
    }

    /// Puts off the next look of this kind by what this one cost.
    fn looked(&mut self, from: From, looking: Duration) {
        let (now, wait) = (Instant::now(), looking * SPARING);
        match from {
            From::Beginning => {
                self.next_full = now + (looking * FULL_SPARING).clamp(FULL_EVERY, FULL_AT_LEAST_EVERY);
            }
            From::Settled => {
                self.next_settled = now + wait.clamp(SETTLED_EVERY, SETTLED_AT_LEAST_EVERY);
                self.next_newcomers = now + (looking * 2).clamp(NEWCOMERS_EVERY, SETTLED_AT_LEAST_EVERY);
            }
            From::LastClaim => {}
        }
    }

    async fn claim_from(
        &mut self,
        from: From,
        wanted: usize,
        incarnation: &Arc<Incarnation>,
    ) -> Result<usize, Error> {
        let floor = self.floor(from);
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
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        self.looked(from, took.saturating_sub(self.each * count));
        if from == From::LastClaim && count > 0 {
            self.each = (self.each * 7 + took / count) / 8;
        }
        let mut jobs = Vec::with_capacity(rows.len());
        let mut unread = None;
        for row in &rows {
            match self.read(row, incarnation) {
                Ok(job) => jobs.push(job),
                Err(error) => unread = Some(error),
            }
        }
        if let Some(error) = unread {
            // The table refuses what cannot be read; should it come all the same, it goes back with the old id.
            tracing::error!(queue = %self.queue.name, %error, "a claimed job cannot be read");
            self.shared.leases.register(&self.shared, &mut self.line).await?;
        }
        if let Some(first) = jobs.iter().map(|job| job.turn).min() {
            self.last_turn = first.max(self.queue.settled.load(Ordering::Relaxed));
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
