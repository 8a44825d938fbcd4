use std::time::Duration;

/// A queue that a worker serves.
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// Its name.
    pub name: String,
    /// How many of its jobs run at once in this worker.
    pub concurrency: usize,
    /// At most so many jobs are claimed ahead of need. How many really are follows the pace: what 20 ms take.
    pub prefetch: usize,
}

impl QueueOptions {
    /// 32 jobs at once, 500 ahead.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            concurrency: 32,
            prefetch: 500,
        }
    }

    /// How many of its jobs run at once in this worker; 0 counts as 1. From four on, one domain alone gets three quarters of them.
    #[must_use]
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.concurrency = jobs.max(1);
        self
    }
}

/// How completions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// Those of a moment (2 ms at most) in one statement.
    Batched,
    /// Each in a statement and a transaction of its own.
    EachAlone,
}

/// How long finished jobs stay, by state.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Completed ones.
    pub completed: Duration,
    /// Cancelled ones.
    pub cancelled: Duration,
    /// Dead letters.
    pub dead: Duration,
    /// Finished batches, once their jobs are gone.
    pub batches: Duration,
    /// How often old rows are looked for.
    pub every: Duration,
    /// How many are deleted by one statement.
    pub at_once: i64,
}

impl Default for Retention {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self {
            completed: day,
            cancelled: 7 * day,
            dead: 30 * day,
            batches: 7 * day,
            every: Duration::from_secs(30),
            at_once: 1000,
        }
    }
}

/// How a worker works. The defaults are meant to be kept.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Where it runs, for people: a host name and process id, say.
    pub name: String,
    /// What it serves.
    pub queues: Vec<QueueOptions>,
    /// Time between heartbeats. A lease lasts one and a half; the jobs of a worker that died are taken up within two.
    pub heartbeat: Duration,
    /// How often queues are looked at without a notification.
    pub poll: Duration,
    /// Time at least between looks for jobs that were left behind in line, which should not happen. They are rarer when they cost much.
    pub look_back: Duration,
    /// How completions are written.
    pub acknowledge: Acknowledge,
    /// Connections that write completions; `None` for two, or eight where each is written alone.
    pub finishers: Option<usize>,
    /// How long a job that was asked to stop may take to do so before its future is dropped.
    pub grace: Duration,
    /// How long running jobs may go on after the worker was told to stop. Then they are asked to stop, and their leases are handed
    /// back.
    pub drain: Duration,
    /// How long finished jobs stay.
    pub retention: Retention,
}

impl WorkerOptions {
    /// One queue, `default`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            queues: vec![QueueOptions::new("default")],
            heartbeat: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            look_back: Duration::from_millis(200),
            acknowledge: Acknowledge::Batched,
            finishers: None,
            grace: Duration::from_secs(5),
            drain: Duration::from_secs(20),
            retention: Retention::default(),
        }
    }

    pub(crate) fn finishers(&self) -> usize {
        let usual = match self.acknowledge {
            Acknowledge::Batched => 2,
            Acknowledge::EachAlone => 8,
        };
        self.finishers.unwrap_or(usual).max(1)
    }

    /// How long a lease lasts without a heartbeat.
    pub(crate) fn lease(&self) -> Duration {
        self.heartbeat.mul_f64(1.5)
    }
}
