//! While somebody holds a transaction open, PostgreSQL keeps every row and index entry that has been dead since. The statements that run
//! again and again do not walk over them each time: counted by what they read from the index.

use std::time::{Duration, Instant};

use job_queue::{Job, NewJob, QueueOptions, Registry, enqueue};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, IsolationLevel, Transaction};

use crate::scratch::GLOBEX;
use crate::support::{database, job, number, options, start, until};

#[derive(Serialize, Deserialize)]
struct Bit {}

impl Job for Bit {
    const NAME: &'static str = "bit";
}

async fn hold(client: &mut Client) -> Transaction<'_> {
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .await
        .unwrap();
    tx.query("SELECT count(*) FROM queue_jobs", &[]).await.unwrap();
    tx
}

/// Entries read from an index so far, dead ones included, by sessions that have ended.
async fn read(client: &Client, index: &str) -> i64 {
    client
        .batch_execute("SELECT pg_stat_clear_snapshot()")
        .await
        .unwrap();
    number(
        client,
        &format!("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = '{index}'"),
    )
    .await
}

/// Sessions report what they read when they end, a moment later.
async fn settled(client: &Client, index: &str) -> i64 {
    let mut last = -1;
    loop {
        let now = read(client, index).await;
        if now == last {
            return now;
        }
        last = now;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
}

#[tokio::test]
async fn retention_reads_what_it_deletes() {
    let db = database().await;
    let client = db.client().await;
    client
        .batch_execute(
            "INSERT INTO queue_jobs (domain_id, id, queue, kind, state, run_at, attempt, max_attempts, started_at, finished_at, payload)
             SELECT platform_domain_id(), gen_random_uuid(), 'idle', 'bit', 'completed', now() - interval '9 days', 1, 1,
                    now() - interval '9 days', now() - interval '9 days' + n * interval '1 ms', '{}'
               FROM generate_series(1, 10000) n",
        )
        .await
        .unwrap();
    let mut holder = db.client().await;
    let tx = hold(&mut holder).await;
    let mut options = options();
    options.queues = vec![QueueOptions::new("idle")];
    options.retention.every = Duration::from_millis(50);
    options.retention.at_once = 200;
    let worker = start(&db, Registry::new(), options);
    until(&client, "SELECT count(*) = 0 FROM queue_jobs").await;
    worker.stop().await;
    let walked = settled(&client, "queue_jobs_finished_idx").await;
    tx.rollback().await.unwrap();
    // From the beginning each time, it would be a quarter of a million.
    assert!(
        (10_000..40_000).contains(&walked),
        "{walked} entries for 10,000 rows"
    );
}

#[tokio::test]
async fn jobs_whose_time_comes_are_found_without_those_whose_time_came() {
    let db = database().await;
    let mut client = db.client().await;
    let mut holder = db.client().await;
    let tx = hold(&mut holder).await;
    let mut options = options();
    options.queues = vec![QueueOptions::new("idle")];
    let worker = start(&db, Registry::new(), options);
    // Long enough for the first of them to lie behind: a look begins five seconds before what has left.
    for _ in 0..16 {
        let jobs: Vec<_> = (0..500)
            .map(|n| {
                job(&Bit {})
                    .queue("elsewhere")
                    .delay(Duration::from_millis(1 + n))
            })
            .collect();
        enqueue(&mut client, &jobs).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    until(
        &client,
        "SELECT count(*) = 8000 FROM queue_jobs WHERE state = 'available'",
    )
    .await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    // Now all of it lies behind, and a hundred looks read nothing, but for those from the very beginning.
    for _ in 0..100 {
        worker.handle.wake("idle");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    worker.stop().await;
    let walked = settled(&client, "queue_jobs_scheduled_idx").await;
    tx.rollback().await.unwrap();
    // Some 600,000; from the beginning each time, hundreds of looks at up to 8,000 entries each, it was 3,300,000.
    assert!(
        (8_000..1_500_000).contains(&walked),
        "{walked} entries for 8,000 jobs"
    );
}

#[tokio::test]
async fn claims_do_not_walk_over_what_was_claimed() {
    let db = database().await;
    let mut client = db.client().await;
    let mut holder = db.client().await;
    let tx = hold(&mut holder).await;
    let registry = Registry::new().handle(|_, _: Bit| async { Ok(()) });
    let worker = start(&db, registry, options());
    for _ in 0..30 {
        let jobs: Vec<_> = (0..500).map(|_| job(&Bit {})).collect();
        enqueue(&mut client, &jobs).await.unwrap();
        worker.handle.wake("default");
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    until(
        &client,
        "SELECT count(*) = 15000 FROM queue_jobs WHERE state = 'completed'",
    )
    .await;
    worker.stop().await;
    let walked = settled(&client, "queue_jobs_claim_idx").await;
    tx.rollback().await.unwrap();
    // Some 250,000; from the beginning each time (some 150 claims at least) it was 2,300,000.
    assert!(
        (15_000..700_000).contains(&walked),
        "{walked} entries for 15,000 jobs"
    );
}

/// A worker's statements are planned once, often when the tables are empty. They serve full ones without fresh statistics.
#[tokio::test]
async fn plans_made_for_empty_tables_serve_full_ones() {
    let db = database().await;
    let mut client = db.client().await;
    client
        .batch_execute("ALTER TABLE queue_jobs SET (autovacuum_enabled = off)")
        .await
        .unwrap();
    let registry = Registry::new().handle(|_, _: Bit| async { Ok(()) });
    let worker = start(&db, registry, options());
    enqueue(&mut client, &[job(&Bit {})]).await.unwrap();
    until(
        &client,
        "SELECT count(*) = 1 FROM queue_jobs WHERE state = 'completed'",
    )
    .await;
    let jobs: Vec<_> = (0..20_000).map(|_| job(&Bit {})).collect();
    enqueue(&mut client, &jobs).await.unwrap();
    until(
        &client,
        "SELECT count(*) = 20001 FROM queue_jobs WHERE state = 'completed'",
    )
    .await;
    worker.stop().await;
    for index in ["claim", "flow", "running", "finished", "scheduled", "batch"] {
        let walked = settled(&client, &format!("queue_jobs_{index}_idx")).await;
        assert!(
            walked < 400_000,
            "{walked} entries of queue_jobs_{index}_idx for 20,000 jobs"
        );
    }
}

/// A transaction that enqueues and commits long after: its jobs stand behind what has been claimed meanwhile, and are found when it
/// ends, without a look from the beginning of the line, which would have become rare by then.
#[tokio::test]
async fn what_is_committed_late_is_found() {
    let db = database().await;
    let mut client = db.client().await;
    let mut holder = db.client().await;
    let held = hold(&mut holder).await;
    let registry = Registry::new().handle(|_, _: Bit| async { Ok(()) });
    let mut options = options();
    options.look_back = Duration::from_secs(600);
    let worker = start(&db, registry, options);
    let mut completed = 0;
    for wait in [300, 1500, 4000] {
        let mut other = db.client().await;
        let mut late = other.transaction().await.unwrap();
        let theirs = NewJob::new(crate::support::id(), &Bit {})
            .unwrap()
            .in_domain(GLOBEX);
        enqueue(&mut late, &[theirs]).await.unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(wait) {
            let jobs: Vec<_> = (0..1000).map(|_| job(&Bit {})).collect();
            enqueue(&mut client, &jobs).await.unwrap();
            worker.handle.wake("default");
            completed += 1000;
            until(
                &client,
                &format!("SELECT count(*) = {completed} FROM queue_jobs WHERE state = 'completed'"),
            )
            .await;
        }
        late.commit().await.unwrap();
        worker.handle.wake("default");
        completed += 1;
        until(
            &client,
            &format!("SELECT count(*) = {completed} FROM queue_jobs WHERE state = 'completed'"),
        )
        .await;
    }
    worker.stop().await;
    held.rollback().await.unwrap();
}
