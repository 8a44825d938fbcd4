//! What a domain could write as the app role, by its own SQL even, does nothing to the others.

use std::time::Duration;

use job_queue::{
    Error, Job, JobState, NewBatch, NewJob, Registry, batch_progress, cancel, enqueue, retry, seal,
};
use serde::{Deserialize, Serialize};

use crate::scratch::{ACME, GLOBEX};
use crate::support::{ByHand, add, app, database, id, job, number, options, start, until, until_state};

#[derive(Serialize, Deserialize)]
struct Text {
    text: String,
}

impl Job for Text {
    const NAME: &'static str = "text";
}

fn text(text: impl Into<String>) -> Text {
    Text { text: text.into() }
}

fn small(domain: uuid::Uuid) -> NewJob {
    NewJob::new(id(), &text("")).unwrap().in_domain(domain)
}

fn registry() -> Registry {
    Registry::new().handle(|_, _: Text| async { Ok(()) })
}

#[tokio::test]
async fn no_domain_gives_itself_a_place_in_the_line() {
    let db = database().await;
    let owner = db.client().await;
    let acme = app(&db, ACME).await;
    owner
        .batch_execute("INSERT INTO queue_queues (name, turn) VALUES ('default', 1000000)")
        .await
        .unwrap();
    // In front of everybody, and so far behind that the numbers run out.
    for turn in ["0", "999999", "4611686018427387903"] {
        for priority in [0, 2] {
            acme.batch_execute(&format!(
                "INSERT INTO queue_jobs (id, queue, kind, state, priority, turn, max_attempts, payload)
                 SELECT gen_random_uuid(), 'default', 'text', 'available', {priority}, {turn}, 3, '{{}}' FROM generate_series(1, 3)"
            ))
            .await
            .unwrap();
        }
    }
    let turns = |priority: i32| {
        format!("SELECT array_agg(turn ORDER BY turn) FROM queue_jobs WHERE priority = {priority}")
    };
    let found: Vec<i64> = owner.query_one(&turns(2), &[]).await.unwrap().get(0);
    let expected: Vec<i64> = (1..=9).map(|place| 1_000_000 + 64 * place).collect();
    assert_eq!(found, expected);
    let found: Vec<i64> = owner.query_one(&turns(0), &[]).await.unwrap().get(0);
    let expected: Vec<i64> = (1..=9).map(|place| 1_000_000 + place).collect();
    assert_eq!(found, expected);
    acme.batch_execute("UPDATE queue_jobs SET turn = 0")
        .await
        .unwrap();
    assert!(number(&owner, "SELECT min(turn) FROM queue_jobs").await > 1_000_000);

    // The statement of the crate comes to the same places, by the app role and by the system.
    let mut acme = app(&db, GLOBEX).await;
    enqueue(&mut acme, &[small(GLOBEX), small(GLOBEX)]).await.unwrap();
    let mut owner = owner;
    enqueue(&mut owner, &[small(GLOBEX)]).await.unwrap();
    let sql = format!("SELECT array_agg(turn ORDER BY turn) FROM queue_jobs WHERE domain_id = '{GLOBEX}'");
    let found: Vec<i64> = owner.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(found, [1_000_064, 1_000_128, 1_000_192]);
}

#[tokio::test]
async fn what_workers_would_stumble_over_is_refused() {
    let db = database().await;
    let acme = app(&db, ACME).await;
    let insert = |columns: &str, values: &str| {
        format!(
            "INSERT INTO queue_jobs (id, queue, kind, state, turn, max_attempts, {columns})
             VALUES (gen_random_uuid(), 'default', 'text', 'available', 1, 3, {values})"
        )
    };
    let batch = id();
    acme.batch_execute(&format!(
        "INSERT INTO queue_job_batches (id, name, open_until) VALUES ('{batch}', 'b', now())"
    ))
    .await
    .unwrap();
    let delta = |column: &str, value: &str| {
        format!("INSERT INTO queue_job_batch_deltas (batch_id, {column}) VALUES ('{batch}', {value})")
    };
    let long = "jsonb_build_object('text', repeat('x', 2000000))";
    let batch_insert = format!(
        "INSERT INTO queue_job_batches (id, name, open_until, completion_queue, completion_kind, completion_priority,
                                        completion_max_attempts, completion_payload, completion_job_id)
         VALUES (gen_random_uuid(), 'b', now(), 'q', 'k', 2, 1, {long}, gen_random_uuid())"
    );
    for (sql, constraint) in [
        (
            insert("payload, run_at", "'{}', '-infinity'"),
            "queue_jobs_run_at_check",
        ),
        (
            insert("payload, run_at", "'{}', 'infinity'"),
            "queue_jobs_run_at_check",
        ),
        (
            insert("payload, run_at", "'{}', '290000-01-01'"),
            "queue_jobs_run_at_check",
        ),
        (insert("payload", long), "queue_jobs_payload_check"),
        (batch_insert, "queue_job_batches_payload_check"),
        (delta("total", "-1"), "queue_job_batch_deltas_total_check"),
        (
            delta("total", "9000000000000000000"),
            "queue_job_batch_deltas_total_check",
        ),
        (delta("succeeded", "-1"), "queue_job_batch_deltas_succeeded_check"),
        (
            delta("failed", "-9000000000000000000"),
            "queue_job_batch_deltas_failed_check",
        ),
        (
            delta("cancelled", "9000000000000000000"),
            "queue_job_batch_deltas_cancelled_check",
        ),
    ] {
        let error = acme.batch_execute(&sql).await.expect_err(&sql);
        let refused = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}"));
        assert_eq!(refused.constraint(), Some(constraint), "{sql}: {refused}");
    }
    // Nor does the app role write what only workers do.
    for column in [
        "attempt = 5",
        "errors = '[]'",
        "started_at = now()",
        "payload = '{}'",
        "queue = 'other'",
        "priority = 0",
    ] {
        let error = acme
            .batch_execute(&format!("UPDATE queue_jobs SET {column}"))
            .await
            .unwrap_err();
        assert_eq!(
            error.code(),
            Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE),
            "{column}"
        );
    }
    for sql in [
        "DELETE FROM queue_jobs",
        "DELETE FROM queue_job_batch_deltas",
        "UPDATE queue_queues SET turn = 9",
        "INSERT INTO queue_workers (id, name, queues, concurrency, lease_until) VALUES (gen_random_uuid(), 'w', '{q}', 1, now() + interval '1 h')",
        "INSERT INTO queue_schedules (name, queue, kind, max_attempts, payload, cron, time_zone, missed) VALUES ('s', 'q', 'k', 1, '{}', '* * * * *', 'UTC', 'skip')",
    ] {
        let error = acme.batch_execute(sql).await.unwrap_err();
        assert_eq!(
            error.code(),
            Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE),
            "{sql}"
        );
    }
}

#[tokio::test]
async fn payloads_that_are_too_long_or_cannot_be_stored_are_refused_by_name() {
    let db = database().await;
    let mut client = db.client().await;
    let long = NewJob::new(id(), &text("x".repeat(140_000))).unwrap_err();
    assert!(
        matches!(long, Error::Invalid { .. }) && long.to_string().contains("131072"),
        "{long}"
    );
    let nul = NewJob::new(id(), &text("a\0b")).unwrap_err();
    assert!(nul.to_string().contains("NUL"), "{nul}");
    let nul = NewJob::new(id(), &text("a\\\0b")).unwrap_err();
    assert!(nul.to_string().contains("NUL"), "{nul}");
    let batch = NewBatch::new(id(), "b").then(id(), &text("a\0b")).unwrap_err();
    assert!(matches!(batch, Error::Invalid { .. }), "{batch}");
    // Just short enough, in the form that jsonb makes the longest of: six times the text.
    #[derive(Serialize, Deserialize)]
    struct Digits {
        digits: Vec<u8>,
    }
    impl Job for Digits {
        const NAME: &'static str = "digits";
    }
    add(
        &mut client,
        job(&Digits {
            digits: vec![1; 65_500],
        }),
    )
    .await;
    // An escaped backslash before u0000 is no NUL.
    let odd = add(&mut client, job(&text("\\u0000"))).await;
    let stored = client
        .query_one("SELECT payload->>'text' FROM queue_jobs WHERE id = $1", &[&odd])
        .await
        .unwrap();
    assert_eq!(stored.get::<_, &str>(0), "\\u0000");
}

/// Counts that no statement of the crate leads to, and jobs slipped into a finished batch: the other batches finish.
#[tokio::test]
async fn a_batch_with_impossible_counts_holds_up_no_other() {
    let db = database().await;
    let mut client = db.client().await;
    let acme = app(&db, ACME).await;
    let (odd, done, good) = (id(), id(), id());
    for (batch, domain) in [(odd, ACME), (done, ACME), (good, GLOBEX)] {
        NewBatch::new(batch, "b")
            .in_domain(domain)
            .create(&mut client)
            .await
            .unwrap();
    }
    acme.batch_execute(&format!(
        "INSERT INTO queue_job_batch_deltas (batch_id, failed, cancelled) VALUES ('{odd}', -5, 3)"
    ))
    .await
    .unwrap();
    seal(&mut client, Some(ACME), odd).await.unwrap();
    seal(&mut client, Some(ACME), done).await.unwrap();
    let worker = start(&db, registry(), options());
    until(
        &client,
        "SELECT count(*) = 2 FROM queue_job_batches WHERE finished_at IS NOT NULL",
    )
    .await;
    acme.batch_execute(&format!(
        "INSERT INTO queue_job_batch_deltas (batch_id, total) VALUES ('{done}', 7)"
    ))
    .await
    .unwrap();
    add(&mut client, small(GLOBEX).in_batch(good)).await;
    seal(&mut client, Some(GLOBEX), good).await.unwrap();
    worker.handle.wake("default");
    until(
        &client,
        "SELECT count(*) = 3 FROM queue_job_batches WHERE finished_at IS NOT NULL",
    )
    .await;
    until(&client, "SELECT count(*) = 0 FROM queue_job_batch_deltas").await;
    let progress = batch_progress(&client, GLOBEX, good).await.unwrap().unwrap();
    assert_eq!((progress.total, progress.succeeded), (1, 1));
    let progress = batch_progress(&client, ACME, done).await.unwrap().unwrap();
    assert_eq!(progress.total, 0, "a finished batch stays as it was");
    worker.stop().await;
}

/// A transaction that holds a running job's row (somebody looks at it, and went for lunch) delays the result of that job alone.
#[tokio::test]
async fn a_locked_row_holds_up_no_other_result() {
    let db = database().await;
    let mut client = db.client().await;
    let registry = Registry::new().handle(|_, job: Text| async move {
        tokio::time::sleep(Duration::from_millis(if job.text == "held" { 300 } else { 350 })).await;
        Ok(())
    });
    let mut options = options();
    options.finishers = Some(1);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(add(&mut client, job(&text("held"))).await);
    }
    let others: Vec<_> = (0..20).map(|_| small(GLOBEX)).collect();
    enqueue(&mut client, &others).await.unwrap();
    let worker = start(&db, registry, options);
    until(
        &client,
        "SELECT count(*) = 23 FROM queue_jobs WHERE state = 'running'",
    )
    .await;
    let mut lunch = app(&db, ACME).await;
    let tx = lunch.transaction().await.unwrap();
    tx.query("SELECT FROM queue_jobs FOR UPDATE", &[]).await.unwrap();
    let begun = std::time::Instant::now();
    until(
        &client,
        "SELECT count(*) = 20 FROM queue_jobs WHERE state = 'completed'",
    )
    .await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(
        number(&client, "SELECT count(*) FROM queue_jobs WHERE state = 'running'").await,
        3
    );
    tx.rollback().await.unwrap();
    until(
        &client,
        "SELECT count(*) = 23 FROM queue_jobs WHERE state = 'completed'",
    )
    .await;
    assert_eq!(
        number(&client, "SELECT max(attempt)::bigint FROM queue_jobs").await,
        1
    );
    worker.stop().await;
}

/// The database refuses a result for good (here by a constraint of somebody's own): the job does not stay running under a worker that
/// lives on.
#[tokio::test]
async fn a_result_that_is_refused_becomes_a_dead_letter() {
    let db = database().await;
    let mut client = db.client().await;
    client
        .batch_execute(
            "ALTER TABLE queue_jobs ADD CONSTRAINT no_success CHECK (state <> 'completed' OR kind <> 'text')",
        )
        .await
        .unwrap();
    let first = add(&mut client, small(ACME)).await;
    let worker = start(&db, registry(), options());
    until_state(&client, first, "dead").await;
    let error: String = client
        .query_one("SELECT errors->0->>'error' FROM queue_jobs", &[])
        .await
        .unwrap()
        .get(0);
    assert!(error.contains("no_success"), "{error}");
    // Refused whatever it is: back in line, or with the next worker, but not running.
    client
        .batch_execute(
            "ALTER TABLE queue_jobs ADD CONSTRAINT no_end CHECK (finished_at IS NULL OR max_attempts <> 7)",
        )
        .await
        .unwrap();
    let second = add(&mut client, small(ACME).max_attempts(7)).await;
    until(
        &client,
        &format!(
            "SELECT max_attempts > 7 OR state IN ('dead', 'completed') FROM queue_jobs WHERE id = '{second}'"
        ),
    )
    .await;
    worker.stop().await;
    assert_eq!(
        number(&client, "SELECT count(*) FROM queue_jobs WHERE state = 'running'").await,
        0
    );
}

#[tokio::test]
async fn kinds_that_nobody_knows_are_looked_at_less_and_less() {
    let db = database().await;
    let mut client = db.client().await;
    let unknown = add(&mut client, small(ACME)).await;
    let worker = start(&db, Registry::new(), options());
    let mut waits = Vec::new();
    for _ in 0..4 {
        until_state(&client, unknown, "scheduled").await;
        let row = client
            .query_one(
                "SELECT extract(epoch FROM run_at - now())::float8 FROM queue_jobs",
                &[],
            )
            .await
            .unwrap();
        waits.push(row.get::<_, f64>(0));
        client
            .batch_execute("UPDATE queue_jobs SET state = 'available', turn = 1")
            .await
            .unwrap();
        worker.handle.wake("default");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    worker.stop().await;
    for (wait, expected) in waits.iter().zip([30.0, 60.0, 120.0, 240.0]) {
        assert!((expected - 6.0..=expected).contains(wait), "{waits:?}");
    }
}

/// Another domain's jobs are as if they were not there, for every call.
#[tokio::test]
async fn no_call_reaches_another_domains_job() {
    let db = database().await;
    let mut client = db.client().await;
    let theirs = [add(&mut client, small(ACME)).await];
    let mut globex = app(&db, GLOBEX).await;
    assert!(cancel(&mut globex, Some(ACME), &theirs).await.unwrap().is_empty());
    cancel(&mut client, Some(ACME), &theirs).await.unwrap();
    assert!(
        retry(&mut globex, Some(ACME), &theirs, 1)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        job_queue::discard(&mut globex, None, &theirs)
            .await
            .unwrap()
            .is_empty()
    );
    let all = job_queue::list(&globex, &job_queue::JobFilter::default(), None, 10)
        .await
        .unwrap();
    assert!(all.is_empty());
    let hand = ByHand::register(&db).await;
    assert!(hand.claim(1).await.is_empty());
    let mine = job_queue::JobFilter {
        state: Some(JobState::Cancelled),
        ..Default::default()
    };
    assert_eq!(job_queue::count(&app(&db, ACME).await, &mine).await.unwrap(), 1);
}
