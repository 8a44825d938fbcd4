//! How an attempt may end, and where that leads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use job_queue::{Backoff, Context, Failure, Job, NewJob, Priority, Registry};
use serde::{Deserialize, Serialize};

use crate::support::{ByHand, add, database, job, number, options, start, state, until, until_state};

#[derive(Serialize, Deserialize)]
struct Task {
    what: String,
}

impl Job for Task {
    const NAME: &'static str = "task";
    const MAX_ATTEMPTS: u32 = 2;
    const TIME_LIMIT: Duration = Duration::from_millis(300);
    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(10),
        longest: Duration::from_millis(10),
        jitter: 0.0,
    };
}

#[derive(Serialize, Deserialize)]
struct Forgotten {}

impl Job for Forgotten {
    const NAME: &'static str = "forgotten";
    const KEEP_COMPLETED: bool = false;
}

fn task(what: &str) -> NewJob {
    job(&Task {
        what: what.to_owned(),
    })
}

fn registry() -> Registry {
    Registry::new().handle(|context: Context, task: Task| async move {
        match task.what.as_str() {
            "succeed" => Ok(()),
            "fail once" if context.attempt() > 1 => Ok(()),
            "fail once" | "fail" => Err(Failure::retry("it \0 failed")),
            "error" => Err("x".parse::<i32>().unwrap_err().into()),
            "fatal" => Err(Failure::fatal("no use")),
            "panic" => panic!("oh no"),
            "sleep" => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Ok(())
            }
            "later" if context.attempt() == 1 => {
                Err(Failure::retry_after("busy", Duration::from_millis(700)))
            }
            "give up" => Err(Failure::cancelled("nothing to do")),
            _ => Ok(()),
        }
    })
}

#[tokio::test]
async fn each_end_leads_to_its_state() {
    let db = database().await;
    let mut client = db.client().await;
    let mut jobs = Vec::new();
    for what in [
        "succeed",
        "fail once",
        "fail",
        "error",
        "fatal",
        "panic",
        "sleep",
        "give up",
    ] {
        jobs.push((what, add(&mut client, task(what)).await));
    }
    let worker = start(&db, registry(), options());
    until(
        &client,
        "SELECT NOT EXISTS (SELECT FROM queue_jobs WHERE finished_at IS NULL)",
    )
    .await;
    let expected = [
        ("succeed", "completed", 1, ""),
        ("fail once", "completed", 2, "it \u{fffd} failed"),
        ("fail", "dead", 2, "it \u{fffd} failed"),
        ("error", "dead", 2, "invalid digit"),
        ("fatal", "dead", 1, "no use"),
        ("panic", "dead", 2, "panicked: oh no"),
        ("sleep", "dead", 2, "time limit"),
        ("give up", "cancelled", 1, "nothing to do"),
    ];
    for ((what, id), (name, state, attempts, error)) in jobs.iter().zip(expected) {
        assert_eq!(*what, name);
        let row = client
            .query_one(
                "SELECT state, attempt, coalesce(errors->-1->>'error', ''), jsonb_array_length(errors), finished_at IS NOT NULL
                   FROM queue_jobs WHERE id = $1",
                &[id],
            )
            .await
            .unwrap();
        assert_eq!(
            (row.get::<_, &str>(0), row.get::<_, i32>(1)),
            (state, attempts),
            "{what}"
        );
        assert!(
            row.get::<_, &str>(2).contains(error),
            "{what}: {}",
            row.get::<_, &str>(2)
        );
        let noted = if state == "completed" {
            attempts - 1
        } else {
            attempts
        };
        assert_eq!(
            (row.get::<_, i32>(3), row.get::<_, bool>(4)),
            (noted, true),
            "{what}"
        );
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_failed_job_waits_as_long_as_it_asked_for() {
    let db = database().await;
    let mut client = db.client().await;
    let later = add(&mut client, task("later")).await;
    let worker = start(&db, registry(), options());
    until_state(&client, later, "completed").await;
    let waited: f64 = client
        .query_one(
            "SELECT extract(epoch FROM started_at - (errors->0->>'at')::timestamptz)::float8 FROM queue_jobs WHERE id = $1",
            &[&later],
        )
        .await
        .unwrap()
        .get(0);
    assert!((0.7..3.0).contains(&waited), "{waited}");
    worker.stop().await;
}

#[tokio::test]
async fn a_delayed_job_waits_and_does_not_hold_up_others() {
    let db = database().await;
    let mut client = db.client().await;
    let delayed = add(&mut client, task("succeed").delay(Duration::from_millis(800))).await;
    let prompt = add(&mut client, task("succeed")).await;
    assert_eq!(state(&client, delayed).await, "scheduled");
    let worker = start(&db, registry(), options());
    until_state(&client, prompt, "completed").await;
    until_state(&client, delayed, "completed").await;
    let early: bool = client
        .query_one("SELECT started_at < run_at OR run_at < created_at + interval '0.8 s' FROM queue_jobs WHERE id = $1", &[&delayed])
        .await
        .unwrap()
        .get(0);
    assert!(!early);
    worker.stop().await;
}

#[tokio::test]
async fn a_job_whose_transaction_was_rolled_back_never_was() {
    let db = database().await;
    let mut client = db.client().await;
    let mut tx = client.transaction().await.unwrap();
    job_queue::enqueue(&mut tx, &[task("succeed")]).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM queue_jobs").await, 0);
    let mut tx = client.transaction().await.unwrap();
    job_queue::enqueue(&mut tx, &[task("succeed")]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM queue_jobs").await, 1);
}

#[tokio::test]
async fn urgent_jobs_overtake_and_low_ones_still_get_their_turn() {
    let db = database().await;
    let mut client = db.client().await;
    let mut first = Vec::new();
    for _ in 0..10 {
        first.push(add(&mut client, task("low").priority(Priority::Low)).await);
    }
    let mut urgent = Vec::new();
    for _ in 0..100 {
        urgent.push(add(&mut client, task("urgent").priority(Priority::Urgent)).await);
    }
    let hand = ByHand::register(&db).await;
    let order: Vec<_> = hand.claim(110).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(order.len(), 110);
    assert_eq!(order[..100], urgent, "urgent ones first, in their own order");
    assert_eq!(order[100..], first);
    // A thousand urgent jobs in line: the low one, which came later, is served among them.
    let many: Vec<_> = (0..1000)
        .map(|_| task("urgent").priority(Priority::Urgent))
        .collect();
    job_queue::enqueue(&mut client, &many).await.unwrap();
    let low = add(&mut client, task("low").priority(Priority::Low)).await;
    let order: Vec<_> = hand.claim(1001).await.into_iter().map(|(id, _)| id).collect();
    let place = order.iter().position(|id| *id == low).unwrap();
    assert!((100..1000).contains(&place), "{place}");
}

#[tokio::test]
async fn jobs_of_one_transaction_keep_their_order() {
    let db = database().await;
    let mut client = db.client().await;
    let jobs: Vec<_> = (0..500).map(|_| task("x")).collect();
    let ids: Vec<_> = jobs.iter().map(NewJob::id).collect();
    job_queue::enqueue(&mut client, &jobs).await.unwrap();
    let hand = ByHand::register(&db).await;
    let claimed: Vec<_> = hand.claim(500).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(claimed, ids);
}

#[tokio::test]
async fn a_completed_job_may_leave_no_trace() {
    let db = database().await;
    let mut client = db.client().await;
    let runs = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&runs);
    let registry = Registry::new().handle(move |_, _: Forgotten| {
        seen.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    });
    add(&mut client, job(&Forgotten {})).await;
    let worker = start(&db, registry, options());
    until(&client, "SELECT NOT EXISTS (SELECT FROM queue_jobs)").await;
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    worker.stop().await;
}

#[tokio::test]
async fn a_job_without_a_handler_is_put_off_and_costs_no_attempt() {
    let db = database().await;
    let mut client = db.client().await;
    let unknown = add(&mut client, job(&Forgotten {})).await;
    let worker = start(&db, registry(), options());
    until_state(&client, unknown, "scheduled").await;
    let row = client
        .query_one(
            "SELECT max_attempts - attempt, run_at > now() + interval '20 s', errors->0->>'outcome' FROM queue_jobs WHERE id = $1",
            &[&unknown],
        )
        .await
        .unwrap();
    assert_eq!(
        (row.get::<_, i32>(0), row.get::<_, bool>(1), row.get::<_, &str>(2)),
        (10, true, "released")
    );
    worker.stop().await;
}

#[tokio::test]
async fn names_are_checked_before_anything_is_sent() {
    let db = database().await;
    let mut client = db.client().await;
    for wrong in [
        task("x").queue(""),
        task("x").queue("q".repeat(64)),
        task("x").unique("", job_queue::While::Waiting),
        task("x").trace("t".repeat(201)),
    ] {
        let error = job_queue::enqueue(&mut client, &[wrong]).await.unwrap_err();
        assert!(matches!(error, job_queue::Error::Invalid { .. }), "{error}");
    }
    assert_eq!(number(&client, "SELECT count(*) FROM queue_jobs").await, 0);
}
