//! Who this worker is to the database. Mostly one id for its whole life; a new one when the old one was fenced, or when it is
//! not known what was claimed under it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Shared, lock};
use crate::connection::Line;
use crate::error::Error;
use crate::sql;

/// One registration in `queue_workers`, and the jobs that are held under it.
#[derive(Debug)]
pub(super) struct Incarnation {
    pub(super) id: Uuid,
    fenced: AtomicBool,
    /// By job and attempt, with what stops it.
    held: Mutex<HashMap<(Uuid, i32), CancellationToken>>,
}

impl Incarnation {
    pub(super) fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Acquire)
    }

    /// Another worker has taken its jobs: whatever still runs is to stop, and can complete nothing.
    pub(super) fn fence(&self) {
        self.fenced.store(true, Ordering::Release);
        for stop in lock(&self.held).values() {
            stop.cancel();
        }
    }

    pub(super) fn hold(&self, job: Uuid, attempt: i32) -> CancellationToken {
        let stop = CancellationToken::new();
        lock(&self.held).insert((job, attempt), stop.clone());
        stop
    }

    pub(super) fn let_go(&self, job: Uuid, attempt: i32) {
        lock(&self.held).remove(&(job, attempt));
    }

    pub(super) fn stop(&self, job: Uuid, attempt: i32) {
        if let Some(stop) = lock(&self.held).get(&(job, attempt)) {
            stop.cancel();
        }
    }

    fn is_idle(&self) -> bool {
        lock(&self.held).is_empty()
    }
}

#[derive(Debug, Default)]
pub(super) struct Leases {
    all: Mutex<Vec<Arc<Incarnation>>>,
}

impl Leases {
    /// The one that claims; `None` while there is none that could.
    pub(super) fn current(&self) -> Option<Arc<Incarnation>> {
        lock(&self.all).last().filter(|it| !it.is_fenced()).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Incarnation>> {
        lock(&self.all).clone()
    }

    pub(super) fn ids(&self) -> Vec<Uuid> {
        lock(&self.all).iter().map(|it| it.id).collect()
    }

    /// Those that claim no more and hold no more: fenced, or followed by a newer one.
    pub(super) fn past(&self) -> Vec<Arc<Incarnation>> {
        let all = lock(&self.all);
        let newest = all.last().map(|it| it.id);
        all.iter()
            .filter(|it| it.is_idle() && (it.is_fenced() || Some(it.id) != newest))
            .cloned()
            .collect()
    }

    pub(super) fn forget(&self, id: Uuid) {
        lock(&self.all).retain(|it| it.id != id);
    }

    /// Registers anew; claims go under the new id from now on.
    pub(super) async fn register(&self, shared: &Shared, line: &mut Line) -> Result<(), Error> {
        let options = &shared.options;
        let queues: Vec<&str> = options.queues.iter().map(|queue| queue.name.as_str()).collect();
        let slots: usize = options.queues.iter().map(|queue| queue.concurrency).sum();
        let slots = i32::try_from(slots).unwrap_or(i32::MAX);
        let rows = line
            .query(
                sql::REGISTER,
                &[&options.name, &queues, &slots, &options.lease().as_secs_f64()],
            )
            .await?;
        if let Some(row) = rows.first() {
            let id = row.try_get(0)?;
            tracing::debug!(worker = %id, "registered");
            lock(&self.all).push(Arc::new(Incarnation {
                id,
                fenced: AtomicBool::new(false),
                held: Mutex::default(),
            }));
        }
        Ok(())
    }
}
