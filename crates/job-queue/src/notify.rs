use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use crate::connection::{Connector, Speaker};
use crate::error::Error;
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
            Speaker::new(connector, Duration::from_secs(5)),
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

/// Tells workers of jobs in these queues, on the caller's connection: to be called after the commit. What enqueues often has a
/// [`Notifier`].
///
/// # Errors
/// What the database fails with.
pub async fn notify(
    client: &impl GenericClient,
    queues: impl IntoIterator<Item = String> + Send,
) -> Result<(), Error> {
    let payloads: Vec<String> = queues.into_iter().map(|queue| format!("q {queue}")).collect();
    client
        .query_typed(
            "SELECT pg_notify($1, payload) FROM unnest($2) AS payload",
            &[(&CHANNEL, Type::TEXT), (&payloads, Type::TEXT_ARRAY)],
        )
        .await?;
    Ok(())
}

async fn send(shared: Arc<Shared>, mut speaker: Speaker) {
    loop {
        shared.some.notified().await;
        let payloads: Vec<String> = std::mem::take(&mut *lock(&shared.pending))
            .into_iter()
            .map(|queue| format!("q {queue}"))
            .collect();
        if payloads.is_empty() {
            continue;
        }
        if let Err(error) = speaker.say(CHANNEL, &payloads).await {
            tracing::warn!(%error, "workers were not told of new jobs; they will find them at their next poll");
        }
        tokio::time::sleep(Notifier::TICK).await;
    }
}
