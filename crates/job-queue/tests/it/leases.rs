//! Leases: a worker that has lost one completes nothing; attempts of dead workers count.

use std::sync::Arc;
use std::time::Duration;

use job_queue::{Context, Error, Failure, Job, Registry};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::support::{ByHand, add, database, job, number, options, start, state, until, until_state};

#[derive(Serialize, Deserialize)]
struct Step {}

impl Job for Step {
    const NAME: &'static str = "step";
    const MAX_ATTEMPTS: u32 = 3;
}

fn quick() -> Registry {
    Registry::new().handle(|_, _: Step| async { Ok(()) })
}

/// The worker by hand has gone silent, for so long that anybody may act on it.
const SILENT: &str = "UPDATE queue_workers SET heartbeat_at = now() - interval '9 s', lease_until = now() - interval '1 s' WHERE name = 'by hand'";

#[tokio::test]
async fn a_zombie_completes_nothing() {
    let db = database().await;
    let mut client = db.client().await;
    let id = add(&mut client, job(&Step {})).await;
    let zombie = ByHand::register(&db).await;
    assert_eq!(zombie.claim(5).await, [(id, 1)]);
    client.batch_execute(SILENT).await.unwrap();
    let worker = start(&db, quick(), options());
    until_state(&client, id, "completed").await;
    assert!(!zombie.complete(id, 1).await, "its lease had ended");
    assert!(!zombie.complete(id, 2).await, "nor is the new one its own");
    worker.stop().await;
    add(&mut client, job(&Step {})).await;
    assert_eq!(zombie.claim(5).await, [], "a fenced worker claims nothing");
    assert_eq!(
        ByHand::register(&db).await.claim(5).await.len(),
        1,
        "though there is something"
    );
    let row = client
        .query_one(
            "SELECT attempt, errors->0->>'outcome' FROM queue_jobs WHERE id = $1",
            &[&id],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (2, "lost"));
}

#[tokio::test]
async fn a_lease_that_ran_out_is_renewed_while_nobody_acted_on_it() {
    let db = database().await;
    let mut client = db.client().await;
    let id = add(&mut client, job(&Step {})).await;
    let hand = ByHand::register(&db).await;
    hand.claim(1).await;
    client.batch_execute(SILENT).await.unwrap();
    let renewed = client
        .query(
            include_str!("../../src/sql/heartbeat.sql"),
            &[&vec![hand.worker], &60.0_f64],
        )
        .await
        .unwrap();
    assert_eq!(renewed.len(), 1);
    assert!(hand.complete(id, 1).await);
}

#[tokio::test]
async fn a_job_that_kills_its_workers_ends() {
    let db = database().await;
    let mut client = db.client().await;
    let id = add(&mut client, job(&Step {})).await;
    for attempt in 1..=3 {
        let hand = ByHand::register(&db).await;
        // Later attempts wait; not here.
        client
            .batch_execute("UPDATE queue_jobs SET state = 'available', turn = 1 WHERE state = 'scheduled'")
            .await
            .unwrap();
        assert_eq!(hand.claim(1).await, [(id, attempt)]);
        client
            .batch_execute("UPDATE queue_workers SET fenced_at = now()")
            .await
            .unwrap();
        let lost = [
            &vec![hand.worker] as &(dyn tokio_postgres::types::ToSql + Sync),
            &"lost",
        ];
        client
            .query(include_str!("../../src/sql/take_back.sql"), &lost)
            .await
            .unwrap();
        let expected = ["available", "scheduled", "dead"][attempt as usize - 1];
        assert_eq!(state(&client, id).await, expected, "after attempt {attempt}");
    }
    assert_eq!(
        number(
            &client,
            "SELECT jsonb_array_length(errors)::bigint FROM queue_jobs"
        )
        .await,
        3
    );
}

#[tokio::test]
async fn a_worker_that_was_fenced_stops_its_jobs_and_begins_anew() {
    let db = database().await;
    let mut client = db.client().await;
    let stopped = Arc::new(Notify::new());
    let told = Arc::clone(&stopped);
    let registry = Registry::new().handle(move |context: Context, _: Step| {
        let told = Arc::clone(&told);
        async move {
            if context.attempt() > 1 {
                return Ok(());
            }
            context.cancellation().cancelled().await;
            told.notify_one();
            Err(Failure::retry("stopped"))
        }
    });
    let id = add(&mut client, job(&Step {})).await;
    let worker = start(&db, registry, options());
    until_state(&client, id, "running").await;
    let first: uuid::Uuid = client
        .query_one("SELECT worker_id FROM queue_jobs", &[])
        .await
        .unwrap()
        .get(0);
    // Somebody takes its jobs away.
    let tx = client.transaction().await.unwrap();
    tx.execute(
        "UPDATE queue_workers SET fenced_at = now() WHERE id = $1",
        &[&first],
    )
    .await
    .unwrap();
    tx.query(
        include_str!("../../src/sql/take_back.sql"),
        &[&vec![first], &"lost"],
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), stopped.notified())
        .await
        .unwrap();
    until_state(&client, id, "completed").await;
    until(&client, &format!("SELECT NOT EXISTS (SELECT FROM queue_workers WHERE id = '{first}') AND EXISTS (SELECT FROM queue_workers)")).await;
    assert_eq!(number(&client, "SELECT attempt::bigint FROM queue_jobs").await, 2);
    worker.stop().await;
}

/// The work and its completion are one: without the lease, neither is committed.
#[tokio::test]
async fn work_and_completion_are_committed_together() {
    let db = database().await;
    let mut client = db.client().await;
    client
        .batch_execute("CREATE TABLE effects (attempt int); GRANT ALL ON effects TO plinth_system")
        .await
        .unwrap();
    let config = db.system();
    let (lost, commit) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, go) = (Arc::clone(&lost), Arc::clone(&commit));
    let registry = Registry::new().handle(move |context: Context, _: Step| {
        let (config, tell, go) = (config.clone(), Arc::clone(&tell), Arc::clone(&go));
        async move {
            let mut client = crate::scratch::connect(&config).await;
            if context.attempt() == 1 {
                go.notified().await;
            }
            let mut tx = client.transaction().await?;
            tx.execute("INSERT INTO effects VALUES ($1)", &[&context.attempt()])
                .await?;
            match context.complete_in(&mut tx).await {
                Ok(()) => tx.commit().await?,
                Err(Error::LeaseLost(_)) => {
                    tell.notify_one();
                    return Err(Failure::retry("lost"));
                }
                Err(error) => return Err(error.into()),
            }
            Ok(())
        }
    });
    let id = add(&mut client, job(&Step {})).await;
    let mut slow = options();
    slow.heartbeat = Duration::from_secs(60);
    let first = start(&db, registry.clone(), slow);
    until_state(&client, id, "running").await;
    client.batch_execute("UPDATE queue_workers SET heartbeat_at = now() - interval '9 s', lease_until = now() - interval '1 s'").await.unwrap();
    let second = start(&db, registry, options());
    until_state(&client, id, "completed").await;
    commit.notify_one();
    tokio::time::timeout(Duration::from_secs(10), lost.notified())
        .await
        .unwrap();
    let attempts: Vec<i32> = client
        .query("SELECT attempt FROM effects", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(attempts, [2]);
    second.stop().await;
    first.stop().await;
}

/// A handler that says it completed the job, and did not commit: the job is tried again, not forgotten.
#[tokio::test]
async fn a_completion_that_was_not_committed_is_noticed() {
    let db = database().await;
    let mut client = db.client().await;
    let config = db.system();
    let registry = Registry::new().handle(move |context: Context, _: Step| {
        let config = config.clone();
        async move {
            let mut client = crate::scratch::connect(&config).await;
            let mut tx = client.transaction().await?;
            context.complete_in(&mut tx).await?;
            if context.attempt() == 1 {
                tx.rollback().await?
            } else {
                tx.commit().await?
            }
            Ok(())
        }
    });
    let id = add(&mut client, job(&Step {})).await;
    let worker = start(&db, registry, options());
    until_state(&client, id, "completed").await;
    let row = client
        .query_one("SELECT attempt, errors->0->>'error' FROM queue_jobs", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i32>(0), 2);
    assert!(row.get::<_, &str>(1).contains("not committed"));
    worker.stop().await;
}

/// A claim whose connection broke may still be under way when its worker gives that id up: what it takes is handed back, not orphaned.
#[tokio::test]
async fn giving_up_an_id_waits_for_a_claim_that_is_under_way() {
    let db = database().await;
    let mut client = db.client().await;
    let id = add(&mut client, job(&Step {})).await;
    let hand = ByHand::register(&db).await;
    hand.client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(hand.claim(1).await, [(id, 1)]);
    let worker = hand.worker;
    let going = tokio::spawn(async move {
        let tx = client.transaction().await.unwrap();
        let ids = vec![worker];
        tx.query(include_str!("../../src/sql/fence.sql"), &[&ids])
            .await
            .unwrap();
        tx.query(include_str!("../../src/sql/take_back.sql"), &[&ids, &"released"])
            .await
            .unwrap();
        tx.query(include_str!("../../src/sql/dismiss.sql"), &[&ids])
            .await
            .unwrap();
        tx.commit().await.unwrap();
        client
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    hand.client.batch_execute("COMMIT").await.unwrap();
    let client = going.await.unwrap();
    assert_eq!(state(&client, id).await, "available");
    assert_eq!(number(&client, "SELECT count(*) FROM queue_workers").await, 0);
}

/// Somebody deletes a worker's row by hand: its jobs are taken up all the same.
#[tokio::test]
async fn jobs_of_a_worker_that_is_not_there_are_taken_up() {
    let db = database().await;
    let mut client = db.client().await;
    let id = add(&mut client, job(&Step {})).await;
    let hand = ByHand::register(&db).await;
    hand.claim(1).await;
    client.batch_execute("DELETE FROM queue_workers").await.unwrap();
    let worker = start(&db, quick(), options());
    until_state(&client, id, "completed").await;
    assert!(!hand.complete(id, 1).await);
    assert_eq!(number(&client, "SELECT attempt::bigint FROM queue_jobs").await, 2);
    worker.stop().await;
}

/// Looking for jobs where there are none writes nothing: the worker's row is not even locked.
#[tokio::test]
async fn an_idle_worker_writes_heartbeats_and_nothing_else() {
    let db = database().await;
    let client = db.client().await;
    let mut options = options();
    options.heartbeat = Duration::from_secs(60);
    options.poll = Duration::from_millis(10);
    let worker = start(&db, quick(), options);
    until(&client, "SELECT count(*) = 1 FROM queue_workers").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let row = "SELECT array[xmin::text, xmax::text, ctid::text] FROM queue_workers";
    let before: Vec<String> = client.query_one(row, &[]).await.unwrap().get(0);
    tokio::time::sleep(Duration::from_millis(700)).await;
    let after: Vec<String> = client.query_one(row, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
    worker.stop().await;
}
