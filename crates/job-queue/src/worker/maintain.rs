//! What any worker does for all: takes up the jobs of dead workers, moves jobs whose time has come into line, fires schedules, folds
//! batch counts, deletes what is old. Each worker does all of it; locked rows are skipped, so that they do not meet.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Shared, lock};
use crate::connection::{Held, Line};
use crate::error::Error;
use crate::schedule::{Missed, Times, firings};
use crate::sql;

/// The longest that a batch's counts, or a job whose time has come, wait when nobody says anything.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at least.
const REST: Duration = Duration::from_millis(20);
/// How often the served turn is published, and how old it must be to count as settled.
const PUBLISH: Duration = Duration::from_millis(200);
const SETTLED: Duration = Duration::from_secs(1);
const AT_ONCE: i64 = 1000;

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
    retention: Chore,
    /// By queue, what was published when.
    published: Vec<Vec<(Instant, i64)>>,
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
            retention: Chore {
                next: now + shared.options.retention.every,
            },
            published: vec![Vec::new(); shared.queues.len()],
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
        let rows = self.line.query(sql::NEXT_DUE, &[]).await?;
        let (jobs, schedules): (Option<f64>, Option<f64>) = match rows.first() {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (None, None),
        };
        let mut again = false;
        if jobs.is_some_and(|seconds| seconds <= 0.0) {
            let mut promoted = 0;
            for row in self.line.query(sql::PROMOTE, &[&AT_ONCE]).await? {
                self.arrived(row.try_get(0)?).await?;
                promoted += row.try_get::<_, i64>(1)?;
            }
            again |= promoted > 0;
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
        let any = "SELECT FROM queue_workers WHERE domain_id = platform_domain_id() AND lease_until < now() LIMIT 1";
        if self.line.query(any, &[]).await?.is_empty() {
            return Ok(());
        }
        let taken = self
            .line
            .transaction(async |tx| {
                let mut lost: Vec<Uuid> = Vec::new();
                for row in tx.query(sql::EXPIRED, &[]).await? {
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

    /// Says how far the queues have come, and learns how far others have. True while any moves.
    async fn publish_turns(&mut self) -> Result<bool, Error> {
        let shared = Arc::clone(&self.shared);
        let mut moving = false;
        for (queue, published) in shared.queues.iter().zip(&mut self.published) {
            let now = Instant::now();
            let position = queue.position.load(Ordering::Relaxed);
            let last = published.last().map_or(0, |(_, turn)| *turn);
            if position > last {
                self.line
                    .query(sql::PUBLISH_TURN, &[&&*queue.name, &position])
                    .await?;
                published.push((now, position));
            }
            // The newest that is old enough.
            while published
                .get(1)
                .is_some_and(|(when, _)| now.duration_since(*when) >= SETTLED)
            {
                published.remove(0);
            }
            if let Some((when, turn)) = published.first()
                && now.duration_since(*when) >= SETTLED
            {
                queue.settled.fetch_max(*turn, Ordering::Relaxed);
            }
            moving |= published.len() > 1 || position > last;
        }
        Ok(moving)
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
        for (state, keep) in [
            ("completed", retention.completed),
            ("cancelled", retention.cancelled),
            ("dead", retention.dead),
        ] {
            more |= self
                .line
                .execute(sql::RETAIN_JOBS, &[&state, &keep.as_secs_f64(), &at_once])
                .await?
                >= at_once.unsigned_abs();
        }
        more |= self
            .line
            .execute(sql::RETAIN_BATCHES, &[&retention.batches.as_secs_f64(), &at_once])
            .await?
            >= at_once.unsigned_abs();
        Ok(more)
    }
}

/// Enqueues what a locked schedule owes, and moves it on. Returns the queue.
async fn fire_one(tx: &mut Held<'_>, row: &tokio_postgres::Row) -> Result<String, Error> {
    let (domain, name, queue): (Uuid, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let (cron, zone, missed): (String, String, String) = (row.try_get(7)?, row.try_get(8)?, row.try_get(9)?);
    let (due, now): (DateTime<Utc>, DateTime<Utc>) = (row.try_get(10)?, row.try_get(11)?);
    let (fired, next) = match Times::parse(&cron, &zone) {
        Ok(times) => firings(&times, Missed::parse(&missed), due, now),
        Err(error) => {
            // Written by a newer version, perhaps. It must not hold up the others.
            tracing::error!(schedule = name, %error, "a schedule cannot be read; it fires no more until it is defined anew");
            (Vec::new(), None)
        }
    };
    if !fired.is_empty() {
        let count = fired.len();
        let ids: Vec<Uuid> = tx
            .query(
                "SELECT gen_random_uuid() FROM generate_series(1, $1::int8)",
                &[&i64::try_from(count).unwrap_or(0)],
            )
            .await?
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        let (kind, priority, attempts, payload): (String, i32, i32, String) =
            (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?, row.try_get(6)?);
        let none = vec![None::<&str>; count];
        tx.query(
            sql::ENQUEUE,
            &[
                &vec![domain; count],
                &ids,
                &vec![&queue; count],
                &vec![&kind; count],
                &vec![priority; count],
                &vec![attempts; count],
                &vec![&payload; count],
                &fired,
                &vec![None::<f64>; count],
                &none,
                &none,
                &vec![None::<Uuid>; count],
                &none,
            ],
        )
        .await?;
    }
    tx.query(sql::SCHEDULE_MOVE, &[&domain, &name, &due, &next])
        .await?;
    Ok(queue)
}
