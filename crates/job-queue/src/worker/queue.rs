//! What this worker holds of a queue: jobs that were claimed and not begun, in the order of their turns. Those of a domain that has all
//! the slots it may have are put aside until one of its own ends.

use std::cmp::Ordering as Order;
use std::collections::{BinaryHeap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::lease::Incarnation;
use super::lock;
use super::options::QueueOptions;
use super::share;
use crate::context::{JobInfo, Lease};

/// A claimed job.
pub(super) struct Claimed {
    pub(super) turn: i64,
    pub(super) since: Instant,
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

/// What a domain has here.
struct Part {
    running: usize,
    /// In line.
    ready: usize,
    /// Out of line.
    aside: BinaryHeap<Claimed>,
    /// Since when the first of those could not begin.
    stuck_since: Option<Instant>,
}

#[derive(Default)]
struct Held {
    running: usize,
    line: BinaryHeap<Claimed>,
    aside: usize,
    domains: HashMap<Uuid, Part>,
}

impl Held {
    fn part(&mut self, domain: Uuid) -> &mut Part {
        self.domains.entry(domain).or_insert_with(|| Part {
            running: 0,
            ready: 0,
            aside: BinaryHeap::new(),
            stuck_since: None,
        })
    }

    /// The first in line, unless it has to be put aside.
    fn begin(&mut self, slots: usize) -> Option<Claimed> {
        let job = self.line.pop()?;
        let running = self.running;
        let part = self.part(job.lease.domain);
        part.ready -= 1;
        if share::room(slots, running, part.running) == 0 {
            part.stuck_since.get_or_insert_with(Instant::now);
            part.aside.push(job);
            self.aside += 1;
            return None;
        }
        part.running += 1;
        part.stuck_since = (!part.aside.is_empty()).then(Instant::now);
        self.running += 1;
        Some(job)
    }

    /// One of this domain's has ended. Returns how many came into line that had been put aside.
    fn end(&mut self, domain: Uuid, slots: usize) -> usize {
        self.running -= 1;
        let part = self.part(domain);
        part.running -= 1;
        if part.running + part.ready == 0 && part.aside.is_empty() {
            self.domains.remove(&domain);
        }
        if self.aside == 0 {
            return 0;
        }
        let mut moved = 0;
        for part in self.domains.values_mut().filter(|part| !part.aside.is_empty()) {
            let room = share::room(slots, self.running, part.running).saturating_sub(part.ready);
            for _ in 0..room {
                let Some(job) = part.aside.pop() else { break };
                part.ready += 1;
                part.stuck_since = (!part.aside.is_empty()).then(Instant::now);
                self.line.push(job);
                moved += 1;
            }
        }
        self.aside -= moved;
        moved
    }
}

pub(super) struct Queue {
    pub(super) name: Arc<str>,
    pub(super) options: QueueOptions,
    held: Mutex<Held>,
    /// As many permits as jobs are in line here.
    ready: Semaphore,
    /// There is work in the database.
    pub(super) wake: Notify,
    /// Somebody said so, and no claim has looked since for what is behind the last one.
    pub(super) told: AtomicBool,
    /// There is room here.
    pub(super) room: Notify,
    /// Below so many waiting jobs, there is room.
    pub(super) low: AtomicUsize,
    /// Domains that are claimed for by themselves: each end makes room.
    pub(super) apart: Mutex<Vec<Uuid>>,
    /// Those are to be looked for from the beginning of the line.
    pub(super) look_back: AtomicBool,
    /// The turn where claims begin.
    pub(super) floor: AtomicI64,
    pub(super) begun: AtomicU64,
    /// The turn that is being served.
    pub(super) position: AtomicI64,
    /// A turn behind which nothing arrives any more, late transactions aside.
    pub(super) settled: AtomicI64,
    /// A late transaction has ended, or a straggler was seen: from this turn on something may have arrived.
    pub(super) late: AtomicI64,
}

impl Queue {
    pub(super) fn new(options: &QueueOptions) -> Self {
        Self {
            name: options.name.as_str().into(),
            options: options.clone(),
            held: Mutex::default(),
            ready: Semaphore::new(0),
            wake: Notify::new(),
            told: AtomicBool::new(false),
            room: Notify::new(),
            low: AtomicUsize::new(0),
            apart: Mutex::default(),
            look_back: AtomicBool::new(false),
            floor: AtomicI64::new(0),
            begun: AtomicU64::new(0),
            position: AtomicI64::new(0),
            settled: AtomicI64::new(0),
            late: AtomicI64::new(i64::MAX),
        }
    }

    pub(super) fn wake(&self) {
        self.told.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// How many are in line.
    pub(super) fn len(&self) -> usize {
        lock(&self.held).line.len()
    }

    /// How many run, and how many wait here: those of the domains `apart` do not count.
    pub(super) fn load(&self, apart: impl Iterator<Item = Uuid>) -> (usize, usize) {
        let held = lock(&self.held);
        let all = held.line.len() + held.aside;
        let apart: usize = apart
            .filter_map(|domain| held.domains.get(&domain))
            .map(|part| part.aside.len())
            .sum();
        (held.running, all - apart)
    }

    pub(super) fn push(&self, jobs: Vec<Claimed>) {
        let mut ready = 0;
        let mut held = lock(&self.held);
        for job in jobs {
            let part = held.part(job.lease.domain);
            if part.aside.is_empty() {
                part.ready += 1;
                held.line.push(job);
                ready += 1;
            } else {
                // Behind its own.
                part.aside.push(job);
                held.aside += 1;
            }
        }
        drop(held);
        self.ready.add_permits(ready);
    }

    /// The next job; `None` once the queue is closed. To be followed by [`Queue::end`].
    pub(super) async fn begin(&self) -> Option<Claimed> {
        loop {
            if self.len() <= self.low.load(Ordering::Relaxed) {
                self.room.notify_one();
            }
            self.ready.acquire().await.ok()?.forget();
            // What has to wait for its own domain lets the next one pass.
            let job = lock(&self.held).begin(self.options.concurrency);
            if let Some(job) = job {
                self.begun.fetch_add(1, Ordering::Relaxed);
                return Some(job);
            }
        }
    }

    pub(super) fn end(&self, domain: Uuid) {
        let moved = lock(&self.held).end(domain, self.options.concurrency);
        self.ready.add_permits(moved);
        if !lock(&self.apart).is_empty() {
            self.room.notify_one();
        }
    }

    /// Domains that hold jobs here which none of their own have made way for in so long a time.
    pub(super) fn stuck(&self, time: Duration) -> Vec<Uuid> {
        let held = lock(&self.held);
        if held.aside == 0 {
            return Vec::new();
        }
        held.domains
            .iter()
            .filter(|(_, part)| part.stuck_since.is_some_and(|since| since.elapsed() >= time))
            .map(|(domain, _)| *domain)
            .collect()
    }

    /// How many more jobs of this domain could begin at once.
    pub(super) fn room_for(&self, domain: Uuid) -> usize {
        let held = lock(&self.held);
        let (own, waiting) = held
            .domains
            .get(&domain)
            .map_or((0, 0), |part| (part.running, part.ready + part.aside.len()));
        share::room(self.options.concurrency, held.running, own).saturating_sub(waiting)
    }

    /// Takes out what has waited here for so long, while other workers may have room.
    pub(super) fn give_up(&self, time: Duration) -> Vec<Claimed> {
        let old = |job: &Claimed| job.since.elapsed() >= time;
        let mut held = lock(&self.held);
        let mut given: Vec<Claimed> = Vec::new();
        if held.line.iter().any(old) {
            let (gone, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut held.line).into_iter().partition(old);
            // A slot that has a permit already finds nothing, and asks again.
            self.ready.forget_permits(gone.len());
            held.line = stay.into();
            for job in &gone {
                held.part(job.lease.domain).ready -= 1;
            }
            given.extend(gone);
        }
        let mut aside = 0;
        for part in held.domains.values_mut() {
            if part.aside.iter().any(old) {
                let (gone, stay): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut part.aside).into_iter().partition(old);
                part.aside = stay.into();
                aside += gone.len();
                given.extend(gone);
            }
            if part.aside.is_empty() {
                part.stuck_since = None;
            }
        }
        held.aside -= aside;
        held.domains
            .retain(|_, part| part.running + part.ready > 0 || !part.aside.is_empty());
        given
    }

    /// No more jobs begin. Returns those that had not.
    pub(super) fn close(&self) -> Vec<Claimed> {
        self.ready.close();
        let mut held = lock(&self.held);
        let mut left = std::mem::take(&mut held.line).into_vec();
        for part in held.domains.values_mut() {
            part.ready = 0;
            left.append(&mut std::mem::take(&mut part.aside).into_vec());
        }
        held.aside = 0;
        left
    }
}
