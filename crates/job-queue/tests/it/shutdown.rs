//! A worker that is told to stop hands back what it has not finished, at no cost to the jobs.

use std::time::{Duration, Instant};

use job_queue::{Context, Failure, Job, QueueOptions, Registry};
use serde::{Deserialize, Serialize};

use crate::support::{add, database, job, number, options, start, state, until};

#[derive(Serialize, Deserialize)]
struct Nap {
    ms: u64,
}

impl Job for Nap {
    const NAME: &'static str = "nap";
    const MAX_ATTEMPTS: u32 = 1;
}

#[derive(Serialize, Deserialize)]
struct Stubborn {}

impl Job for Stubborn {
    const NAME: &'static str = "stubborn";
    const MAX_ATTEMPTS: u32 = 1;
}

fn registry() -> Registry {
    Registry::new()
        .handle(|_, nap: Nap| async move {
            tokio::time::sleep(Duration::from_millis(nap.ms)).await;
            Ok(())
        })
        .handle(|context: Context, _: Stubborn| async move {
            context.cancellation().cancelled().await;
            Err(Failure::retry("it had to stop"))
        })
}

#[tokio::test]
async fn leases_are_handed_back() {
    let db = database().await;
    let mut client = db.client().await;
    let mut options = options();
    options.queues = vec![QueueOptions::new("default").concurrency(3)];
    let short = add(&mut client, job(&Nap { ms: 300 })).await;
    let long = add(&mut client, job(&Nap { ms: 60_000 })).await;
    let polite = add(&mut client, job(&Stubborn {})).await;
    let worker = start(&db, registry(), options);
    until(
        &client,
        "SELECT count(*) = 3 FROM queue_jobs WHERE state = 'running'",
    )
    .await;
    for _ in 0..5 {
        add(&mut client, job(&Nap { ms: 60_000 })).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    worker.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());

    assert_eq!(state(&client, short).await, "completed", "what ends in time ends");
    for id in [long, polite] {
        let row = client
            .query_one(
                "SELECT state, attempt, max_attempts, errors->0->>'outcome' FROM queue_jobs WHERE id = $1",
                &[&id],
            )
            .await
            .unwrap();
        let found: (&str, i32, i32, &str) = (row.get(0), row.get(1), row.get(2), row.get(3));
        assert_eq!(found, ("available", 1, 2, "released"));
    }
    assert_eq!(
        number(
            &client,
            "SELECT count(*) FROM queue_jobs WHERE state = 'available'"
        )
        .await,
        7
    );
    assert_eq!(
        number(&client, "SELECT count(*) FROM queue_workers").await,
        0,
        "and it signs off"
    );
}

#[tokio::test]
async fn many_waiting_jobs_that_were_claimed_ahead_are_handed_back_too() {
    let db = database().await;
    let mut client = db.client().await;
    let jobs: Vec<_> = (0..2000).map(|_| job(&Nap { ms: 1 })).collect();
    job_queue::enqueue(&mut client, &jobs).await.unwrap();
    let worker = start(&db, registry(), options());
    until(
        &client,
        "SELECT count(*) > 200 FROM queue_jobs WHERE state = 'completed'",
    )
    .await;
    worker.stop().await;
    assert_eq!(
        number(&client, "SELECT count(*) FROM queue_jobs WHERE state = 'running'").await,
        0
    );
    let other = start(&db, registry(), options());
    until(
        &client,
        "SELECT count(*) = 2000 FROM queue_jobs WHERE state = 'completed'",
    )
    .await;
    other.stop().await;
}
