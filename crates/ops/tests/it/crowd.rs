//! Many at once, some of them killed.

use std::process::Child;
use std::time::{Duration, Instant};

use test_support::TestDatabase;

use crate::support::{MIGRATION_LOCK, Ops, Ran, kill_9, wait_until};

#[tokio::test]
async fn fifty_processes_migrate_one_empty_database_at_once_and_some_are_killed() {
    let database = TestDatabase::empty().await;
    // So many at once on a small machine: whether each connects within seconds is not what this is about.
    let ops = Ops::on(&database).with("PLINTH_DATABASE_CONNECT_TIMEOUT", "60s");
    let mut children: Vec<Child> = (0..50).map(|_| ops.spawn(&["migrate", "run"])).collect();
    // A spread of moments: waiting to connect, waiting for the lock, holding it.
    for moment in 0..10_u64 {
        std::thread::sleep(Duration::from_millis(3 + moment * 2));
        kill_9(children.remove(usize::try_from(moment).unwrap() * 3));
    }
    let survivors: Vec<Ran> = children
        .into_iter()
        .map(|child| Ran::from(child.wait_with_output().unwrap()))
        .collect();
    assert_eq!(survivors.len(), 40);
    for ran in &survivors {
        assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    }
    each_version_once(&database, &ops, &survivors).await;
}

/// Where the crowd's killed ones fall is chance; here one is killed while a migration of its is half done.
#[tokio::test]
async fn one_killed_in_the_middle_of_a_migration_leaves_nothing_to_repair() {
    let database = TestDatabase::empty().await;
    let ops = Ops::on(&database);
    // Another session makes a table of a later migration and does not say yet whether it means it.
    let blocker = database.superuser().await;
    blocker
        .batch_execute("BEGIN; CREATE TABLE boards ()")
        .await
        .unwrap();
    let victim = ops.spawn(&["migrate", "run"]);
    let watcher = database.superuser().await;
    wait_until(
        &watcher,
        "SELECT count(*) > 0 FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'plinth-ops' AND wait_event_type = 'Lock'",
    )
    .await;
    kill_9(victim);
    blocker.batch_execute("ROLLBACK").await.unwrap();

    let ran = ops.expect(0, &["migrate", "run"]);
    each_version_once(&database, &ops, &[ran]).await;
}

#[tokio::test]
async fn whoever_holds_the_lock_is_named_within_the_time_that_was_given() {
    let database = TestDatabase::empty().await;
    let ops = Ops::on(&database);
    let holder = database.superuser().await;
    let pid: i32 = holder
        .query_one(
            "SELECT pg_backend_pid() FROM pg_advisory_lock($1)",
            &[&MIGRATION_LOCK],
        )
        .await
        .unwrap()
        .get(0);
    let started = Instant::now();
    let ran = ops.expect(5, &["migrate", "run", "--wait", "1"]);
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert!(
        ran.stderr.contains(&format!("pid {pid}, role plinth")),
        "{}",
        ran.stderr
    );
    ops.expect(2, &["migrate", "show"]);

    holder
        .execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK])
        .await
        .unwrap();
    ops.expect(0, &["migrate", "run"]);
}

async fn each_version_once(database: &TestDatabase, ops: &Ops, ran: &[Ran]) {
    let client = database.superuser().await;
    let (history, ledger, versions): (i64, i64, i64) = {
        let row = client
            .query_one(
                "SELECT (SELECT count(*) FROM __diesel_schema_migrations), count(*), count(DISTINCT version)
                   FROM plinth_migrations",
                &[],
            )
            .await
            .unwrap();
        (row.get(0), row.get(1), row.get(2))
    };
    let show = ops.expect(0, &["migrate", "show", "--json"]).json();
    let known = show.get("migrations").unwrap().as_array().unwrap().len();
    assert!(known > 1);
    assert_eq!([history, ledger, versions], [i64::try_from(known).unwrap(); 3]);

    let mut applied: Vec<&str> = ran
        .iter()
        .flat_map(|ran| ran.stdout.lines())
        .filter_map(|line| line.strip_prefix("applied "))
        .collect();
    let lines = applied.len();
    applied.sort_unstable();
    applied.dedup_by_key(|line| line.split(' ').next());
    assert_eq!(applied.len(), lines, "a version was applied twice: {applied:?}");
}
