//! What a worker of Plinth can do: handlers, the schedules that enqueue for them, and the queues that it serves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use app_config::JobsConfig;
use job_queue::{
    Connector, Failure, Job, NewJob, NewSchedule, QueueOptions, Registry, While, Worker, WorkerOptions,
};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::threads::Threads;
use super::{JobContext, housekeeping, queue};
use crate::db::Db;
use crate::ids::{DomainId, PLATFORM_DOMAIN};
use crate::owner::{Owner, SystemError};

/// How long after a failure the schedules are written again.
const PAUSE: Duration = Duration::from_secs(1);

/// Links a run's span to the `traceparent` of whoever enqueued the job; `telemetry::link_trace`.
pub type LinkTrace = fn(&Span, &str) -> bool;

/// Where a worker runs, for people: program, host, process.
#[derive(Clone, Debug)]
pub struct WorkerName(String);

impl WorkerName {
    /// This process of `program`.
    pub fn of(program: &str) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = host.trim();
        let host = if host.is_empty() { "unknown host" } else { host };
        let name = format!("{program} on {host}, process {}", std::process::id());
        Self(name.chars().take(200).collect())
    }
}

/// Handlers, schedules and queues of one worker.
///
/// ```no_run
/// # use db_core::jobs::{Failure, Handlers, Job, JobContext, Missed, NewSchedule, queue};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Backup {}
/// # impl Job for Backup {
/// #     const NAME: &'static str = "backup";
/// #     const QUEUE: &'static str = queue::OPERATIONS;
/// # }
/// # fn f(handlers: Handlers) -> Result<Handlers, Box<dyn std::error::Error>> {
/// let daily = NewSchedule::new("backup", db_core::PLATFORM_DOMAIN.uuid(), "0 2 * * *", &Backup {})?.missed(Missed::Once);
/// Ok(handlers
///     .serve(queue::OPERATIONS, 1)
///     .handle(|context: JobContext, job: Backup| async move {
///         // An error is tried again, `Failure::fatal` is not.
///         Ok(())
///     })
///     .schedule(daily))
/// # }
/// ```
#[must_use]
pub struct Handlers {
    threads: Arc<Threads>,
    owner: Owner,
    db: Db,
    registry: Registry,
    schedules: Vec<NewSchedule>,
    at_start: Vec<NewJob>,
    queues: BTreeMap<String, usize>,
    drain: Duration,
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handlers")
            .field("kinds", &self.registry)
            .field("queues", &self.queues)
            .finish_non_exhaustive()
    }
}

impl Handlers {
    /// Those of the core, serving the queues `default` and `maintenance`. `link` is `telemetry::link_trace`.
    ///
    /// # Errors
    /// A schedule of the core cannot be written, which its tests rule out.
    pub fn core(
        owner: &Owner,
        db: &Db,
        config: &JobsConfig,
        link: LinkTrace,
    ) -> Result<Self, job_queue::Error> {
        // A handler that computes holds up those on its own thread, no others.
        let count = std::thread::available_parallelism()
            .map_or(2, usize::from)
            .clamp(2, 8);
        let connections = u32::try_from(config.concurrency.div_ceil(count) + 1).unwrap_or(u32::MAX);
        let registry = Registry::new().span(move |context| {
            let info = context.info();
            let span = tracing::info_span!(
                "job",
                id = %context.job_id(),
                kind = info.kind,
                queue = &*info.queue,
                domain = %context.domain(),
                attempt = context.attempt(),
            );
            if let Some(trace) = &info.trace {
                link(&span, trace);
            }
            span
        });
        let handlers = Self {
            threads: Arc::new(Threads::new(count, connections, owner, db)),
            owner: owner.clone(),
            db: db.clone(),
            registry,
            schedules: Vec::new(),
            at_start: Vec::new(),
            queues: BTreeMap::new(),
            drain: config.shutdown_grace,
        };
        let handlers = handlers
            .serve(queue::DEFAULT, config.concurrency)
            .serve(queue::MAINTENANCE, 4);
        housekeeping::register(handlers, config)
    }

    /// Adds a kind's handler, or takes the place of the one before. It may run more than once for a job, and twice at the same time
    /// where a lease was lost: what it does has to bear that, or to be committed with [`JobContext::finish`]. It must not block its
    /// thread: what computes for long, or calls blocking functions, goes to `tokio::task::spawn_blocking`.
    pub fn handle<J, H, F>(mut self, handler: H) -> Self
    where
        J: Job,
        H: Fn(JobContext, J) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), Failure>> + 'static,
    {
        let threads = Arc::clone(&self.threads);
        self.registry = self.registry.handle(move |context: job_queue::Context, job: J| {
            let (threads, handler) = (Arc::clone(&threads), handler.clone());
            async move { threads.run(context, move |context| handler(context, job)).await }
        });
        self
    }

    /// As [`Self::handle`], for a kind of the installation's own: one that stands in a domain other than the platform's was put there
    /// by mistake or by malice, and becomes a dead letter at once.
    pub fn handle_platform<J, H, F>(self, handler: H) -> Self
    where
        J: Job,
        H: Fn(JobContext, J) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), Failure>> + 'static,
    {
        self.handle(move |context: JobContext, job: J| {
            let running = (context.domain() == PLATFORM_DOMAIN).then(|| handler(context, job));
            async move {
                match running {
                    Some(running) => running.await,
                    None => Err(Failure::fatal(format!(
                        "jobs of the kind {} are the installation's: only the platform domain has them",
                        J::NAME
                    ))),
                }
            }
        })
    }

    /// A job of the installation that each start of a worker enqueues, unless there is an unfinished one.
    ///
    /// # Errors
    /// A payload that serde cannot write.
    pub fn at_start<J: Job>(mut self, job: &J) -> Result<Self, job_queue::Error> {
        let new = NewJob::new(self.db.clock().uuid(), job)?
            .in_domain(PLATFORM_DOMAIN.uuid())
            .unique("start", While::Unfinished);
        self.at_start.push(new);
        Ok(self)
    }

    /// Adds a schedule, which [`Self::run`] writes into the database, however many workers do. One that is no longer wanted has to be
    /// dropped with [`retire`]: it is not enough to leave it out here.
    pub fn schedule(mut self, schedule: NewSchedule) -> Self {
        self.schedules.push(schedule);
        self
    }

    /// Serves a queue, so many jobs of it at once.
    pub fn serve(mut self, queue: &str, concurrency: usize) -> Self {
        self.queues.insert(queue.to_owned(), concurrency.max(1));
        self
    }

    /// Serves only these of its queues; all when the list is empty.
    ///
    /// # Errors
    /// A name that is none of them, with those that there are.
    pub fn only(mut self, queues: &[String]) -> Result<Self, String> {
        if let Some(unknown) = queues.iter().find(|name| !self.queues.contains_key(*name)) {
            let known: Vec<&str> = self.queues.keys().map(String::as_str).collect();
            return Err(format!(
                "there is no queue {unknown:?}: there are {}",
                known.join(", ")
            ));
        }
        if !queues.is_empty() {
            self.queues.retain(|name, _| queues.contains(name));
        }
        Ok(self)
    }

    /// Writes the schedules, then runs jobs until `stop`; then lets running ones end, and hands back the leases of the others. An
    /// outage of the database ends neither: it waits. Call it on a runtime of more than one thread.
    pub async fn run(self, name: WorkerName, stop: CancellationToken) {
        while let Err(error) = put(&self.owner, &self.schedules, &self.at_start).await {
            tracing::warn!(%error, "the schedules of jobs are not written yet");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        let mut options = WorkerOptions::new(name.0);
        options.drain = self.drain;
        options.queues = self
            .queues
            .iter()
            .map(|(queue, concurrency)| QueueOptions::new(queue).concurrency(*concurrency))
            .collect();
        let Some(connector) = worker_connector(&self.owner, &stop).await else {
            return;
        };
        let worker = Worker::new(&connector, self.registry, options);
        if let Some(notifier) = self.db.notifier() {
            notifier.add_local(worker.handle());
        }
        worker.run(stop).await;
    }
}

/// Defines the schedules, or defines them anew, and enqueues what each start brings.
async fn put(owner: &Owner, schedules: &[NewSchedule], at_start: &[NewJob]) -> Result<(), SystemError> {
    owner
        .system(async |tx| {
            for schedule in schedules {
                schedule.put(tx.client()).await?;
            }
            tx.enqueue_all(at_start).await?;
            Ok(())
        })
        .await
}

/// Drops a schedule that an older version made. Nothing happens where there is none.
///
/// # Errors
/// The database is away, or a statement fails.
pub async fn retire(owner: &Owner, domain: DomainId, name: &str) -> Result<(), SystemError> {
    owner
        .system(async |tx| {
            let sql = "DELETE FROM queue_schedules WHERE domain_id = $1 AND name = $2";
            tx.client().execute(sql, &[&domain.uuid(), &name]).await?;
            Ok(())
        })
        .await
}

/// Connections that see every domain, for the queue's own work; `None` when it is to stop first. Where the only address is that of a
/// pooler that gives connections away with each transaction, nothing may be left behind on them.
async fn worker_connector(owner: &Owner, stop: &CancellationToken) -> Option<Connector> {
    loop {
        match owner.is_pooled().await {
            Ok(false) => {
                let owner = owner.clone();
                return Some(Connector::new(move || {
                    let owner = owner.clone();
                    async move { owner.system_connection().await }
                }));
            }
            Ok(true) => {
                tracing::warn!(
                    address = %owner.address(),
                    "a pooler stands before the database, and gives connections away with each transaction: jobs are found by \
                     polling alone, and slowly; set DATABASE_DIRECT_URL to the database's own address"
                );
                return Some(connector(owner).pooled("SET LOCAL ROLE plinth_system"));
            }
            Err(error) => tracing::warn!(%error, "the worker does not connect yet"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Connections of the owner's, on which nothing is set: for what is said to workers.
pub(crate) fn connector(owner: &Owner) -> Connector {
    let owner = owner.clone();
    Connector::new(move || {
        let owner = owner.clone();
        async move { owner.plain_connection().await }
    })
}
