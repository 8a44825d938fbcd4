//! Jobs: what must happen later. The queue itself is the crate `job-queue`; here are the ways of Plinth's transactions into it, and
//! the worker that gives a handler the same tenant transaction that a request has.
//!
//! - A job is a type with a name: `impl Job for SendWelcome`. [`WriteTx::enqueue`](crate::WriteTx::enqueue) adds it in the
//!   transaction of a request, [`SystemTx::enqueue`](crate::SystemTx::enqueue) in one of the installation's.
//! - Its handler is registered with [`Handlers::handle`], is given a [`JobContext`], and reaches data through
//!   [`JobContext::write`] and [`JobContext::read`]: as the app role, in the job's domain, as nobody.
//! - What is to happen again and again is a [`NewSchedule`] given to [`Handlers::schedule`]. Nothing else in Plinth may start a loop of its own.
//!
//! docs/JOBS.md has the whole of it.

mod context;
mod enqueue;
mod handlers;
pub mod housekeeping;
mod metrics;
mod payload;
mod statement;
mod threads;

pub use context::JobContext;
pub(crate) use handlers::connector;
pub use handlers::{Handlers, LinkTrace, WorkerName, retire};
pub use job_queue::{
    Backoff, Enqueued, Error as QueueError, Failure, Job, JobState, Missed, NewBatch, NewJob, NewSchedule,
    Priority, Times, While,
};
pub use metrics::{KindCounts, QueueMetrics, measure};
pub use payload::is_shown as payload_is_shown;
pub(crate) use statement::Connection as QueueConnection;

/// Names of queues. One whose jobs only some workers can run has to be one of its own: a worker puts off what it has no handler for.
pub mod queue {
    /// Where jobs stand unless their kind says otherwise.
    pub const DEFAULT: &str = "default";
    /// Cleaning up: long, and in nobody's way there.
    pub const MAINTENANCE: &str = "maintenance";
    /// What `plinth-ops worker` alone can do, one at a time: backups and the like.
    pub const OPERATIONS: &str = "operations";
}
