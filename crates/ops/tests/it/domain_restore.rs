//! `plinth-ops domain restore`: a domain comes back as it was, and no other one notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use test_support::{ACME, GLOBEX};

use crate::backup::cards;
use crate::domain_fixture::Two;
use crate::setup::signs_in;

#[tokio::test]
async fn exported_erased_and_restored_it_is_as_it_was() {
    let two = Two::new().await;
    let (rows, others) = (two.rows(two.acme).await, two.others(two.acme).await);
    let key = two
        .world
        .api_key(ACME, two.world.first_user(ACME).await, None)
        .await;
    assert!(!key.is_empty());
    let with_key = two.rows(two.acme).await;
    assert_ne!(rows, with_key);
    let exported = two
        .ops
        .expect(0, &["domain", "export", ACME, "--to", "acme.tar", "--json"])
        .json();
    let exported = &exported["exported"];
    assert_eq!(exported["domain"]["id"], two.acme.to_string());
    assert_eq!(two.rows(two.acme).await, with_key, "an export changes nothing");
    let archive = two.ops.directory.path().join("acme.tar");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(
        std::fs::metadata(&archive).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // Nobody's file is written over.
    two.ops.expect(3, &["domain", "export", ACME, "--to", "acme.tar"]);

    let erased = two
        .ops
        .expect(0, &["domain", "erase", ACME, "--yes", "--json"])
        .json();
    assert_eq!(erased["erased"]["proof"]["left"], serde_json::json!([]));
    assert_eq!(two.others(two.acme).await, others);

    let archive = archive.to_str().unwrap();
    let restored = two
        .ops
        .expect(0, &["domain", "restore", archive, "--json"])
        .json();
    assert_eq!(restored["restored"]["rows"], exported["rows"]);
    assert_eq!(restored["restored"]["replaced_rows"], serde_json::Value::Null);
    assert_eq!(two.rows(two.acme).await, with_key);
    assert_eq!(two.others(two.acme).await, others);
    let sessions: i64 = two
        .world
        .client()
        .query_one("SELECT count(*) FROM sessions WHERE domain_id = $1", &[&two.acme])
        .await
        .unwrap()
        .get(0);
    assert_eq!(sessions, 0, "sessions end");
    assert!(
        signs_in(
            &two.database,
            ACME,
            "operator@plinth.test",
            test_support::PASSWORD
        )
        .await
    );
    // A sequence that numbers rows goes on.
    two.world
        .client()
        .execute(
            "INSERT INTO queue_job_batch_deltas (domain_id, batch_id, total) SELECT domain_id, id, 1 FROM queue_job_batches",
            &[],
        )
        .await
        .unwrap();
    let noted: i64 = two
        .world
        .client()
        .query_one(
            "SELECT count(*) FROM activity_stream WHERE domain_id = platform_domain_id() AND target_id = $1 AND after ? 'by'
                AND (action, coalesce(after ->> 'state', '')) IN (('domain.erase', 'begun'), ('domain.erase', 'erased'), ('domain.restore', ''))",
            &[&two.acme],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(noted, 3, "who did it stands in the platform's stream");
}

#[tokio::test]
async fn what_is_there_is_replaced_only_when_told_and_as_a_whole() {
    let two = Two::new().await;
    let before = two.rows(two.acme).await;
    let archive = two.export(ACME, "acme.tar");
    let client = two.world.client();
    // A slug that moved: nothing is overwritten, and the domain goes by its id.
    cards(&two.world, ACME, 7).await;
    client
        .batch_execute(&format!(
            "DELETE FROM card_tags WHERE domain_id = '{0}'; UPDATE domains SET slug = 'acme2', name = 'Renamed' WHERE id = '{0}'",
            two.acme
        ))
        .await
        .unwrap();
    let (changed, others) = (two.rows(two.acme).await, two.others(two.acme).await);
    two.ops.expect(3, &["domain", "restore", &archive]);
    let ran = two.ops.expect(64, &["domain", "restore", &archive, "--replace"]);
    assert!(ran.stderr.contains("--yes"), "{}", ran.stderr);
    assert_eq!(two.rows(two.acme).await, changed);
    // While somebody reads it, one or the other is seen.
    let seen = Arc::new(AtomicBool::new(true));
    let reader = {
        let (seen, address, acme) = (Arc::clone(&seen), two.database.url("plinth"), two.acme);
        tokio::spawn(async move {
            let (client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls)
                .await
                .unwrap();
            tokio::spawn(connection);
            let mut counts = std::collections::BTreeSet::new();
            while seen.load(Ordering::Relaxed) {
                let count: i64 = client
                    .query_one("SELECT count(*) FROM cards WHERE domain_id = $1", &[&acme])
                    .await
                    .unwrap()
                    .get(0);
                counts.insert(count);
            }
            counts
        })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut command = two
        .ops
        .command(&["domain", "restore", &archive, "--replace", "--yes"]);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    seen.store(false, Ordering::Relaxed);
    let counts = reader.await.unwrap();
    assert!(
        counts.contains(&29) && counts.iter().all(|count| [22, 29].contains(count)),
        "{counts:?}"
    );
    assert_eq!(two.rows(two.acme).await, before);
    assert_eq!(two.others(two.acme).await, others);

    // Its slug now leads to somebody else.
    client
        .batch_execute(&format!(
            "UPDATE domains SET slug = 'gone' WHERE id = '{}'; UPDATE domains SET slug = 'acme' WHERE id = '{}'",
            two.acme, two.globex
        ))
        .await
        .unwrap();
    let ran = two
        .ops
        .expect(3, &["domain", "restore", &archive, "--replace", "--yes"]);
    assert!(ran.stderr.contains(&two.globex.to_string()), "{}", ran.stderr);
    // And its host name.
    client
        .batch_execute(&format!(
            "UPDATE domains SET slug = 'globex' WHERE id = '{}'; DELETE FROM domain_hosts WHERE host = 'acme.example.test';
             INSERT INTO domain_hosts (domain_id, host) VALUES ('{0}', 'acme.example.test')",
            two.globex
        ))
        .await
        .unwrap();
    let before = two.rows(two.acme).await;
    let ran = two
        .ops
        .expect(3, &["domain", "restore", &archive, "--replace", "--yes"]);
    assert!(ran.stderr.contains("domain_hosts_host_key"), "{}", ran.stderr);
    assert_eq!(two.rows(two.acme).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_and_those_inside_go_on_writing_meanwhile() {
    let two = Two::new().await;
    cards(&two.world, ACME, 3000).await;
    let before = two.rows(two.acme).await;
    let archive = two.export(ACME, "acme.tar");
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for slug in [GLOBEX, GLOBEX, ACME] {
        let (board, column) = two.world.column(slug).await;
        let domain = two.world.domain(slug).await;
        let (stop, address) = (Arc::clone(&stop), two.database.url("plinth"));
        writers.push(tokio::spawn(async move {
            let (client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls)
                .await
                .unwrap();
            tokio::spawn(connection);
            let (mut done, mut failed) = (0_i64, 0);
            while !stop.load(Ordering::Relaxed) {
                let rank = done + failed;
                let insert = format!(
                    "INSERT INTO cards (domain_id, id, project_id, board_id, column_id, number, rank, title)
                     SELECT '{domain}', gen_random_uuid(), project_id, id, '{column}', {rank} + 1, 'b' || {rank} || 'x', 'Loaded'
                       FROM boards WHERE id = '{board}'"
                );
                match client.execute(&insert, &[]).await {
                    Ok(rows) => done += i64::try_from(rows).unwrap(),
                    Err(_) => failed += 1,
                }
                // Whoever is in the domain that goes finds no board any more.
                if done + failed == rank {
                    failed += 1;
                }
            }
            (column, done, failed)
        }));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut command = two
        .ops
        .command(&["domain", "restore", &archive, "--replace", "--yes"]);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    stop.store(true, Ordering::Relaxed);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    for (number, writer) in writers.into_iter().enumerate() {
        let (column, done, failed) = writer.await.unwrap();
        if number < 2 {
            assert_eq!(failed, 0, "nobody else was in the way");
            let there: i64 = two
                .world
                .client()
                .query_one("SELECT count(*) FROM cards WHERE column_id = $1", &[&column])
                .await
                .unwrap()
                .get(0);
            assert!(there == done && done > 0, "{there} of {done}");
        }
    }
    assert_eq!(two.rows(two.acme).await, before);
}
