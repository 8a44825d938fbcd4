//! What operators do: look, pause, cancel, retry, discard.

use std::time::Duration;

use job_queue::{
    Context, Failure, Job, JobFilter, JobState, Registry, cancel, count, discard, list, pause, queues,
    resume, retry,
};
use serde::{Deserialize, Serialize};

use crate::scratch::{ACME, GLOBEX};
use crate::support::{add, database, job, number, options, start, state, until, until_state};

#[derive(Serialize, Deserialize)]
struct Wait {
    listens: bool,
}

impl Job for Wait {
    const NAME: &'static str = "wait";
}

#[derive(Serialize, Deserialize)]
struct Doomed {}

impl Job for Doomed {
    const NAME: &'static str = "doomed";
}

fn registry() -> Registry {
    Registry::new()
        .handle(|context: Context, wait: Wait| async move {
            if wait.listens {
                context.cancellation().cancelled().await;
                return Err(Failure::retry("stopped"));
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(())
        })
        .handle(|_, _: Doomed| async { Err(Failure::fatal("doomed")) })
}

#[tokio::test]
async fn waiting_jobs_are_cancelled_at_once_and_running_ones_soon() {
    let db = database().await;
    let mut client = db.client().await;
    let waiting = add(&mut client, job(&Wait { listens: true }).queue("nobody")).await;
    let later = add(
        &mut client,
        job(&Wait { listens: true }).delay(Duration::from_secs(60)),
    )
    .await;
    let listens = add(&mut client, job(&Wait { listens: true })).await;
    let deaf = add(&mut client, job(&Wait { listens: false })).await;
    let worker = start(&db, registry(), options());
    until(
        &client,
        "SELECT count(*) = 2 FROM queue_jobs WHERE state = 'running'",
    )
    .await;
    let all = [waiting, later, listens, deaf];
    assert!(
        cancel(&mut client, Some(GLOBEX), &all).await.unwrap().is_empty(),
        "not another domain's"
    );
    let mut asked = cancel(&mut client, Some(ACME), &all).await.unwrap();
    asked.sort_unstable();
    assert_eq!(asked, all);
    assert_eq!(
        (state(&client, waiting).await, state(&client, later).await),
        ("cancelled".into(), "cancelled".into())
    );
    until_state(&client, listens, "cancelled").await;
    until_state(&client, deaf, "cancelled").await;
    assert!(
        cancel(&mut client, Some(ACME), &all).await.unwrap().is_empty(),
        "finished is finished"
    );
    worker.stop().await;
}

#[tokio::test]
async fn a_job_of_a_dead_worker_that_was_to_be_cancelled_is() {
    let db = database().await;
    let mut client = db.client().await;
    let id = add(&mut client, job(&Wait { listens: true })).await;
    let hand = crate::support::ByHand::register(&db).await;
    hand.claim(1).await;
    cancel(&mut client, Some(ACME), &[id]).await.unwrap();
    assert_eq!(state(&client, id).await, "running");
    let worker = start(&db, registry(), options());
    until_state(&client, id, "cancelled").await;
    worker.stop().await;
}

#[tokio::test]
async fn a_paused_queue_gives_no_jobs() {
    let db = database().await;
    let mut client = db.client().await;
    let worker = start(&db, registry(), options());
    pause(&mut client, "default").await.unwrap();
    let doomed = add(&mut client, job(&Doomed {})).await;
    worker.handle.wake("default");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(state(&client, doomed).await, "available");
    let counts = queues(&client).await.unwrap();
    assert_eq!((counts.len(), counts[0].available), (1, 1));
    assert!(counts[0].paused_at.is_some() && counts[0].oldest_seconds > 0.2);
    assert!(resume(&mut client, "default").await.unwrap());
    assert!(!resume(&mut client, "default").await.unwrap());
    until_state(&client, doomed, "dead").await;
    worker.stop().await;
}

#[tokio::test]
async fn dead_letters_are_listed_retried_and_discarded() {
    let db = database().await;
    let mut client = db.client().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(add(&mut client, job(&Doomed {})).await);
    }
    let worker = start(&db, registry(), options());
    until(
        &client,
        "SELECT count(*) = 5 FROM queue_jobs WHERE state = 'dead'",
    )
    .await;
    worker.stop().await;

    let dead = JobFilter {
        domain: Some(ACME),
        state: Some(JobState::Dead),
        ..JobFilter::default()
    };
    assert_eq!(count(&client, &dead).await.unwrap(), 5);
    let page = list(&client, &dead, None, 3).await.unwrap();
    let next = list(&client, &dead, page.last().map(|job| job.id), 3)
        .await
        .unwrap();
    let seen: Vec<_> = page.iter().chain(&next).map(|job| job.id).collect();
    ids.reverse();
    assert_eq!(seen, ids, "newest first, page by page");
    assert_eq!(page[0].errors[0]["error"], "doomed");
    let elsewhere = JobFilter {
        domain: Some(GLOBEX),
        ..JobFilter::default()
    };
    assert_eq!(count(&client, &elsewhere).await.unwrap(), 0);
    let by_kind = JobFilter {
        kind: Some("wait".into()),
        ..JobFilter::default()
    };
    assert_eq!(list(&client, &by_kind, None, 10).await.unwrap().len(), 0);

    assert_eq!(
        retry(&mut client, Some(ACME), &ids[..2], 3).await.unwrap().len(),
        2
    );
    let row = client
        .query_one(
            "SELECT state, max_attempts - attempt FROM queue_jobs WHERE id = $1",
            &[&ids[0]],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, i32>(1)), ("available", 3));
    assert_eq!(
        discard(&mut client, Some(ACME), &ids).await.unwrap().len(),
        3,
        "only the dead"
    );
    assert_eq!(
        number(
            &client,
            "SELECT count(*) FROM queue_jobs WHERE state = 'cancelled'"
        )
        .await,
        3
    );
}

#[tokio::test]
async fn a_retry_does_not_break_a_unique_key() {
    let db = database().await;
    let mut client = db.client().await;
    let new = || job(&Doomed {}).unique("one", job_queue::While::Unfinished);
    let first = add(&mut client, new()).await;
    let worker = start(&db, registry(), options());
    until_state(&client, first, "dead").await;
    worker.stop().await;
    let second = add(&mut client, new()).await;
    assert!(
        retry(&mut client, Some(ACME), &[first], 1)
            .await
            .unwrap()
            .is_empty(),
        "the second one holds the key"
    );
    cancel(&mut client, Some(ACME), &[second]).await.unwrap();
    assert_eq!(
        retry(&mut client, Some(ACME), &[first], 1).await.unwrap(),
        [first]
    );
}
