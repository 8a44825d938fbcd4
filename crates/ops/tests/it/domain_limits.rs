//! What an archive may not do to others, and what a restore or an erasure may not say.

use test_support::{ACME, GLOBEX};

use crate::domain_fixture::Two;

async fn last_value(two: &Two) -> i64 {
    two.world
        .client()
        .query_one("SELECT last_value FROM queue_job_batch_deltas_id_seq", &[])
        .await
        .unwrap()
        .get(0)
}

async fn number(two: &Two, id: i64) {
    two.world
        .client()
        .execute(
            "INSERT INTO queue_job_batch_deltas (domain_id, batch_id, id, total) OVERRIDING SYSTEM VALUE
             SELECT domain_id, id, $2, 1 FROM queue_job_batches WHERE domain_id = $1 LIMIT 1",
            &[&two.acme, &id],
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn an_archive_does_not_use_up_the_numbers_of_all_domains() {
    let two = Two::new().await;
    number(&two, i64::MAX).await;
    let archive = two.export(ACME, "made-up.tar");
    two.world
        .client()
        .execute("DELETE FROM queue_job_batch_deltas WHERE id = $1", &[&i64::MAX])
        .await
        .unwrap();
    let (rows, others, last) = (
        two.rows(two.acme).await,
        two.others(two.acme).await,
        last_value(&two).await,
    );
    for arguments in [
        &["domain", "copy", "--from-archive", &archive, "--as", "twin"][..],
        &["domain", "restore", &archive, "--replace", "--yes"],
    ] {
        let ran = two.ops.expect(9, arguments);
        assert!(
            ran.stderr.contains("queue_job_batch_deltas") && ran.stderr.contains("9223372036854775807"),
            "{}",
            ran.stderr
        );
        assert_eq!(last_value(&two).await, last, "{arguments:?}");
    }
    assert_eq!(
        (two.rows(two.acme).await, two.others(two.acme).await),
        (rows, others)
    );
    // The other domain counts on.
    two.world
        .client()
        .execute(
            "INSERT INTO queue_job_batch_deltas (domain_id, batch_id, total)
             SELECT domain_id, id, 1 FROM queue_job_batches WHERE domain_id = $1 LIMIT 1",
            &[&two.globex],
        )
        .await
        .unwrap();

    // What somebody may have counted to is taken over, by a restore, which has the rows; a copy has them not.
    number(&two, 123_456).await;
    let archive = two.export(ACME, "counted.tar");
    two.ops
        .expect(0, &["domain", "copy", "--from-archive", &archive, "--as", "twin"]);
    assert!(last_value(&two).await < 123_456);
    two.ops
        .expect(0, &["domain", "restore", &archive, "--replace", "--yes"]);
    assert_eq!(last_value(&two).await, 123_456);
}

#[tokio::test]
async fn an_archive_brings_no_jobs_of_the_installation() {
    let two = Two::new().await;
    let client = two.world.client();
    let (rows, others) = (two.rows(two.acme).await, two.others(two.acme).await);
    for (put, take) in [
        (
            "INSERT INTO queue_jobs (domain_id, id, queue, kind, state, max_attempts, run_at, payload)
             VALUES ('{}', gen_random_uuid(), 'operations', 'mail', 'scheduled', 3, now() + interval '1 year', '{}')",
            "DELETE FROM queue_jobs WHERE queue = 'operations'",
        ),
        (
            "INSERT INTO queue_jobs (domain_id, id, queue, kind, state, max_attempts, run_at, payload)
             VALUES ('{}', gen_random_uuid(), 'default', 'prune_backups', 'scheduled', 3, now() + interval '1 year', '{}')",
            "DELETE FROM queue_jobs WHERE kind = 'prune_backups'",
        ),
        (
            "INSERT INTO queue_schedules (domain_id, name, queue, kind, max_attempts, payload, cron, time_zone, missed, paused_at)
             VALUES ('{}', 'hourly', 'operations', 'make_backup', 3, '{}', '0 * * * *', 'UTC', 'skip', now())",
            "DELETE FROM queue_schedules WHERE queue = 'operations'",
        ),
    ] {
        client
            .batch_execute(&put.replacen("{}", &two.acme.to_string(), 1))
            .await
            .unwrap();
        let archive = two.export(ACME, "jobs.tar");
        client.batch_execute(take).await.unwrap();
        for arguments in [
            &["domain", "restore", &archive, "--replace", "--yes"][..],
            &["domain", "copy", "--from-archive", &archive, "--as", "twin"],
        ] {
            let ran = two.ops.expect(9, arguments);
            assert!(ran.stderr.contains("queue operations"), "{}", ran.stderr);
        }
        std::fs::remove_file(archive).unwrap();
    }
    assert_eq!(
        (two.rows(two.acme).await, two.others(two.acme).await),
        (rows, others)
    );
}

#[tokio::test]
async fn a_suspended_domain_stays_suspended_when_it_is_replaced() {
    let two = Two::new().await;
    let client = two.world.client();
    let archive = two.export(ACME, "acme.tar");
    let status = async || -> String {
        client
            .query_one("SELECT status FROM domains WHERE id = $1", &[&two.acme])
            .await
            .unwrap()
            .get(0)
    };
    client
        .execute(
            "UPDATE domains SET status = 'suspended' WHERE id = $1",
            &[&two.acme],
        )
        .await
        .unwrap();
    let ran = two
        .ops
        .expect(0, &["domain", "restore", &archive, "--replace", "--yes"]);
    assert!(
        ran.stdout
            .contains("its status stays what it was here: suspended"),
        "{}",
        ran.stdout
    );
    assert_eq!(status().await, "suspended");
    // The other way round: one that was suspended then, and is not any more.
    let suspended = two.export(ACME, "suspended.tar");
    client
        .execute("UPDATE domains SET status = 'active' WHERE id = $1", &[&two.acme])
        .await
        .unwrap();
    let restored = two
        .ops
        .expect(
            0,
            &["domain", "restore", &suspended, "--replace", "--yes", "--json"],
        )
        .json();
    assert_eq!(restored["restored"]["kept_status"], "active");
    assert_eq!(status().await, "active");
    // Where it is not there, or half erased, it is as the archive has it.
    client
        .execute(
            "UPDATE domains SET status = 'erasing' WHERE id = $1",
            &[&two.acme],
        )
        .await
        .unwrap();
    let restored = two
        .ops
        .expect(
            0,
            &["domain", "restore", &suspended, "--replace", "--yes", "--json"],
        )
        .json();
    assert_eq!(restored["restored"]["kept_status"], serde_json::Value::Null);
    assert_eq!(status().await, "suspended");
}

#[tokio::test]
async fn nobody_is_told_that_what_never_was_is_erased() {
    let two = Two::new().await;
    let stranger = uuid::Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001).to_string();
    let ran = two.ops.expect(10, &["domain", "erase", &stranger, "--yes"]);
    assert!(
        ran.stderr.contains("nothing says that there ever was") && ran.stdout.is_empty(),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    // What is found of it goes all the same, and it is not said that it was erased before.
    two.world
        .client()
        .execute(
            "INSERT INTO activity_stream (domain_id, id, action) VALUES ($1::text::uuid, gen_random_uuid(), 'session.create')",
            &[&stranger],
        )
        .await
        .unwrap();
    let ran = two.ops.expect(0, &["domain", "erase", &stranger, "--yes"]);
    assert!(
        ran.stdout.contains("nothing says that there was a domain") && ran.stdout.contains("1 rows of it"),
        "{}",
        ran.stdout
    );
    // Of one that was erased, the time is told.
    two.ops.expect(0, &["domain", "erase", GLOBEX, "--yes"]);
    let ran = two
        .ops
        .expect(0, &["domain", "erase", &two.globex.to_string(), "--yes"]);
    assert!(ran.stdout.contains("was erased before, at 2"), "{}", ran.stdout);
}
