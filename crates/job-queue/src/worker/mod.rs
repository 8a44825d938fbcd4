//! The worker: claims, runs, finishes, and keeps the queue.

mod apart;
mod claim;
mod cursor;
mod finish;
mod fire;
mod heartbeat;
mod lease;
mod maintain;
mod options;
mod pace;
mod queue;
mod settling;
mod share;
mod slot;
mod stragglers;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use options::{Acknowledge, QueueOptions, Retention, WorkerOptions};

use crate::connection::{Connector, Line, listen};
use crate::registry::Registry;
use crate::sql::CHANNEL;
use finish::{Finish, Outcome};
use lease::Leases;
use queue::Queue;

/// A poisoned lock is taken all the same: what it guards is changed by single calls.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits after a failure, longer each time up to two seconds, or until `stop`.
async fn pause_after(failures: u32, stop: &CancellationToken) {
    let wait = Duration::from_millis(20) * 2_u32.pow(failures.min(7));
    tokio::select! {
        () = tokio::time::sleep(wait.min(Duration::from_secs(2))) => {}
        () = stop.cancelled() => {}
    }
}

/// What the tasks of a worker have in common.
struct Shared {
    connector: Connector,
    registry: Registry,
    options: WorkerOptions,
    queues: Vec<Arc<Queue>>,
    leases: Leases,
    ended: mpsc::UnboundedSender<Finish>,
    /// No more claims.
    stop: CancellationToken,
    /// No more patience with what still runs.
    interrupt: CancellationToken,
    /// Nothing runs any more; what has ended is to be written.
    closing: CancellationToken,
    /// Nor more patience with that.
    abandoned: CancellationToken,
    maintain: Notify,
    told: AtomicBool,
    look_for_cancelled: AtomicBool,
    /// Since when all heartbeats have succeeded.
    steady_since: Mutex<Option<Instant>>,
}

impl Shared {
    fn finish(&self, finish: Finish) {
        // The finishers live as long as anything that could end.
        let _ = self.ended.send(finish);
    }

    fn is_busy(&self) -> bool {
        self.queues.iter().any(|queue| queue.len() > 0)
    }

    /// False when this worker does not serve the queue.
    fn wake(&self, name: &str) -> bool {
        let queue = self.queues.iter().find(|queue| *queue.name == *name);
        if let Some(queue) = queue {
            queue.wake();
        }
        queue.is_some()
    }

    fn wake_all(&self) {
        for queue in &self.queues {
            queue.wake();
        }
    }

    /// Something was written that may concern batches or times.
    fn wrote(&self) {
        if !self.told.swap(true, Ordering::AcqRel) {
            self.maintain.notify_one();
        }
    }

    fn heard(&self, payload: Option<&str>) {
        match payload {
            None => self.wake_all(),
            Some("c") => {
                self.look_for_cancelled.store(true, Ordering::Release);
                self.maintain.notify_one();
            }
            Some(payload) => {
                if let Some(queue) = payload.strip_prefix("q ") {
                    self.wake(queue);
                }
            }
        }
    }
}

/// Runs jobs until it is told to stop.
pub struct Worker {
    shared: Arc<Shared>,
    inbox: finish::Inbox,
}

/// Wakes a worker of this process.
#[derive(Clone)]
pub struct WorkerHandle(Arc<Shared>);

impl WorkerHandle {
    /// Jobs were committed to this queue. Returns at once.
    pub fn wake(&self, queue: &str) {
        self.0.wake(queue);
    }
}

impl fmt::Debug for WorkerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorkerHandle").field(&self.0.options.name).finish()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker that has not begun.
    #[must_use]
    pub fn new(connector: &Connector, registry: Registry, options: WorkerOptions) -> Self {
        let (ended, inbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            connector: connector.clone(),
            registry,
            queues: options
                .queues
                .iter()
                .map(|queue| Arc::new(Queue::new(queue)))
                .collect(),
            options,
            leases: Leases::default(),
            ended,
            stop: CancellationToken::new(),
            interrupt: CancellationToken::new(),
            closing: CancellationToken::new(),
            abandoned: CancellationToken::new(),
            maintain: Notify::new(),
            told: AtomicBool::new(true),
            look_for_cancelled: AtomicBool::new(false),
            steady_since: Mutex::default(),
        });
        Self {
            shared,
            inbox: Arc::new(tokio::sync::Mutex::new(inbox)),
        }
    }

    /// Wakes it from elsewhere in the process.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        WorkerHandle(Arc::clone(&self.shared))
    }

    /// Runs jobs until `stop`; then lets running ones end for [`WorkerOptions::drain`], hands back the leases of the others, and
    /// returns when the database knows. It never gives up for an error: without a database it waits for one.
    ///
    /// Run it on a runtime with more than one thread: a handler that blocks its thread would hold up the heartbeats too.
    pub async fn run(self, stop: CancellationToken) {
        let Self { shared, inbox } = self;
        let mut first = Line::new(&shared.connector, Duration::from_secs(10));
        let mut failures = 0;
        while let Err(error) = shared.leases.register(&shared, &mut first).await {
            failures += 1;
            tracing::warn!(%error, failures, "the worker cannot register");
            pause_after(failures, &stop).await;
            if stop.is_cancelled() {
                return;
            }
        }
        drop(first);
        *lock(&shared.steady_since) = Some(Instant::now());
        tracing::info!(
            worker = shared.options.name,
            kinds = shared.registry.kinds().count(),
            "runs jobs"
        );

        let mut slots = JoinSet::new();
        let mut claimers = JoinSet::new();
        let mut helpers = JoinSet::new();
        let mut finishers = JoinSet::new();
        for queue in &shared.queues {
            for _ in 0..queue.options.concurrency {
                slots.spawn(slot::run(Arc::clone(&shared), Arc::clone(queue)));
            }
            claimers.spawn(claim::Claimer::new(&shared, queue).run());
        }
        for _ in 0..shared.options.finishers() {
            finishers.spawn(finish::run(Arc::clone(&shared), Arc::clone(&inbox)));
        }
        helpers.spawn(heartbeat::run(Arc::clone(&shared)));
        helpers.spawn(maintain::Maintainer::new(&shared).run());
        helpers.spawn(hear(Arc::clone(&shared)));
        helpers.spawn(stragglers::run(Arc::clone(&shared)));

        stop.cancelled().await;
        tracing::info!(worker = shared.options.name, "stops");
        shared.stop.cancel();
        while claimers.join_next().await.is_some() {}
        for queue in &shared.queues {
            for job in queue.close() {
                let outcome = Outcome::Released {
                    delay: Duration::ZERO,
                    error: "the worker shut down".to_owned(),
                };
                shared.finish(Finish::new(job.lease, job.incarnation, outcome));
            }
        }
        let drained = tokio::time::timeout(shared.options.drain, async {
            while slots.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            shared.interrupt.cancel();
            let last = shared.options.grace + Duration::from_secs(1);
            // What blocks its thread is left behind; its lease is handed back all the same.
            let _ = tokio::time::timeout(last, async { while slots.join_next().await.is_some() {} }).await;
            slots.abort_all();
        }
        shared.closing.cancel();
        let written = tokio::time::timeout(Duration::from_secs(10), async {
            while finishers.join_next().await.is_some() {}
        });
        if written.await.is_err() {
            shared.abandoned.cancel();
        }
        while helpers.join_next().await.is_some() {}
        let mut last = Line::new(&shared.connector, Duration::from_secs(10));
        if let Err(error) = heartbeat::hand_back(&mut last, &shared.leases.ids()).await {
            tracing::warn!(%error, "the leases could not be handed back; they will run out");
        }
    }
}

/// Listens, and connects again when that breaks.
async fn hear(shared: Arc<Shared>) {
    let mut failures = 0;
    loop {
        let listening = listen(&shared.connector, CHANNEL, |payload| shared.heard(payload));
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            result = listening => {
                failures += 1;
                if let Err(error) = result {
                    tracing::warn!(%error, "cannot listen; new jobs are found by polling");
                }
            }
        }
        pause_after(failures.min(6), &shared.closing).await;
    }
}
