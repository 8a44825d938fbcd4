//! `kill -9` at random moments: what there is of a domain is all or nothing, or it is shut, and the next run succeeds.
//!
//! `PLINTH_TEST_KILLS=20` is how often each of them is killed (default 6).

use std::time::Duration;

use test_support::ACME;

use crate::backup::cards;
use crate::backup_kills::{moment, rounds};
use crate::domain_fixture::Two;
use crate::support::{Ran, kill_9};

/// The server notices within half a second that a client is gone; until then its lock stands.
fn eventually(two: &Two, arguments: &[&str]) -> Ran {
    for _ in 0..40 {
        let ran = two.ops.run(arguments);
        if ran.code == Some(0) {
            return ran;
        }
        assert_eq!(ran.code, Some(12), "{}", ran.stderr);
        std::thread::sleep(Duration::from_millis(250));
    }
    panic!("the lock of a killed run stays");
}

/// Waits for what a killed process had begun.
async fn settled(two: &Two) {
    crate::support::wait_until(
        two.world.client(),
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'plinth-ops')",
    )
    .await;
}

#[tokio::test]
async fn of_restores() {
    let two = Two::new().await;
    cards(&two.world, ACME, 2000).await;
    let after = two.rows(two.acme).await;
    let archive = two.export(ACME, "acme.tar");
    cards(&two.world, ACME, 50).await;
    let (before, others) = (two.rows(two.acme).await, two.others(two.acme).await);
    let arguments = ["domain", "restore", &archive, "--replace", "--yes"];
    let started = std::time::Instant::now();
    two.ops.expect(0, &arguments);
    let whole = started.elapsed();
    let (mut old, mut new) = (0, 0);
    for _ in 0..rounds() {
        // Something else each time, so that what is there tells which it is.
        two.world
            .client()
            .execute(
                "UPDATE cards SET title = 'Changed' WHERE domain_id = $1",
                &[&two.acme],
            )
            .await
            .unwrap();
        let changed = two.rows(two.acme).await;
        assert_ne!(changed, before);
        let child = two.ops.spawn(&arguments);
        std::thread::sleep(moment(whole));
        kill_9(child);
        settled(&two).await;
        let rows = two.rows(two.acme).await;
        assert!(rows == changed || rows == after, "half a domain");
        if rows == after {
            new += 1
        } else {
            old += 1
        }
        assert_eq!(two.others(two.acme).await, others);
    }
    assert_eq!(old + new, rounds());
    eventually(&two, &arguments);
    assert_eq!(two.rows(two.acme).await, after);

    // The same for one that is not there: it is not there, or all of it is.
    eventually(&two, &["domain", "erase", ACME, "--yes"]);
    let arguments = ["domain", "restore", &archive];
    for _ in 0..rounds() {
        let child = two.ops.spawn(&arguments);
        std::thread::sleep(moment(whole));
        kill_9(child);
        settled(&two).await;
        let rows = two.rows(two.acme).await;
        if rows == after {
            eventually(&two, &["domain", "erase", ACME, "--yes"]);
        } else {
            assert!(
                rows.ends_with("no domain") && rows.lines().rev().skip(1).all(|line| line.contains(" 0:")),
                "{rows}"
            );
        }
    }
    eventually(&two, &arguments);
    assert_eq!(two.rows(two.acme).await, after);
    assert_eq!(two.others(two.acme).await, others);
}

#[tokio::test]
async fn of_copies() {
    let two = Two::new().await;
    cards(&two.world, ACME, 2000).await;
    let (rows, others) = (two.rows(two.acme).await, two.others(two.acme).await);
    let arguments = ["domain", "copy", ACME, "--as", "twin"];
    let started = std::time::Instant::now();
    two.ops.expect(0, &arguments);
    let whole = started.elapsed();
    for _ in 0..rounds() {
        eventually(&two, &["domain", "erase", "twin", "--yes"]);
        let child = two.ops.spawn(&arguments);
        std::thread::sleep(moment(whole));
        kill_9(child);
        settled(&two).await;
        let there = two
            .world
            .client()
            .query_opt("SELECT id FROM domains WHERE slug = 'twin'", &[])
            .await
            .unwrap();
        if there.is_none() {
            assert_eq!(two.others(two.acme).await, others, "nothing of it is there");
            eventually(&two, &arguments);
        }
        let twin = two.world.domain("twin").await;
        let cards: i64 = two
            .world
            .client()
            .query_one("SELECT count(*) FROM cards WHERE domain_id = $1", &[&twin])
            .await
            .unwrap()
            .get(0);
        assert_eq!(cards, 2022, "all of it is there");
    }
    eventually(&two, &["domain", "erase", "twin", "--yes"]);
    assert_eq!(two.rows(two.acme).await, rows);
    assert_eq!(two.others(two.acme).await, others);
}

#[tokio::test]
async fn of_erasures() {
    let two = Two::new().await;
    cards(&two.world, ACME, 2000).await;
    let (rows, others) = (two.rows(two.acme).await, two.others(two.acme).await);
    let archive = two.export(ACME, "acme.tar");
    let arguments = ["domain", "erase", ACME, "--yes"];
    let started = std::time::Instant::now();
    two.ops.expect(0, &arguments);
    let whole = started.elapsed();
    for _ in 0..rounds() {
        eventually(&two, &["domain", "restore", &archive]);
        assert_eq!(two.rows(two.acme).await, rows);
        let child = two.ops.spawn(&arguments);
        std::thread::sleep(moment(whole));
        kill_9(child);
        settled(&two).await;
        assert_eq!(two.others(two.acme).await, others);
        let status: Option<String> = two
            .world
            .client()
            .query_opt("SELECT status FROM domains WHERE id = $1", &[&two.acme])
            .await
            .unwrap()
            .map(|row| row.get(0));
        match status.as_deref() {
            // Not begun: nothing is gone.
            Some("active") => assert_eq!(two.rows(two.acme).await, rows),
            Some("erasing") | None => {}
            other => panic!("{other:?}"),
        }
        let ran = eventually(&two, &arguments);
        assert!(ran.stdout.contains("no row of"), "{}", ran.stdout);
        assert_eq!(two.others(two.acme).await, others);
    }
}
