//! What this worker holds of a queue: jobs that were claimed and not begun, in the order of their turns.

use std::cmp::Ordering as Order;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::lease::Incarnation;
use super::lock;
use super::options::QueueOptions;
use crate::context::{JobInfo, Lease};

/// A claimed job.
pub(super) struct Claimed {
    pub(super) turn: i64,
    pub(super) lease: Lease,
    pub(super) info: Arc<JobInfo>,
    pub(super) payload: String,
    pub(super) stop: CancellationToken,
    pub(super) incarnation: Arc<Incarnation>,
}

/// The lowest turn is the greatest, so that the heap gives it first.
impl Ord for Claimed {
    fn cmp(&self, other: &Self) -> Order {
        other
            .turn
            .cmp(&self.turn)
            .then_with(|| other.lease.job.cmp(&self.lease.job))
    }
}

impl PartialOrd for Claimed {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Claimed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Order::Equal
    }
}

impl Eq for Claimed {}

pub(super) struct Queue {
    pub(super) name: Arc<str>,
    pub(super) options: QueueOptions,
    waiting: Mutex<BinaryHeap<Claimed>>,
    /// As many permits as jobs wait here.
    ready: Semaphore,
    /// There is work in the database.
    pub(super) wake: Notify,
    /// Somebody said so, and no claim has looked since for what is behind the last one.
    pub(super) told: AtomicBool,
    /// There is room here.
    pub(super) room: Notify,
    /// Below so many waiting jobs, there is room.
    pub(super) low: AtomicUsize,
    pub(super) running: AtomicUsize,
    pub(super) begun: AtomicU64,
    /// The turn that is being served.
    pub(super) position: AtomicI64,
    /// A turn behind which no new job can be, long transactions aside.
    pub(super) settled: AtomicI64,
}

impl Queue {
    pub(super) fn new(options: &QueueOptions) -> Self {
        Self {
            name: options.name.as_str().into(),
            options: options.clone(),
            waiting: Mutex::default(),
            ready: Semaphore::new(0),
            wake: Notify::new(),
            told: AtomicBool::new(false),
            room: Notify::new(),
            low: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            position: AtomicI64::new(0),
            settled: AtomicI64::new(0),
        }
    }

    pub(super) fn wake(&self) {
        self.told.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.waiting).len()
    }

    pub(super) fn push(&self, jobs: Vec<Claimed>) {
        let count = jobs.len();
        lock(&self.waiting).extend(jobs);
        self.ready.add_permits(count);
    }

    /// The next job; `None` once the queue is closed.
    pub(super) async fn pop(&self) -> Option<Claimed> {
        if self.len() <= self.low.load(Ordering::Relaxed) {
            self.room.notify_one();
        }
        self.ready.acquire().await.ok()?.forget();
        self.begun.fetch_add(1, Ordering::Relaxed);
        lock(&self.waiting).pop()
    }

    /// No more jobs begin. Returns those that had not.
    pub(super) fn close(&self) -> Vec<Claimed> {
        self.ready.close();
        std::mem::take(&mut *lock(&self.waiting)).into_vec()
    }
}
