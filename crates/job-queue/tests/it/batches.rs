//! Batches: counts that are exact at every moment, and one end.

use std::sync::Arc;
use std::time::Duration;

use job_queue::{
    Backoff, Context, Error, Failure, Job, NewBatch, Registry, batch_progress, cancel, enqueue, retry, seal,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Barrier;

use crate::scratch::ACME;
use crate::support::{add, database, id, job, number, options, start, until};

#[derive(Serialize, Deserialize)]
struct Part {
    fail: bool,
}

impl Job for Part {
    const NAME: &'static str = "part";
    const MAX_ATTEMPTS: u32 = 2;
    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(5),
        longest: Duration::from_millis(5),
        jitter: 0.0,
    };
}

#[derive(Serialize, Deserialize)]
struct Report {
    batch: uuid::Uuid,
}

impl Job for Report {
    const NAME: &'static str = "report";
}

fn registry() -> Registry {
    Registry::new()
        .handle(|_: Context, part: Part| async move {
            if part.fail {
                Err(Failure::retry("no"))
            } else {
                Ok(())
            }
        })
        .handle(|_, _: Report| async { Ok(()) })
}

#[tokio::test]
async fn counts_are_exact_and_the_completion_job_comes_once() {
    let db = database().await;
    let mut client = db.client().await;
    let batch = id();
    let new = NewBatch::new(batch, "import")
        .in_domain(ACME)
        .then(id(), &Report { batch })
        .unwrap();
    new.create(&mut client).await.unwrap();
    // Four workers finish while eight enqueuers add, and somebody watches that the sum never lies.
    let workers: Vec<_> = (0..4).map(|_| start(&db, registry(), options())).collect();
    let watcher = db.client().await;
    let watch = tokio::spawn(async move {
        let mut looks = 0;
        loop {
            let progress = batch_progress(&watcher, ACME, batch).await.unwrap().unwrap();
            let rows = progress.succeeded + progress.failed + progress.cancelled;
            assert!(rows <= progress.total, "{progress:?}");
            looks += 1;
            if progress.finished_at.is_some() {
                return looks;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let mut adding = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let mut client = db.client().await;
        adding.spawn(async move {
            for round in 0..10 {
                let jobs: Vec<_> = (0..10)
                    .map(|n| {
                        job(&Part {
                            fail: n == 0 && round == worker,
                        })
                        .in_batch(batch)
                    })
                    .collect();
                enqueue(&mut client, &jobs).await.unwrap();
            }
        });
    }
    adding.join_all().await;
    let last = job(&Part { fail: false })
        .in_batch(batch)
        .delay(Duration::from_secs(3600));
    let delayed = add(&mut client, last).await;
    assert!(seal(&mut client, Some(ACME), batch).await.unwrap());
    assert!(!seal(&mut client, Some(ACME), batch).await.unwrap(), "once");
    assert_eq!(
        cancel(&mut client, Some(ACME), &[delayed]).await.unwrap(),
        [delayed]
    );
    until(
        &client,
        "SELECT EXISTS (SELECT FROM queue_jobs WHERE kind = 'report' AND state = 'completed')",
    )
    .await;
    let progress = batch_progress(&client, ACME, batch).await.unwrap().unwrap();
    let counts = (
        progress.total,
        progress.succeeded,
        progress.failed,
        progress.cancelled,
    );
    assert_eq!(counts, (801, 792, 8, 1));
    assert!(watch.await.unwrap() > 3);
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(
        number(&client, "SELECT count(*) FROM queue_jobs WHERE kind = 'report'").await,
        1
    );
    assert_eq!(
        number(&client, "SELECT count(*) FROM queue_job_batch_deltas").await,
        0
    );
}

#[tokio::test]
async fn no_job_slips_into_a_sealed_batch() {
    let db = database().await;
    let mut client = db.client().await;
    for _ in 0..10 {
        let batch = id();
        NewBatch::new(batch, "race")
            .in_domain(ACME)
            .create(&mut client)
            .await
            .unwrap();
        let barrier = Arc::new(Barrier::new(9));
        let mut racers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (mut client, barrier) = (db.client().await, Arc::clone(&barrier));
            racers.spawn(async move {
                barrier.wait().await;
                let mut tx = client.transaction().await.unwrap();
                let added = enqueue(&mut tx, &[job(&Part { fail: false }).in_batch(batch)]).await;
                tokio::time::sleep(Duration::from_millis(3)).await;
                match added {
                    Ok(_) => {
                        tx.commit().await.unwrap();
                        1
                    }
                    Err(Error::BatchClosed(closed)) => {
                        assert_eq!(closed, batch);
                        0
                    }
                    Err(error) => panic!("{error}"),
                }
            });
        }
        barrier.wait().await;
        assert!(seal(&mut client, Some(ACME), batch).await.unwrap());
        let at_sealing = batch_progress(&client, ACME, batch).await.unwrap().unwrap().total;
        let added: i64 = racers.join_all().await.into_iter().sum();
        assert_eq!(
            at_sealing, added,
            "what was in when it was sealed is all there will ever be"
        );
    }
}

#[tokio::test]
async fn an_empty_batch_and_a_forgotten_one_finish() {
    let db = database().await;
    let mut client = db.client().await;
    let (empty, forgotten) = (id(), id());
    NewBatch::new(empty, "empty")
        .in_domain(ACME)
        .create(&mut client)
        .await
        .unwrap();
    let new = NewBatch::new(forgotten, "forgotten")
        .in_domain(ACME)
        .open_for(Duration::from_millis(300));
    new.create(&mut client).await.unwrap();
    add(&mut client, job(&Part { fail: false }).in_batch(forgotten)).await;
    seal(&mut client, Some(ACME), empty).await.unwrap();
    let mut options = options();
    options.retention.every = Duration::from_millis(100);
    let worker = start(&db, registry(), options);
    until(
        &client,
        "SELECT count(*) = 2 FROM queue_job_batches WHERE finished_at IS NOT NULL",
    )
    .await;
    let progress = batch_progress(&client, ACME, forgotten).await.unwrap().unwrap();
    assert_eq!((progress.total, progress.succeeded), (1, 1));
    worker.stop().await;
}

#[tokio::test]
async fn a_retried_job_is_counted_anew_while_its_batch_is_open_and_let_go_when_it_is_not() {
    let db = database().await;
    let mut client = db.client().await;
    let batch = id();
    NewBatch::new(batch, "mixed")
        .in_domain(ACME)
        .create(&mut client)
        .await
        .unwrap();
    let failing = add(&mut client, job(&Part { fail: true }).in_batch(batch)).await;
    let worker = start(&db, registry(), options());
    until(
        &client,
        "SELECT count(*) = 1 FROM queue_jobs WHERE state = 'dead'",
    )
    .await;
    client
        .execute("UPDATE queue_jobs SET payload = '{\"fail\": false}'", &[])
        .await
        .unwrap();
    assert_eq!(
        retry(&mut client, Some(ACME), &[failing], 1).await.unwrap(),
        [failing]
    );
    worker.handle.wake("default");
    until(
        &client,
        "SELECT count(*) = 1 FROM queue_jobs WHERE state = 'completed'",
    )
    .await;
    let progress = batch_progress(&client, ACME, batch).await.unwrap().unwrap();
    assert_eq!((progress.total, progress.succeeded, progress.failed), (1, 1, 0));

    let second = add(&mut client, job(&Part { fail: true }).in_batch(batch)).await;
    seal(&mut client, Some(ACME), batch).await.unwrap();
    until(
        &client,
        "SELECT count(*) = 1 FROM queue_job_batches WHERE finished_at IS NOT NULL",
    )
    .await;
    assert_eq!(
        retry(&mut client, Some(ACME), &[second], 1).await.unwrap(),
        [second]
    );
    until(
        &client,
        &format!("SELECT state = 'dead' AND batch_id IS NULL FROM queue_jobs WHERE id = '{second}'"),
    )
    .await;
    let progress = batch_progress(&client, ACME, batch).await.unwrap().unwrap();
    assert_eq!(
        (progress.total, progress.succeeded, progress.failed),
        (2, 1, 1),
        "what was counted stays"
    );
    worker.stop().await;
}

/// A handler that has completed its job in a transaction and does not end it holds up neither the counts of the others nor the worker.
#[tokio::test]
async fn an_open_completion_does_not_hold_up_the_counts() {
    let db = database().await;
    let mut client = db.client().await;
    let batch = id();
    NewBatch::new(batch, "b")
        .in_domain(ACME)
        .create(&mut client)
        .await
        .unwrap();
    let slow = add(&mut client, job(&Part { fail: false }).in_batch(batch)).await;
    let hand = crate::support::ByHand::register(&db).await;
    assert_eq!(hand.claim(1).await, [(slow, 1)]);
    client
        .batch_execute("UPDATE queue_workers SET lease_until = now() + interval '1 hour'")
        .await
        .unwrap();
    hand.client.batch_execute("BEGIN").await.unwrap();
    assert!(hand.complete(slow, 1).await);
    for _ in 0..3 {
        add(&mut client, job(&Part { fail: false }).in_batch(batch)).await;
    }
    // Sealing waits for whoever is adding jobs, not for a completion.
    seal(&mut client, Some(ACME), batch).await.unwrap();
    let worker = start(&db, registry(), options());
    until(
        &client,
        "SELECT (total, succeeded) = (4, 3) FROM queue_job_batches",
    )
    .await;
    hand.client.batch_execute("COMMIT").await.unwrap();
    until(&client, "SELECT finished_at IS NOT NULL FROM queue_job_batches").await;
    let progress = batch_progress(&client, ACME, batch).await.unwrap().unwrap();
    assert_eq!((progress.total, progress.succeeded), (4, 4));
    worker.stop().await;
}
