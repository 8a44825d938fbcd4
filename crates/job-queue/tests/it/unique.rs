//! At most one job for a key, whoever asks at the same time.

use std::sync::Arc;

use job_queue::{Enqueued, Job, While, enqueue};
use serde::{Deserialize, Serialize};
use tokio::sync::Barrier;

use crate::scratch::GLOBEX;
use crate::support::{ByHand, add, database, job, number, state};

#[derive(Serialize, Deserialize)]
struct Look {}

impl Job for Look {
    const NAME: &'static str = "look";
}

#[derive(Serialize, Deserialize)]
struct Other {}

impl Job for Other {
    const NAME: &'static str = "other";
}

#[tokio::test]
async fn of_thirty_at_once_one_is_added() {
    let db = database().await;
    for round in 0..5 {
        let barrier = Arc::new(Barrier::new(30));
        let mut racers = tokio::task::JoinSet::new();
        for _ in 0..30 {
            let (mut client, barrier) = (db.client().await, Arc::clone(&barrier));
            racers.spawn(async move {
                barrier.wait().await;
                let mut tx = client.transaction().await.unwrap();
                let new = job(&Look {}).unique(format!("round {round}"), While::Unfinished);
                let outcome = enqueue(&mut tx, &[new]).await.unwrap()[0];
                tx.commit().await.unwrap();
                outcome
            });
        }
        let outcomes = racers.join_all().await;
        assert_eq!(outcomes.iter().filter(|it| **it == Enqueued::Added).count(), 1);
    }
    assert_eq!(
        number(&db.client().await, "SELECT count(*) FROM queue_jobs").await,
        5
    );
}

#[tokio::test]
async fn one_that_is_rolled_back_does_not_count() {
    let db = database().await;
    let (mut first, mut second) = (db.client().await, db.client().await);
    let new = || job(&Look {}).unique("key", While::Unfinished);
    let mut tx = first.transaction().await.unwrap();
    assert_eq!(enqueue(&mut tx, &[new()]).await.unwrap(), [Enqueued::Added]);
    let waits = tokio::spawn(async move { enqueue(&mut second, &[new()]).await.unwrap() });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!waits.is_finished(), "it must wait for what becomes of the first");
    tx.rollback().await.unwrap();
    assert_eq!(waits.await.unwrap(), [Enqueued::Added]);
}

#[tokio::test]
async fn the_key_is_held_for_as_long_as_it_says() {
    let db = database().await;
    let mut client = db.client().await;
    let hand = ByHand::register(&db).await;
    let unfinished = || job(&Look {}).unique("a", While::Unfinished);
    let waiting = || job(&Other {}).unique("b", While::Waiting);
    add(&mut client, unfinished()).await;
    add(&mut client, waiting()).await;
    let both = [unfinished(), waiting()];
    assert_eq!(
        enqueue(&mut client, &both).await.unwrap(),
        [Enqueued::Duplicate, Enqueued::Duplicate]
    );
    let claimed = hand.claim(10).await;
    assert_eq!(claimed.len(), 2);
    let both = [unfinished(), waiting()];
    assert_eq!(
        enqueue(&mut client, &both).await.unwrap(),
        [Enqueued::Duplicate, Enqueued::Added]
    );
    for (id, attempt) in claimed {
        assert!(hand.complete(id, attempt).await);
    }
    assert_eq!(
        enqueue(&mut client, &[unfinished()]).await.unwrap(),
        [Enqueued::Added]
    );
}

#[tokio::test]
async fn a_key_is_of_one_domain_and_kind_and_one_statement_counts_too() {
    let db = database().await;
    let mut client = db.client().await;
    let look = || job(&Look {}).unique("key", While::Unfinished);
    let jobs = [
        look(),
        look(),
        look().in_domain(GLOBEX),
        job(&Other {}).unique("key", While::Unfinished),
    ];
    let outcomes = enqueue(&mut client, &jobs).await.unwrap();
    assert_eq!(
        outcomes,
        [
            Enqueued::Added,
            Enqueued::Duplicate,
            Enqueued::Added,
            Enqueued::Added
        ]
    );
}

#[tokio::test]
async fn a_waiting_key_does_not_hinder_the_retry_of_the_one_that_runs() {
    let db = database().await;
    let mut client = db.client().await;
    let hand = ByHand::register(&db).await;
    let first = add(&mut client, job(&Look {}).unique("key", While::Waiting)).await;
    let claimed = hand.claim(1).await;
    let second = add(&mut client, job(&Look {}).unique("key", While::Waiting)).await;
    // The worker dies, and the first one comes back beside the second.
    client
        .execute("UPDATE queue_workers SET fenced_at = now()", &[])
        .await
        .unwrap();
    let taken = client
        .query(
            include_str!("../../src/sql/take_back.sql"),
            &[&vec![hand.worker], &"lost"],
        )
        .await
        .unwrap();
    assert_eq!((claimed[0].0, taken.len()), (first, 1));
    assert_eq!(
        (state(&client, first).await, state(&client, second).await),
        ("available".into(), "available".into())
    );
}
