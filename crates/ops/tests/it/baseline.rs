//! Databases that another tool has migrated: taken over when they are what our migrations make, refused with a reason else.

use db_migrate::MIGRATIONS;
use test_support::TestDatabase;
use tokio_postgres::Client;

use crate::support::Ops;

/// A database as another tool leaves it: our migrations' SQL has run, up to the `count`th, and nobody of ours knows.
async fn migrated(count: usize) -> (TestDatabase, Ops, Client) {
    let database = TestDatabase::empty().await;
    let client = database.superuser().await;
    for migration in MIGRATIONS.iter().take(count) {
        client.batch_execute(&migration.up).await.unwrap();
    }
    let ops = Ops::on(&database);
    (database, ops, client)
}

const DIESEL: &str = "CREATE TABLE __diesel_schema_migrations (
    version varchar(50) PRIMARY KEY NOT NULL, run_on timestamp NOT NULL DEFAULT current_timestamp)";
const GOLANG: &str =
    "CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)";
const DRIZZLE: &str = "CREATE SCHEMA drizzle;
    CREATE TABLE drizzle.__drizzle_migrations (id serial PRIMARY KEY, hash text NOT NULL, created_at bigint)";

fn version(index: usize) -> &'static str {
    &MIGRATIONS.get(index).unwrap().version
}

async fn count(client: &Client, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    client.query_one(&sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn from_the_diesel_command_line() {
    let (_database, ops, client) = migrated(MIGRATIONS.len()).await;
    client.batch_execute(DIESEL).await.unwrap();
    for migration in MIGRATIONS {
        let sql =
            "INSERT INTO __diesel_schema_migrations (version, run_on) VALUES ($1, '2026-01-02 03:04:05')";
        client.execute(sql, &[&migration.version]).await.unwrap();
    }
    // It would work as it is; what is missing are the checksums.
    ops.expect(0, &["migrate", "show"]);
    let done = ops.expect(0, &["migrate", "baseline", "--json"]).json();
    assert_eq!(done["from"], "diesel");
    assert_eq!(done["compared"], true);
    assert_eq!(done["migrations"].as_array().unwrap().len(), MIGRATIONS.len());
    let shown = ops.expect(0, &["migrate", "show", "--json"]).json();
    let first = &shown["migrations"][0];
    assert_eq!(first["baselined_from"], "diesel");
    assert_eq!(first["checksum"].as_str().unwrap(), MIGRATIONS[0].checksum());
    assert_eq!(first["applied_at"], "2026-01-02T03:04:05Z");
    assert!(first["duration_ms"].is_null());
    assert!(
        ops.expect(0, &["migrate", "show"])
            .stdout
            .contains("plinth, from diesel")
    );
    // Nothing is left to take over, and what was taken over can be reverted like any other.
    let again = ops.expect(1, &["migrate", "baseline"]);
    assert!(again.stderr.contains("nothing to take over"), "{}", again.stderr);
    ops.expect(0, &["migrate", "redo"]);
}

#[tokio::test]
async fn from_golang_migrate_by_the_same_version() {
    let (_database, ops, client) = migrated(2).await;
    client
        .batch_execute(&format!(
            "{GOLANG}; INSERT INTO schema_migrations VALUES ({}, false)",
            version(1)
        ))
        .await
        .unwrap();
    let ran = ops.expect(0, &["migrate", "baseline"]);
    assert!(
        ran.stdout.contains("2 migrations taken over from golang-migrate"),
        "{}",
        ran.stdout
    );
    assert_eq!(count(&client, "schema_migrations").await, 1);
    ops.expect(2, &["migrate", "show"]);
    ops.expect(0, &["migrate", "run"]);
    ops.expect(0, &["migrate", "show"]);
}

#[tokio::test]
async fn golang_migrate_dirty_or_with_other_versions() {
    let (_database, ops, client) = migrated(2).await;
    client
        .batch_execute(&format!(
            "{GOLANG}; INSERT INTO schema_migrations VALUES (7, true)"
        ))
        .await
        .unwrap();
    let ran = ops.expect(1, &["migrate", "baseline", "--trust", "--up-to", version(1)]);
    assert!(ran.stderr.contains("version 7 is dirty"), "{}", ran.stderr);
    client
        .batch_execute("UPDATE schema_migrations SET dirty = false")
        .await
        .unwrap();
    let ran = ops.expect(1, &["migrate", "baseline"]);
    assert!(ran.stderr.contains("version 7 is none of ours"), "{}", ran.stderr);
    let ran = ops.expect(1, &["migrate", "baseline", "--up-to", "7"]);
    assert!(
        ran.stderr.contains("there is no migration of that version"),
        "{}",
        ran.stderr
    );
    let ran = ops.expect(1, &["migrate", "baseline", "--from", "drizzle"]);
    assert!(
        ran.stderr
            .contains("no history of drizzle to take over, but one of golang-migrate"),
        "{}",
        ran.stderr
    );
    ops.expect(
        0,
        &[
            "migrate",
            "baseline",
            "--from",
            "golang-migrate",
            "--up-to",
            "2026-11-20-000002",
        ],
    );
    ops.expect(0, &["migrate", "run"]);
}

#[tokio::test]
async fn from_drizzle_only_when_told_how_far() {
    let (_database, ops, client) = migrated(MIGRATIONS.len()).await;
    client
        .batch_execute(&format!("{DRIZZLE}; INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('a', 1734221536864)"))
        .await
        .unwrap();
    let ran = ops.expect(1, &["migrate", "baseline"]);
    assert!(
        ran.stderr
            .contains("drizzle has applied 1 migrations, the last one generated at 2024-12-15-001216 UTC"),
        "{}",
        ran.stderr
    );
    let done = ops
        .expect(
            0,
            &[
                "migrate",
                "baseline",
                "--json",
                "--up-to",
                version(MIGRATIONS.len() - 1),
            ],
        )
        .json();
    assert_eq!(done["from"], "drizzle");
    assert_eq!(count(&client, "drizzle.__drizzle_migrations").await, 1);
    ops.expect(0, &["migrate", "show"]);
}

#[tokio::test]
async fn a_schema_that_is_another_is_refused_and_nothing_is_written() {
    let (database, ops, client) = migrated(MIGRATIONS.len()).await;
    client
        .batch_execute(&format!(
            "{GOLANG}; INSERT INTO schema_migrations VALUES ({}, false);
             ALTER TABLE cards DROP COLUMN description; DROP POLICY tenant ON boards; CREATE TABLE more (id int)",
            version(MIGRATIONS.len() - 1)
        ))
        .await
        .unwrap();
    // A login of its own, so that its scratch databases can be told from those of other tests.
    let login = format!("takes_over_{}", database.name());
    client
        .batch_execute(&format!("CREATE ROLE {login} LOGIN SUPERUSER"))
        .await
        .unwrap();
    let ran = Ops::new()
        .with("DATABASE_URL", &database.url(&login))
        .expect(1, &["migrate", "baseline"]);
    for named in ["cards", "description", "boards", "more", "--trust"] {
        assert!(ran.stderr.contains(named), "{named}: {}", ran.stderr);
    }
    let tables = "SELECT to_regclass('plinth_migrations') IS NULL AND to_regclass('__diesel_schema_migrations') IS NULL";
    assert!(client.query_one(tables, &[]).await.unwrap().get::<_, bool>(0));
    let scratch = format!("SELECT count(*) FROM pg_database WHERE datdba = '{login}'::regrole");
    assert_eq!(client.query_one(&scratch, &[]).await.unwrap().get::<_, i64>(0), 0);
    client.batch_execute(&format!("DROP ROLE {login}")).await.unwrap();
    // Half of what it says is not enough either.
    let ran = ops.expect(1, &["migrate", "baseline", "--up-to", version(0)]);
    assert!(ran.stderr.contains("--up-to says"), "{}", ran.stderr);

    let ran = ops.expect(0, &["migrate", "baseline", "--trust"]);
    assert!(ran.stdout.contains("not compared"), "{}", ran.stdout);
    ops.expect(0, &["migrate", "show"]);
}
