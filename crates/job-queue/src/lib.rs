#![doc = include_str!("../README.md")]

mod batch;
mod connection;
mod context;
mod error;
mod failure;
mod job;
mod manage;
mod new_job;
mod notify;
mod registry;
mod schedule;
mod sql;
mod statement;
mod times;
mod worker;

pub use batch::{BatchProgress, NewBatch, batch_progress, seal};
pub use connection::{Connection, Connector};
pub use context::{Context, JobInfo, Lease};
pub use error::{BoxError, Error};
pub use failure::Failure;
pub use job::{Backoff, Job, Priority};
pub use manage::{
    JobFilter, JobRow, JobState, QueueCounts, cancel, count, discard, list, pause, queues, resume, retry,
};
pub use new_job::{Enqueued, NewJob, While, enqueue, enqueue_statement};
pub use notify::{Notifier, notify};
pub use registry::Registry;
pub use schedule::{Missed, NewSchedule};
pub use statement::{Executor, Param, Statement};
pub use times::Times;
pub use worker::{Acknowledge, QueueOptions, Retention, Worker, WorkerHandle, WorkerOptions};
