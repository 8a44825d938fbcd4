//! States that no job may be in are refused by the table itself.

use job_queue::{Job, NewBatch};
use serde::{Deserialize, Serialize};

use crate::scratch::ACME;
use crate::support::{ByHand, add, database, id, job};

#[derive(Serialize, Deserialize)]
struct Any {}

impl Job for Any {
    const NAME: &'static str = "any";
}

#[tokio::test]
async fn illegal_states_are_refused() {
    let db = database().await;
    let mut client = db.client().await;
    add(&mut client, job(&Any {})).await;
    let hand = ByHand::register(&db).await;
    hand.claim(1).await;
    add(&mut client, job(&Any {})).await;
    NewBatch::new(id(), "b")
        .in_domain(ACME)
        .create(&mut client)
        .await
        .unwrap();

    let running = "WHERE state = 'running'";
    let waiting = "WHERE state = 'available'";
    let wrong = [
        // Running without a lease, a lease without running.
        (
            format!("UPDATE queue_jobs SET worker_id = NULL {running}"),
            "queue_jobs_running_check",
        ),
        (
            format!("UPDATE queue_jobs SET worker_id = '{}' {waiting}", id()),
            "queue_jobs_running_check",
        ),
        (
            format!("UPDATE queue_jobs SET state = 'completed', finished_at = now() {running}"),
            "queue_jobs_running_check",
        ),
        (
            format!("UPDATE queue_jobs SET state = 'available', errors = '[1]' {running}"),
            "queue_jobs_running_check",
        ),
        // Finished without an end, an end without being finished.
        (
            format!("UPDATE queue_jobs SET state = 'completed', worker_id = NULL {running}"),
            "queue_jobs_finished_check",
        ),
        (
            format!("UPDATE queue_jobs SET finished_at = now() {waiting}"),
            "queue_jobs_finished_check",
        ),
        // Done without an attempt.
        (
            format!("UPDATE queue_jobs SET state = 'completed', finished_at = now() {waiting}"),
            "queue_jobs_attempted_check",
        ),
        (
            format!("UPDATE queue_jobs SET state = 'dead', finished_at = now() {waiting}"),
            "queue_jobs_attempted_check",
        ),
        // More attempts than allowed, waiting without one left.
        (
            format!("UPDATE queue_jobs SET attempt = 99 {running}"),
            "queue_jobs_attempts_check",
        ),
        (
            format!(
                "UPDATE queue_jobs SET state = 'scheduled', worker_id = NULL, max_attempts = 1, errors = '[1]' {running}"
            ),
            "queue_jobs_waiting_check",
        ),
        (
            format!("UPDATE queue_jobs SET attempt = 1, errors = '[1]' {waiting}"),
            "queue_jobs_started_check",
        ),
        (
            format!("UPDATE queue_jobs SET started_at = now() {waiting}"),
            "queue_jobs_started_check",
        ),
        // An attempt that ended without a word, a word about an attempt that never was.
        (
            format!("UPDATE queue_jobs SET state = 'scheduled', worker_id = NULL {running}"),
            "queue_jobs_explained_check",
        ),
        (
            format!("UPDATE queue_jobs SET state = 'dead', finished_at = now(), worker_id = NULL {running}"),
            "queue_jobs_explained_check",
        ),
        (
            format!("UPDATE queue_jobs SET errors = '[1]' {running}"),
            "queue_jobs_explained_check",
        ),
        // What nobody could compute with, or read.
        (
            format!("UPDATE queue_jobs SET turn = 9223372036854775807 {waiting}"),
            "queue_jobs_turn_limit_check",
        ),
        (
            format!("UPDATE queue_jobs SET turn = -1 {waiting}"),
            "queue_jobs_turn_check",
        ),
        (
            format!("UPDATE queue_jobs SET run_at = 'infinity' {waiting}"),
            "queue_jobs_run_at_check",
        ),
        (
            format!("UPDATE queue_jobs SET payload = to_jsonb(repeat('x', 2000000)) {waiting}"),
            "queue_jobs_payload_check",
        ),
        // In line without a place.
        (
            format!("UPDATE queue_jobs SET turn = NULL {waiting}"),
            "queue_jobs_available_check",
        ),
        // Asked to stop without having begun.
        (
            format!("UPDATE queue_jobs SET cancel_requested_at = now() {waiting}"),
            "queue_jobs_cancel_check",
        ),
        (
            format!("UPDATE queue_jobs SET unique_key = 'k' {waiting}"),
            "queue_jobs_unique_check",
        ),
        (
            format!("UPDATE queue_jobs SET state = 'odd' {waiting}"),
            "queue_jobs_state_check",
        ),
        (
            format!("UPDATE queue_jobs SET priority = 4 {waiting}"),
            "queue_jobs_priority_check",
        ),
        (
            format!("UPDATE queue_jobs SET errors = '1' {waiting}"),
            "queue_jobs_errors_check",
        ),
        (
            format!("UPDATE queue_jobs SET batch_id = '{}' {waiting}", id()),
            "queue_jobs_domain_id_batch_id_fkey",
        ),
        // Batches that finish before they are sealed, or with counts that do not add up.
        (
            "UPDATE queue_job_batches SET finished_at = now()".to_owned(),
            "queue_job_batches_check1",
        ),
        (
            "UPDATE queue_job_batches SET sealed_at = now(), finished_at = now(), total = 1".to_owned(),
            "queue_job_batches_check1",
        ),
        (
            "UPDATE queue_job_batches SET succeeded = 1".to_owned(),
            "queue_job_batches_check",
        ),
        (
            "UPDATE queue_job_batches SET failed = -1".to_owned(),
            "queue_job_batches_failed_check",
        ),
        (
            "UPDATE queue_job_batches SET completion_kind = 'k'".to_owned(),
            "queue_job_batches_check2",
        ),
        // The installation's own.
        (
            format!("UPDATE queue_workers SET domain_id = '{ACME}'"),
            "queue_workers_domain_id_check",
        ),
        (
            "UPDATE queue_workers SET lease_until = heartbeat_at".to_owned(),
            "queue_workers_check",
        ),
        (
            format!("INSERT INTO queue_queues (domain_id, name) VALUES ('{ACME}', 'q')"),
            "queue_queues_domain_id_check",
        ),
    ];
    for (sql, constraint) in wrong {
        let error = client.execute(&sql, &[]).await.expect_err(&sql);
        let refused = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}"));
        assert_eq!(refused.constraint(), Some(constraint), "{sql}: {refused}");
    }
    let twice = [add(&mut client, job(&Any {})).await];
    let again = client
        .execute(
            "INSERT INTO queue_jobs SELECT * FROM queue_jobs WHERE id = $1",
            &[&twice[0]],
        )
        .await
        .unwrap_err();
    assert_eq!(again.as_db_error().unwrap().constraint(), Some("queue_jobs_pkey"));
}
