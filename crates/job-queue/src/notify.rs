use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::connection::{Connector, Line};
use crate::sql::CHANNEL;
use crate::worker::{WorkerHandle, lock};

/// Tells workers that jobs have arrived: at most one notification per queue and tick, whatever the number of jobs, and none from
/// within the caller's transaction, where it would make all commits wait for one another.
///
/// Cloning is cheap. It speaks on a connection of its own, which may be pooled. What it fails to say is found by polling.
#[derive(Clone, Debug)]
pub struct Notifier {
    shared: Arc<Shared>,
    _task: Arc<AbortOnDrop>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<BTreeSet<String>>,
    some: Notify,
    local: Mutex<Vec<WorkerHandle>>,
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Notifier {
    /// Time between two notifications for one queue.
    pub const TICK: Duration = Duration::from_millis(10);

    /// Starts the task that sends. Call it inside of a tokio runtime.
    #[must_use]
    pub fn start(connector: &Connector) -> Self {
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(send(
            Arc::clone(&shared),
            Line::new(connector, Duration::from_secs(5)),
        ));
        Self {
            shared,
            _task: Arc::new(AbortOnDrop(task)),
        }
    }

    /// Jobs were committed to this queue. Returns at once.
    pub fn notify(&self, queue: &str) {
        for worker in lock(&self.shared.local).iter() {
            worker.wake(queue);
        }
        let mut pending = lock(&self.shared.pending);
        if !pending.contains(queue) {
            pending.insert(queue.to_owned());
            self.shared.some.notify_one();
        }
    }

    /// A worker in this process, which needs no notification through the database.
    pub fn add_local(&self, worker: WorkerHandle) {
        lock(&self.shared.local).push(worker);
    }
}

async fn send(shared: Arc<Shared>, mut line: Line) {
    loop {
        shared.some.notified().await;
        let payloads: Vec<String> = std::mem::take(&mut *lock(&shared.pending))
            .into_iter()
            .map(|queue| format!("q {queue}"))
            .collect();
        if payloads.is_empty() {
            continue;
        }
        let sent = line
            .query(
                "SELECT pg_notify($1::text, payload) FROM unnest($2::text[]) AS payload",
                &[&CHANNEL, &payloads],
            )
            .await;
        if let Err(error) = sent {
            tracing::warn!(%error, "workers were not told of new jobs; they will find them at their next poll");
        }
        tokio::time::sleep(Notifier::TICK).await;
    }
}
