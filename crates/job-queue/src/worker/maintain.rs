//! What any worker does for all: takes up the jobs of dead workers, moves jobs whose time has come into line, fires schedules, folds
//! batch counts, deletes what is old. Each worker does all of it; locked rows are skipped, so that they do not meet.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::cursor::Cursor;
use super::finish::{Finish, Outcome};
use super::fire::fire_one;
use super::settling::Settling;
use super::{Shared, lock};
use crate::connection::Line;
use crate::error::Error;
use crate::sql;

/// The longest that a batch's counts, or a job whose time has come, wait when nobody says anything.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at least.
const REST: Duration = Duration::from_millis(20);
/// How often the served turn is published.
const PUBLISH: Duration = Duration::from_millis(200);
/// What has been claimed and could not begin for so long is handed back: another worker may have room for it.
const KEPT_WAITING: Duration = Duration::from_secs(2);
const AT_ONCE: i64 = 1000;
/// How often jobs are looked for whose worker's row is gone: it should never be.
const ORPHANS: Duration = Duration::from_secs(600);
/// A scheduled job is committed so long after its time at most, but for those of long transactions.
const LATE: chrono::TimeDelta = chrono::TimeDelta::seconds(1);

/// Something that is done from time to time.
struct Chore {
    next: Instant,
}

impl Chore {
    fn due(&mut self, every: Duration) -> bool {
        let now = Instant::now();
        let due = now >= self.next;
        if due {
            self.next = now + every;
        }
        due
    }
}

pub(super) struct Maintainer {
    shared: Arc<Shared>,
    line: Line,
    look: Chore,
    rescue: Chore,
    publish: Chore,
    cancel: Chore,
    orphans: Chore,
    retention: Chore,
    scheduled: Cursor,
    finished: [Cursor; 3],
    /// By queue.
    settling: Vec<Settling>,
}

impl Maintainer {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let now = Instant::now();
        let chore = || Chore { next: now };
        Self {
            shared: Arc::clone(shared),
            line: Line::new(&shared.connector, Duration::from_secs(60)),
            look: chore(),
            rescue: chore(),
            publish: chore(),
            cancel: chore(),
            orphans: chore(),
            scheduled: Cursor::new(),
            finished: std::array::from_fn(|_| Cursor::new()),
            retention: Chore {
                next: now + shared.options.retention.every,
            },
            settling: shared.queues.iter().map(|_| Settling::default()).collect(),
        }
    }

    /// Until the worker is closing.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut wait = REST;
        loop {
            tokio::select! {
                biased;
                () = shared.closing.cancelled() => return,
                () = async {
                    tokio::time::sleep(REST).await;
                    let _ = tokio::time::timeout(wait.saturating_sub(REST), shared.maintain.notified()).await;
                } => {}
            }
            wait = match self.round().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(%error, "the queue's housekeeping failed; trying again");
                    LOOK
                }
            };
        }
    }

    /// Does what is due. Returns how long nothing will be, unless somebody says otherwise.
    async fn round(&mut self) -> Result<Duration, Error> {
        let shared = Arc::clone(&self.shared);
        let options = &shared.options;
        self.hand_back();
        let mut wait = if self.publish.due(PUBLISH) && self.publish_turns().await? {
            PUBLISH
        } else {
            LOOK
        };
        if self.cancel.due(LOOK) || shared.look_for_cancelled.swap(false, Ordering::AcqRel) {
            self.pass_on_cancellations().await?;
        }
        let steady = lock(&shared.steady_since).is_some_and(|since| since.elapsed() >= options.heartbeat);
        // After an outage, everybody gets the time of a heartbeat to come back.
        if self.rescue.due(options.heartbeat / 4) && steady {
            self.rescue_lost().await?;
        }
        if steady && self.orphans.due(ORPHANS) {
            // Not here: while a transaction is open somewhere, all that was run meanwhile is walked over.
            tokio::spawn(rescue_orphans(Arc::clone(&shared)));
        }
        wait = wait.min(options.heartbeat / 4);
        let told = shared.told.swap(false, Ordering::AcqRel);
        if self.look.due(LOOK) || told {
            self.fold_batches().await?;
        }
        wait = wait.min(self.let_in().await?);
        if self.retention.due(options.retention.every) {
            let more = self.retain().await?;
            if more {
                self.retention.next = Instant::now() + Duration::from_millis(100);
                wait = wait.min(Duration::from_millis(100));
            }
        }
        Ok(wait)
    }

    /// Scheduled jobs and schedules whose time has come. Returns how long until the next.
    async fn let_in(&mut self) -> Result<Duration, Error> {
        let (start, begun) = (self.scheduled.start(), Instant::now());
        let rows = self.line.query(sql::NEXT_DUE, &[&start]).await?;
        let (jobs, schedules, now): (Option<f64>, Option<f64>, DateTime<Utc>) = match rows.first() {
            Some(row) => (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?),
            None => return Ok(LOOK),
        };
        let mut again = false;
        if jobs.is_some_and(|seconds| seconds <= 0.0) {
            let (mut promoted, mut end) = (0, None);
            for row in self.line.query(sql::PROMOTE, &[&AT_ONCE, &start]).await? {
                self.arrived(row.try_get(0)?).await?;
                promoted += row.try_get::<_, i64>(1)?;
                end = end.max(Some(row.try_get::<_, DateTime<Utc>>(2)? - LATE));
            }
            self.scheduled.looked(start, begun.elapsed(), end);
            again |= promoted > 0;
        } else {
            // All that was due has left.
            self.scheduled.looked(start, begun.elapsed(), Some(now - LATE));
        }
        if schedules.is_some_and(|seconds| seconds <= 0.0) {
            again |= self.fire().await?;
        }
        if again {
            return Ok(REST);
        }
        let soonest = jobs
            .into_iter()
            .chain(schedules)
            .filter(|seconds| *seconds > 0.0)
            .fold(LOOK.as_secs_f64(), f64::min);
        Ok(Duration::from_secs_f64(soonest))
    }

    /// Jobs came into line: this worker and the others are told.
    async fn arrived(&mut self, queue: String) -> Result<(), Error> {
        if !self.shared.wake(&queue) || self.shared.queues.len() > 1 {
            let payload = format!("q {queue}");
            self.line
                .query("SELECT pg_notify($1::text, $2::text)", &[&sql::CHANNEL, &payload])
                .await?;
        }
        Ok(())
    }

    async fn fire(&mut self) -> Result<bool, Error> {
        let queues = self
            .line
            .transaction(async |tx| {
                let mut queues = Vec::new();
                for row in tx.query(sql::SCHEDULE_DUE, &[]).await? {
                    queues.push(fire_one(tx, &row).await?);
                }
                Ok(queues)
            })
            .await?;
        let fired = !queues.is_empty();
        for queue in queues {
            self.arrived(queue).await?;
        }
        Ok(fired)
    }

    async fn rescue_lost(&mut self) -> Result<(), Error> {
        // Most of the time there is nobody, and no transaction.
        let any = "SELECT FROM queue_workers WHERE domain_id = platform_domain_id() AND lease_until < now() AND id <> ALL ($1::uuid[]) LIMIT 1";
        let own = self.shared.leases.ids();
        if self.line.query(any, &[&own]).await?.is_empty() {
            return Ok(());
        }
        let taken = self
            .line
            .transaction(async |tx| {
                let mut lost: Vec<Uuid> = Vec::new();
                for row in tx.query(sql::EXPIRED, &[&own]).await? {
                    lost.push(row.try_get(0)?);
                }
                // A statement of its own, so that it sees what they claimed last.
                let taken = tx.query(sql::TAKE_BACK, &[&lost, &"lost"]).await?.len();
                tx.query(sql::DISMISS, &[&lost]).await?;
                Ok(taken)
            })
            .await?;
        if taken > 0 {
            metrics::counter!("job_queue_rescued_total").increment(u64::try_from(taken).unwrap_or(0));
            tracing::warn!(
                jobs = taken,
                "took back the jobs of workers that were silent for too long"
            );
            self.shared.wake_all();
            self.shared.told.store(true, Ordering::Release);
        }
        Ok(())
    }

    async fn pass_on_cancellations(&mut self) -> Result<(), Error> {
        let ids = self.shared.leases.ids();
        for row in self.line.query(sql::CANCEL_REQUESTED, &[&ids]).await? {
            let (job, attempt) = (row.try_get(0)?, row.try_get(1)?);
            for incarnation in self.shared.leases.all() {
                incarnation.stop(job, attempt);
            }
        }
        Ok(())
    }

    /// Says how far the queues have come, and finds out behind which turn nothing arrives any more. True while any moves.
    async fn publish_turns(&mut self) -> Result<bool, Error> {
        let shared = Arc::clone(&self.shared);
        let mut moving = false;
        for (queue, settling) in shared.queues.iter().zip(&mut self.settling) {
            let position = queue.position.load(Ordering::Relaxed);
            if position > settling.published() {
                self.line
                    .query(sql::PUBLISH_TURN, &[&&*queue.name, &position])
                    .await?;
                settling.publish(position);
                moving = true;
            }
            moving |= settling.is_moving();
        }
        if !moving {
            return Ok(false);
        }
        let mut writers = HashSet::new();
        for row in self.line.query(sql::WRITERS, &[]).await? {
            writers.insert(row.try_get::<_, String>(0)?);
        }
        let now = Instant::now();
        for (queue, settling) in shared.queues.iter().zip(&mut self.settling) {
            let seen = settling.list(&writers, now);
            queue.settled.fetch_max(seen.settled, Ordering::AcqRel);
            if let Some(turn) = seen.arrived {
                queue.late.fetch_min(turn, Ordering::AcqRel);
                queue.wake();
            }
        }
        Ok(true)
    }

    /// Hands back what has been claimed and does not come to begin.
    fn hand_back(&self) {
        for queue in &self.shared.queues {
            for job in queue.give_up(KEPT_WAITING) {
                let outcome = Outcome::Released {
                    delay: Duration::ZERO,
                    error: "handed back: the worker had no slot for it in time".to_owned(),
                };
                self.shared
                    .finish(Finish::new(job.lease, job.incarnation, outcome));
            }
        }
    }

    async fn fold_batches(&mut self) -> Result<(), Error> {
        for row in self.line.query(sql::BATCH_FOLD, &[]).await? {
            for queue in row.try_get::<_, Vec<String>>(1)? {
                self.arrived(queue).await?;
            }
        }
        Ok(())
    }

    /// True when there is more to be deleted.
    async fn retain(&mut self) -> Result<bool, Error> {
        let retention = self.shared.options.retention;
        self.line.query(sql::BATCH_SEAL_OVERDUE, &[]).await?;
        let at_once = retention.at_once;
        let mut more = false;
        for ((state, keep), cursor) in [
            ("completed", retention.completed),
            ("cancelled", retention.cancelled),
            ("dead", retention.dead),
        ]
        .into_iter()
        .zip(&mut self.finished)
        {
            let (start, begun) = (cursor.start(), Instant::now());
            let rows = self
                .line
                .query(sql::RETAIN_JOBS, &[&state, &keep.as_secs_f64(), &at_once, &start])
                .await?;
            let (gone, last): (i64, Option<DateTime<Utc>>) = match rows.first() {
                Some(row) => (row.try_get(0)?, row.try_get(1)?),
                None => (0, None),
            };
            cursor.looked(start, begun.elapsed(), last);
            more |= gone >= at_once;
        }
        more |= self
            .line
            .execute(sql::RETAIN_BATCHES, &[&retention.batches.as_secs_f64(), &at_once])
            .await?
            >= at_once.unsigned_abs();
        Ok(more)
    }
}

/// Running jobs under a worker that is not there; on a connection of its own.
async fn rescue_orphans(shared: Arc<Shared>) {
    let mut line = Line::new(&shared.connector, Duration::from_secs(60));
    let rescue = async {
        let mut lost: Vec<Uuid> = Vec::new();
        for row in line.query(sql::ORPHANED, &[]).await? {
            lost.push(row.try_get(0)?);
        }
        if lost.is_empty() {
            return Ok(());
        }
        let taken = line.query(sql::TAKE_BACK, &[&lost, &"lost"]).await?.len();
        metrics::counter!("job_queue_rescued_total").increment(u64::try_from(taken).unwrap_or(0));
        tracing::error!(
            jobs = taken,
            workers = ?lost,
            "took back the jobs of workers that are not in queue_workers: who deleted them there?"
        );
        shared.wake_all();
        shared.told.store(true, Ordering::Release);
        Ok::<(), Error>(())
    };
    if let Err(error) = rescue.await {
        tracing::warn!(%error, "cannot look for jobs without a worker");
    }
}
