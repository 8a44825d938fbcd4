//! `schema/` says what the migrations make.

use std::path::Path;

use db_migrate::{Desired, MIGRATIONS, desired_difference};
use test_support::TestDatabase;

#[tokio::test]
async fn the_desired_schema_is_in_step_with_the_migrations() {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema"));
    let desired = Desired::read(directory).unwrap();
    let database = TestDatabase::empty().await;
    let difference = desired_difference(database.owner().connector(), &desired, MIGRATIONS)
        .await
        .unwrap();
    assert!(
        difference.is_empty(),
        "schema/ is not what migrations/ make (+ is missing in the migrations, - is missing in schema/, ~ is other): run \
         make migrate-generate, or mend schema/\n{difference}"
    );
}

#[tokio::test]
async fn what_the_server_refuses_is_named_by_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let database = TestDatabase::empty().await;
    let none = Desired::read(directory.path()).unwrap_err().to_string();
    assert!(none.contains("no *.sql"), "{none}");
    std::fs::write(directory.path().join("10_a.sql"), "CREATE TABLE a (id int);").unwrap();
    std::fs::write(
        directory.path().join("20_b.sql"),
        "-- b\n\nCREATE TABLE b (id nonsense);",
    )
    .unwrap();
    let desired = Desired::read(directory.path()).unwrap();
    let error = desired_difference(database.owner().connector(), &desired, &[])
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("20_b.sql, line 3: type \"nonsense\" does not exist"),
        "{error}"
    );
}
