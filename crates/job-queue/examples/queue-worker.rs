//! A worker in a process of its own, for the tests that kill it:
//! `queue-worker <address> <name> <heartbeat in ms> [<ms that completed jobs are kept>]`.
//!
//! Says `ready` when it runs; SIGTERM shuts it down.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a program of the tests")]

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use job_queue::{Connector, Context, Failure, Job, QueueOptions, Registry, Worker, WorkerOptions};
use tokio_postgres::{Client, Config, NoTls};
use tokio_util::sync::CancellationToken;

#[path = "../tests/it/kinds.rs"]
mod kinds;

use kinds::{Forever, Inside, Plain};

/// Connections of the handlers. One whose handler was dropped goes with it.
#[derive(Clone)]
struct Pool {
    config: Config,
    idle: Arc<Mutex<Vec<Client>>>,
}

impl Pool {
    async fn take(&self) -> Result<Client, Failure> {
        while let Some(client) = self.pop() {
            if !client.is_closed() {
                return Ok(client);
            }
        }
        let (client, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    fn pop(&self) -> Option<Client> {
        self.idle.lock().unwrap().pop()
    }

    fn put(&self, client: Client) {
        self.idle.lock().unwrap().push(client);
    }
}

async fn plain(pool: Pool, context: Context, job: Plain) -> Result<(), Failure> {
    let client = pool.take().await?;
    client
        .execute(
            "INSERT INTO runs (job_id, attempt, pid) VALUES ($1, $2, $3)",
            &[
                &context.job_id(),
                &context.attempt(),
                &i64::from(std::process::id()),
            ],
        )
        .await?;
    pool.put(client);
    tokio::time::sleep(Duration::from_millis(job.sleep_ms)).await;
    if context.attempt() <= job.failures {
        return Err(Failure::retry("as it was told to"));
    }
    Ok(())
}

async fn inside(pool: Pool, context: Context, job: Inside) -> Result<(), Failure> {
    let mut client = pool.take().await?;
    let mut tx = client.transaction().await?;
    tx.execute(
        "INSERT INTO effects (job_id, attempt) VALUES ($1, $2)",
        &[&context.job_id(), &context.attempt()],
    )
    .await?;
    tokio::time::sleep(Duration::from_millis(job.sleep_ms)).await;
    context.complete_in(&mut tx).await?;
    tx.commit().await?;
    pool.put(client);
    Ok(())
}

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1);
    let config: Config = words.next().expect("an address").parse().unwrap();
    let name = words.next().expect("a name");
    let heartbeat = Duration::from_millis(words.next().expect("milliseconds").parse().unwrap());

    let kept: Option<u64> = words.next().map(|word| word.parse().unwrap());

    let pool = Pool {
        config: config.clone(),
        idle: Arc::default(),
    };
    let (one, two) = (pool.clone(), pool);
    let registry = Registry::new()
        .handle(move |context, job| plain(one.clone(), context, job))
        .handle(move |context, job| inside(two.clone(), context, job))
        .handle(|context: Context, _: Forever| async move {
            context.cancellation().cancelled().await;
            Err(Failure::cancelled("asked to stop"))
        });
    let mut options = WorkerOptions::new(name);
    options.queues = vec![QueueOptions::new(Plain::QUEUE).concurrency(8)];
    options.heartbeat = heartbeat;
    options.drain = Duration::from_millis(300);
    options.grace = Duration::from_millis(300);
    if let Some(kept) = kept {
        options.retention.completed = Duration::from_millis(kept);
        options.retention.every = Duration::from_millis(200);
        options.retention.at_once = 300;
    }
    let stop = CancellationToken::new();
    let worker = Worker::new(&Connector::plain(config), registry, options);
    let running = tokio::spawn(worker.run(stop.clone()));
    writeln!(std::io::stdout().lock(), "ready").unwrap();
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    terminated.recv().await;
    stop.cancel();
    running.await.unwrap();
}
