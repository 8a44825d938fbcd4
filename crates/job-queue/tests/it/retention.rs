//! Retention takes what is finished and old, and nothing else.

use std::time::Duration;

use job_queue::{Job, NewBatch, Registry, cancel};
use serde::{Deserialize, Serialize};

use crate::scratch::ACME;
use crate::support::{ByHand, add, database, id, job, number, options, start, until};

#[derive(Serialize, Deserialize)]
struct Old {}

impl Job for Old {
    const NAME: &'static str = "old";
}

#[tokio::test]
async fn only_finished_jobs_go_and_in_small_portions() {
    let db = database().await;
    let mut client = db.client().await;
    let jobs: Vec<_> = (0..250).map(|_| job(&Old {}).queue("elsewhere")).collect();
    job_queue::enqueue(&mut client, &jobs).await.unwrap();
    let ids: Vec<_> = jobs.iter().map(job_queue::NewJob::id).collect();
    cancel(&mut client, Some(ACME), &ids[..200]).await.unwrap();
    add(&mut client, job(&Old {}).delay(Duration::from_secs(60))).await;
    add(&mut client, job(&Old {})).await;
    let hand = ByHand::register(&db).await;
    assert_eq!(hand.claim(1).await.len(), 1);
    client
        .execute(
            "UPDATE queue_workers SET lease_until = now() + interval '1 hour'",
            &[],
        )
        .await
        .unwrap();
    // All of them are old; a few of the cancelled ones are not.
    client
        .batch_execute(
            "UPDATE queue_jobs SET created_at = now() - interval '1 year', run_at = CASE WHEN state = 'scheduled' THEN run_at ELSE now() - interval '1 year' END,
                    started_at = started_at - interval '1 year', finished_at = finished_at - interval '1 year'",
        )
        .await
        .unwrap();
    client
        .execute(
            "UPDATE queue_jobs SET finished_at = now() WHERE id = ANY ($1)",
            &[&&ids[..10]],
        )
        .await
        .unwrap();

    let mut options = options();
    options.queues = vec![job_queue::QueueOptions::new("idle")];
    options.retention.every = Duration::from_millis(50);
    options.retention.at_once = 40;
    let worker = start(&db, Registry::new(), options);
    until(
        &client,
        "SELECT count(*) = 10 FROM queue_jobs WHERE state = 'cancelled'",
    )
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    worker.stop().await;
    let left = number(
        &client,
        "SELECT count(*) FROM queue_jobs WHERE state IN ('available', 'scheduled', 'running')",
    )
    .await;
    assert_eq!(left, 52, "waiting and running jobs, however old");
    assert_eq!(
        number(
            &client,
            "SELECT count(*) FROM queue_jobs WHERE state = 'cancelled'"
        )
        .await,
        10
    );
}

#[tokio::test]
async fn a_finished_batch_goes_after_its_jobs() {
    let db = database().await;
    let mut client = db.client().await;
    let batch = id();
    NewBatch::new(batch, "b")
        .in_domain(ACME)
        .create(&mut client)
        .await
        .unwrap();
    add(&mut client, job(&Old {}).in_batch(batch)).await;
    job_queue::seal(&mut client, Some(ACME), batch).await.unwrap();
    let mut options = options();
    options.retention.every = Duration::from_millis(50);
    options.retention.batches = Duration::ZERO;
    let registry = || Registry::new().handle(|_, _: Old| async { Ok(()) });
    let worker = start(&db, registry(), options.clone());
    until(
        &client,
        "SELECT EXISTS (SELECT FROM queue_job_batches WHERE finished_at IS NOT NULL)",
    )
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        number(&client, "SELECT count(*) FROM queue_job_batches").await,
        1,
        "its job is still there"
    );
    worker.stop().await;
    options.retention.completed = Duration::ZERO;
    let worker = start(&db, registry(), options);
    until(
        &client,
        "SELECT NOT EXISTS (SELECT FROM queue_job_batches) AND NOT EXISTS (SELECT FROM queue_jobs)",
    )
    .await;
    worker.stop().await;
}
