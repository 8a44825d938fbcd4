//! A worker in a process of its own, for the tests that kill it: `queue-worker <address> <name> <heartbeat in ms>`.
//!
//! Says `ready` when it runs; SIGTERM shuts it down.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a program of the tests")]

use std::io::Write as _;
use std::time::Duration;

use job_queue::{Connector, Context, Failure, Job, QueueOptions, Registry, Worker, WorkerOptions};
use tokio_postgres::{Client, Config, NoTls};
use tokio_util::sync::CancellationToken;

#[path = "../tests/it/kinds.rs"]
mod kinds;

use kinds::{Forever, Inside, Plain};

async fn connect(config: &Config) -> Result<Client, Failure> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn plain(config: Config, context: Context, job: Plain) -> Result<(), Failure> {
    let client = connect(&config).await?;
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
    tokio::time::sleep(Duration::from_millis(job.sleep_ms)).await;
    if context.attempt() <= job.failures {
        return Err(Failure::retry("as it was told to"));
    }
    Ok(())
}

async fn inside(config: Config, context: Context, job: Inside) -> Result<(), Failure> {
    let mut client = connect(&config).await?;
    let mut tx = client.transaction().await?;
    tx.execute(
        "INSERT INTO effects (job_id, attempt) VALUES ($1, $2)",
        &[&context.job_id(), &context.attempt()],
    )
    .await?;
    tokio::time::sleep(Duration::from_millis(job.sleep_ms)).await;
    context.complete_in(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1);
    let config: Config = words.next().expect("an address").parse().unwrap();
    let name = words.next().expect("a name");
    let heartbeat = Duration::from_millis(words.next().expect("milliseconds").parse().unwrap());

    let (one, two) = (config.clone(), config.clone());
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
    let stop = CancellationToken::new();
    let worker = Worker::new(&Connector::plain(config), registry, options);
    let running = tokio::spawn(worker.run(stop.clone()));
    writeln!(std::io::stdout().lock(), "ready").unwrap();
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    terminated.recv().await;
    stop.cancel();
    running.await.unwrap();
}
