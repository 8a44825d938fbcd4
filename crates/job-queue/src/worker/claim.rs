//! Claims jobs of one queue ahead of need, as far ahead as its pace asks for.
//!
//! While a transaction is open somewhere for minutes, PostgreSQL must keep what was claimed meanwhile in the index of the line,
//! and each claim from the line's beginning would walk over it. So most claims begin where the last one did, and some at the turn behind
//! which nothing arrives any more (`settling.rs`): what those cost decides how often they come. When somebody says that jobs have
//! arrived, one of these comes at once, and takes a few: another domain's job does not wait until there is room for many. What is left
//! behind all the same, another connection finds (`stragglers.rs`).
//!
//! A domain that has all the slots it may have is left out, and claimed for by itself (`apart.rs`).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_postgres::Row;
use uuid::Uuid;

use super::apart::{Apart, Wanted};
use super::lease::Incarnation;
use super::pace::Pace;
use super::queue::{Claimed, Queue};
use super::{Shared, lock, pause_after};
use crate::connection::Line;
use crate::context::{JobInfo, Lease};
use crate::error::Error;
use crate::sql;

const SETTLED_EVERY: Duration = Duration::from_millis(5);
/// Another domain's new job waits for such a look, so that it must come often whatever it costs; that is bounded by what a second
/// leaves behind.
const SETTLED_AT_LEAST_EVERY: Duration = Duration::from_millis(20);
/// A look that cost a millisecond more than a claim does is not repeated for so many.
const SPARING: u32 = 10;
/// Most in one statement: a job that has just arrived waits for at most one claim before its own.
const AT_ONCE: usize = 64;
/// How many are taken on the word that some have arrived, even beyond what is claimed ahead.
const NEWCOMERS: usize = 16;
const NEWCOMERS_EVERY: Duration = Duration::from_millis(2);
/// A domain whose jobs have not been able to begin for so long is claimed for by itself.
const STUCK: Duration = Duration::from_millis(20);
/// How far behind a domain's job, or behind the turn being served, its next one stands at most: the step of a low job.
const STEP: i64 = 512;

/// Where in the line a claim begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    LastClaim,
    Settled,
}

pub(super) struct Claimer {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    line: Line,
    /// Where the last claim began to find something.
    last_turn: i64,
    /// Behind this turn nothing is left, but for domains that are apart.
    floor: i64,
    /// The highest that was claimed.
    highest: i64,
    apart: Apart,
    next_settled: Instant,
    next_newcomers: Instant,
    /// How many jobs are claimed ahead.
    ahead: usize,
    /// What claiming one job takes, smoothed.
    each: Duration,
    pace: Pace,
}

/// Which jobs a claim is for, in turns.
struct Range {
    from: i64,
    below: i64,
    /// None but this domain's.
    only: Option<Uuid>,
}

/// What a claim brought.
struct Found {
    turns: Vec<i64>,
    took: Duration,
}

/// Why a claim is made.
#[derive(Clone, Copy)]
struct Occasion {
    /// Somebody said that there is something.
    told: bool,
    /// All that may have arrived counts, not only what is behind the last claim.
    settled: bool,
}

impl Claimer {
    pub(super) fn new(shared: &Arc<Shared>, queue: &Arc<Queue>) -> Self {
        let now = Instant::now();
        Self {
            shared: Arc::clone(shared),
            queue: Arc::clone(queue),
            line: Line::new(&shared.connector, Duration::from_secs(30)),
            last_turn: 0,
            floor: 0,
            highest: 0,
            apart: Apart::default(),
            next_settled: now,
            next_newcomers: now,
            ahead: 0,
            each: Duration::from_micros(20),
            pace: Pace::new(),
        }
    }

    /// Until the worker stops.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut exhausted = false;
        let mut failures = 0;
        loop {
            let told = tokio::select! {
                biased;
                () = shared.stop.cancelled() => return,
                told = self.wait(exhausted) => told,
            };
            match self.round(exhausted, told).await {
                Ok(found_all) => {
                    exhausted = found_all;
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

    /// Until there is something to claim for. True if somebody said that there is, or nobody needs to.
    async fn wait(&mut self, exhausted: bool) -> bool {
        let queue = Arc::clone(&self.queue);
        let mut told = true;
        if exhausted {
            let poll = self.shared.options.poll;
            let apart = !self.apart.is_empty();
            told = tokio::select! {
                () = queue.wake.notified() => true,
                () = queue.room.notified(), if apart => false,
                () = tokio::time::sleep(poll) => false,
            };
        }
        while self.wanted() == 0
            && !self.newcomers()
            && self.wanted_apart().is_empty()
            && self.newly_stuck().is_empty()
        {
            // The time limit only helps the pace to be measured.
            tokio::select! {
                () = queue.room.notified() => {}
                () = queue.wake.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
        told
    }

    /// Claims what there is room for. True if there was no more.
    async fn round(&mut self, exhausted: bool, told: bool) -> Result<bool, Error> {
        let Some(incarnation) = self.shared.leases.current() else {
            // The heartbeat registers anew.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(exhausted);
        };
        for domain in self.newly_stuck() {
            self.apart.add(domain, self.floor, self.highest);
        }
        for wanted in self.wanted_apart() {
            self.claim_apart(&wanted, &incarnation).await?;
        }
        if self.queue.look_back.swap(false, Ordering::AcqRel) {
            self.apart.look_back();
        }
        *lock(&self.queue.apart) = self.apart.domains().collect();
        let (wanted, newcomers) = (self.wanted(), self.newcomers());
        if wanted == 0 && !newcomers {
            return Ok(exhausted);
        }
        if newcomers || exhausted {
            self.queue.told.store(false, Ordering::Release);
        }
        let (least, most) = match (newcomers, exhausted) {
            (true, false) => (NEWCOMERS, NEWCOMERS),
            (true, true) => (NEWCOMERS, AT_ONCE),
            (false, _) => (1, AT_ONCE),
        };
        let wanted = wanted.clamp(least, most);
        let occasion = Occasion {
            told,
            settled: exhausted || newcomers,
        };
        let found = self.claim(wanted, occasion, &incarnation).await?;
        Ok(found < wanted)
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
        let (running, waiting) = queue.load(self.apart.domains());
        let wanted = (queue.options.concurrency + ahead).saturating_sub(running + waiting);
        if waiting > ahead / 2 { 0 } else { wanted }
    }

    /// Whether to look for what has arrived, though there may be enough here: where jobs take long, nothing is claimed ahead.
    fn newcomers(&self) -> bool {
        self.queue.told.load(Ordering::Acquire)
            && self.ahead >= NEWCOMERS
            && self.queue.load(self.apart.domains()).1 < self.ahead + NEWCOMERS
            && Instant::now() >= self.next_newcomers
    }

    /// Domains that claims for all are to leave out from now on.
    fn newly_stuck(&self) -> Vec<Uuid> {
        let mut stuck = self.queue.stuck(STUCK);
        stuck.retain(|domain| !self.apart.contains(*domain));
        stuck
    }

    fn wanted_apart(&self) -> Vec<Wanted> {
        let reach = STEP * i64::try_from(AT_ONCE).unwrap_or(i64::MAX);
        let room = |domain| self.queue.room_for(domain);
        self.apart.wanted(room, AT_ONCE, self.highest, reach)
    }

    async fn claim_apart(&mut self, wanted: &Wanted, incarnation: &Arc<Incarnation>) -> Result<(), Error> {
        let range = Range {
            from: wanted.from,
            below: wanted.below,
            only: Some(wanted.domain),
        };
        let found = self.claim_range(&range, wanted.jobs, incarnation).await?;
        self.apart.claimed(wanted, &found.turns);
        Ok(())
    }

    async fn claim(
        &mut self,
        wanted: usize,
        occasion: Occasion,
        incarnation: &Arc<Incarnation>,
    ) -> Result<usize, Error> {
        let from = self.begin_at(occasion.settled);
        // A look writes nothing.
        if !occasion.told && !self.something_waits(from).await? {
            return Ok(0);
        }
        self.claim_from(from, wanted, incarnation).await
    }

    fn begin_at(&self, settled: bool) -> From {
        let late = self.queue.late.load(Ordering::Relaxed) < i64::MAX;
        if settled || late || Instant::now() >= self.next_settled {
            From::Settled
        } else {
            From::LastClaim
        }
    }

    fn range(&self, from: From) -> Range {
        // Those that are left out may be a million: what is for others stands close behind what has been served.
        let near = self.highest.saturating_add(STEP * 8);
        Range {
            from: match from {
                From::Settled => self.floor,
                From::LastClaim => self.last_turn,
            },
            below: if self.apart.is_empty() { i64::MAX } else { near },
            only: None,
        }
    }

    async fn something_waits(&mut self, from: From) -> Result<bool, Error> {
        let settled = self.settled();
        let range = self.range(from);
        let apart: Vec<Uuid> = self.apart.domains().collect();
        let begun = Instant::now();
        let rows = self
            .line
            .query(
                sql::WAITING,
                &[&&*self.queue.name, &range.from, &range.below, &apart],
            )
            .await?;
        let first: Option<i64> = rows.first().map(|row| row.try_get(0)).transpose()?.flatten();
        if first.is_none() {
            self.looked(from, begun.elapsed());
            self.rise(from, settled);
        }
        Ok(first.is_some())
    }

    /// Puts off the next look of this kind by what this one cost.
    fn looked(&mut self, from: From, looking: Duration) {
        if from == From::Settled {
            let now = Instant::now();
            self.next_settled = now + (looking * SPARING).clamp(SETTLED_EVERY, SETTLED_AT_LEAST_EVERY);
            self.next_newcomers = now + (looking * 2).clamp(NEWCOMERS_EVERY, SETTLED_AT_LEAST_EVERY);
        }
    }

    /// What may have become settled before a look; where that is to begin, if something came late.
    fn settled(&mut self) -> i64 {
        let settled = self.queue.settled.load(Ordering::Acquire);
        let late = self.queue.late.swap(i64::MAX, Ordering::AcqRel);
        self.floor = self.floor.min(late);
        settled
    }

    /// After a look at all that is not settled: up to this turn, which was settled before it began, nothing is left.
    fn rise(&mut self, from: From, to: i64) {
        if from == From::Settled {
            self.floor = self.floor.max(to);
            self.queue.floor.store(self.floor, Ordering::Release);
        }
    }

    async fn claim_from(
        &mut self,
        from: From,
        wanted: usize,
        incarnation: &Arc<Incarnation>,
    ) -> Result<usize, Error> {
        let settled = self.settled();
        let range = self.range(from);
        let Found { turns, took } = self.claim_range(&range, wanted, incarnation).await?;
        let count = u32::try_from(turns.len()).unwrap_or(u32::MAX);
        self.looked(from, took.saturating_sub(self.each * count));
        if from == From::LastClaim && count > 0 {
            self.each = (self.each * 7 + took / count) / 8;
        }
        if let (Some(first), Some(last)) = (turns.iter().min(), turns.iter().max()) {
            // There may be more behind the last of them, unless there was room for that.
            let all = turns.len() < wanted;
            self.rise(from, if all { settled } else { settled.min(*last) });
            self.last_turn = *first.max(&self.floor);
            self.highest = self.highest.max(*last);
            self.queue.position.fetch_max(*first, Ordering::Relaxed);
        }
        Ok(turns.len())
    }

    async fn claim_range(
        &mut self,
        range: &Range,
        wanted: usize,
        incarnation: &Arc<Incarnation>,
    ) -> Result<Found, Error> {
        let limit = i64::try_from(wanted).unwrap_or(i64::MAX);
        let apart: Vec<Uuid> = if range.only.is_none() {
            self.apart.domains().collect()
        } else {
            Vec::new()
        };
        let begun = Instant::now();
        let result = self
            .line
            .query(
                sql::CLAIM,
                &[
                    &incarnation.id,
                    &&*self.queue.name,
                    &range.from,
                    &limit,
                    &range.below,
                    &apart,
                    &range.only,
                ],
            )
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
        let turns = jobs.iter().map(|job| job.turn).collect();
        self.queue.push(jobs);
        Ok(Found { turns, took })
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
            since: Instant::now(),
            lease,
            info: Arc::new(info),
            payload: row.try_get(10)?,
            stop: incarnation.hold(lease.job, lease.attempt),
            incarnation: Arc::clone(incarnation),
        })
    }
}
