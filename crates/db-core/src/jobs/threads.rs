//! The threads that handlers run on: apart from the queue's own work, which must go on when a handler computes, and each with a pool of its own.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

use job_queue::Failure;
use tokio::task::JoinHandle;
use tokio_util::task::LocalPoolHandle;
use tracing::Instrument as _;

use super::JobContext;
use crate::db::Db;
use crate::owner::Owner;

/// Threads with one runtime each. Tenant transactions stay on the thread that they began on.
#[derive(Debug)]
pub(super) struct Threads {
    handle: LocalPoolHandle,
    pools: Vec<crate::Pool>,
    owner: Owner,
    next: AtomicUsize,
}

/// Ends the task of a handler that nobody waits for any more.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Threads {
    /// `connections` for each thread; they are opened when they are wanted.
    pub(super) fn new(threads: usize, connections: u32, owner: &Owner, db: &Db) -> Self {
        let threads = threads.max(1);
        Self {
            handle: LocalPoolHandle::new(threads),
            pools: (0..threads).map(|_| db.pool_of(connections)).collect(),
            owner: owner.clone(),
            next: AtomicUsize::new(0),
        }
    }

    /// Runs a handler's future on one of the threads. It is dropped when the returned one is.
    pub(super) async fn run<H, F>(&self, job: job_queue::Context, handler: H) -> Result<(), Failure>
    where
        H: FnOnce(JobContext) -> F + Send + 'static,
        F: Future<Output = Result<(), Failure>> + 'static,
    {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.pools.len();
        let Some(pool) = self.pools.get(index).cloned() else {
            return Err(Failure::retry("there is no thread to run on"));
        };
        let (owner, span) = (self.owner.clone(), tracing::Span::current());
        let context = JobContext { job, pool, owner };
        let task = self
            .handle
            .spawn_pinned_by_idx(move || handler(context).instrument(span), index);
        let mut task = AbortOnDrop(task);
        match (&mut task.0).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(_cancelled) => Err(Failure::retry("the thread that ran the handler has ended")),
        }
    }
}
