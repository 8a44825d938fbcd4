//! Exit codes that no other test is about, and that they are documented.

use std::time::{Duration, Instant};

use test_support::TestDatabase;

use crate::support::{MIGRATION_LOCK, Ops, Ran, wait_until};

/// Nobody listens on port 1.
const DEAD: &str = "postgresql://plinth@127.0.0.1:1/plinth";

#[test]
fn an_invalid_command_line_is_64() {
    let ops = Ops::new();
    for arguments in [
        &["bogus"][..],
        &[],
        &["migrate", "revert", "0"],
        &["migrate", "revert", "2", "--all"],
    ] {
        let ran = ops.expect(64, arguments);
        assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    }
}

#[test]
fn an_invalid_configuration_is_78() {
    let ops = Ops::new().with("PLINTH_DATABASE_POOL_SIZ", "3");
    for arguments in [
        &["config", "show"][..],
        &["migrate", "show"],
        &["setup"],
        &["domain", "list"],
    ] {
        let ran = ops.expect(78, arguments);
        assert!(ran.stderr.contains("PLINTH_DATABASE_POOL_SIZE"), "{}", ran.stderr);
    }
}

#[test]
fn two_spellings_that_contradict_each_other_are_78_and_both_named() {
    let ran = Ops::new()
        .with("DBHOST", "one.example.com")
        .with("POSTGRES_HOST", "other.example.com")
        .with("DBUSERNAME", "kaimu")
        .expect(78, &["migrate", "show"]);
    for part in ["DBHOST", "one.example.com", "POSTGRES_HOST", "other.example.com"] {
        assert!(ran.stderr.contains(part), "{part} in {}", ran.stderr);
    }
}

#[test]
fn a_database_that_is_away_is_7() {
    let ops = Ops::new().with("DATABASE_URL", DEAD);
    for arguments in [
        &["migrate", "run"][..],
        &["migrate", "show"],
        &["migrate", "revert"],
        &["setup"],
        &["domain", "list"],
    ] {
        let ran = ops.expect(7, arguments);
        assert!(ran.stderr.contains("connection refused"), "{}", ran.stderr);
    }
    let started = Instant::now();
    ops.expect(7, &["migrate", "run", "--wait", "2"]);
    assert!(started.elapsed() > Duration::from_secs(1), "it did not wait");
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    assert!(
        !ops.directory.path().join("persistent_data").exists(),
        "setup left something behind"
    );
}

#[tokio::test]
async fn an_interrupted_migration_is_130() {
    let database = TestDatabase::empty().await;
    let ops = Ops::on(&database);
    let client = database.superuser().await;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK])
        .await
        .unwrap();
    let child = ops.spawn(&["migrate", "run"]);
    wait_until(
        &client,
        "SELECT count(*) > 0 FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'plinth-ops' AND query LIKE '%try_advisory%'",
    )
    .await;
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    assert!(ran.stderr.contains("plinth-ops: interrupted"), "{}", ran.stderr);
}

#[test]
fn every_code_of_the_help_is_in_the_documents() {
    assert_eq!(
        Ops::new().documented_exit_codes(),
        [
            "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "64", "78", "130"
        ]
    );
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Ops::new().expect(0, &["completions", shell]).stdout;
        assert!(
            script.contains("migrate") && script.contains("operator-email"),
            "{shell}"
        );
    }
}
