//! Exit codes, and that they are documented.

use std::time::{Duration, Instant};

use db_migrate::Migrator;
use test_support::{Ran, TestDatabase};

use crate::support::{seeder_at, seeder_on};

/// Nobody listens on port 1.
const DEAD: &str = "postgresql://plinth@127.0.0.1:1/plinth";

#[tokio::test]
async fn a_schema_that_is_not_migrated_is_2() {
    let database = TestDatabase::empty().await;
    for command in ["apply", "check", "diff"] {
        let ran = seeder_on(&database).expect(2, &[command]);
        assert!(ran.stderr.contains("plinth-ops migrate run"), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn another_versions_schema_is_4_or_6() {
    let database = TestDatabase::new().await;
    let (seeder, client) = (seeder_on(&database), database.superuser().await);
    client
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')")
        .await
        .unwrap();
    let ran = seeder.expect(4, &["apply"]);
    assert!(ran.stderr.contains("29991231000000"), "{}", ran.stderr);
    client
        .batch_execute(
            "DELETE FROM __diesel_schema_migrations
              WHERE version = '29991231000000' OR version = (SELECT min(version) FROM __diesel_schema_migrations)",
        )
        .await
        .unwrap();
    seeder.expect(6, &["apply"]);
}

#[test]
fn a_database_that_is_away_is_7() {
    let seeder = seeder_at(DEAD);
    let started = Instant::now();
    let ran = seeder.expect(7, &["apply"]);
    assert!(ran.stderr.contains("connection refused"), "{}", ran.stderr);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );

    let started = Instant::now();
    seeder.expect(7, &["apply", "--wait", "2"]);
    assert!(started.elapsed() > Duration::from_secs(1), "it did not wait");
}

#[tokio::test]
async fn a_database_that_comes_back_in_time_is_seeded() {
    let database = TestDatabase::empty().await;
    Migrator::new(database.owner().connector(), Duration::from_secs(60))
        .run()
        .await
        .unwrap();
    // The socket's directory is a link that leads nowhere yet.
    let seeder = seeder_on(&database);
    let link = seeder.directory.path().join("socket");
    let address = database.address();
    let url = format!(
        "database.url=postgresql://{}@/{}?host={}&port={}",
        address.user,
        address.database,
        link.display(),
        address.port
    );
    seeder.expect(7, &["check", "--set", &url]);
    let child = seeder.spawn(&["apply", "--wait", "30", "--set", &url]);
    tokio::time::sleep(Duration::from_millis(700)).await;
    std::os::unix::fs::symlink(&address.host, &link).unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    seeder.expect(0, &["check"]);
}

#[tokio::test]
async fn a_statement_that_fails_is_9_and_changes_nothing() {
    let database = TestDatabase::new().await;
    let (seeder, client) = (seeder_on(&database), database.superuser().await);
    client
        .batch_execute(
            "UPDATE permissions SET description = 'tampered' WHERE name = 'tag:read';
             REVOKE UPDATE ON roles FROM plinth_system",
        )
        .await
        .unwrap();
    let ran = seeder.expect(9, &["apply"]);
    assert!(
        ran.stderr.contains("permission denied for table roles"),
        "{}",
        ran.stderr
    );
    let description: String = client
        .query_one("SELECT description FROM permissions WHERE name = 'tag:read'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(description, "tampered", "half of the work was committed");
}

#[test]
fn an_invalid_command_line_is_64_and_configuration_78() {
    let seeder = seeder_at(DEAD);
    seeder.expect(64, &["bogus"]);
    seeder.expect(64, &["check", "--wait", "soon"]);
    seeder.expect(78, &["check", "--set", "database.pool_siz=3"]);
}

#[test]
fn every_code_of_the_help_is_in_the_documents() {
    assert_eq!(
        seeder_at(DEAD).documented_exit_codes(),
        ["0", "1", "2", "4", "6", "7", "9", "64", "78", "130"]
    );
}
