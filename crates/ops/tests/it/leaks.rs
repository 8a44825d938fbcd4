//! What a migration, or somebody who changes the database beside it, may leave to the next one: nothing.

use test_support::TestDatabase;
use tokio_postgres::Client;

use crate::folders::Folder;
use crate::support::{MIGRATION_LOCK, Ops, kill_9, wait_until};

const FIRST: &str = "2026-01-01-000001_first";
const SECOND: &str = "2026-01-01-000002_second";
const THIRD: &str = "2026-01-01-000003_third";

async fn schemas_of(client: &Client, table: &str) -> Vec<String> {
    client
        .query_one(
            "SELECT ARRAY(SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = $1 ORDER BY 1)",
            &[&table],
        )
        .await
        .unwrap()
        .get(0)
}

/// A schema of the login's own name is first in the search path.
#[tokio::test]
async fn another_search_path_makes_no_second_history() {
    let database = TestDatabase::empty().await;
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    let folder = Folder::new().with(FIRST, "CREATE TABLE t ();", "DROP TABLE t;");
    // What an editor keeps beside migrations is none.
    folder.write(".idea", "workspace.xml", "");
    folder.expect(&ops, 0, &["run"]);
    client.batch_execute("CREATE SCHEMA plinth").await.unwrap();
    let folder = folder.with(SECOND, "CREATE TABLE u ();", "DROP TABLE u;");
    let ran = folder.expect(&ops, 0, &["run"]);
    assert!(ran.stdout.contains("1 migration applied"), "{}", ran.stdout);
    for table in ["t", "u", "plinth_migrations", "__diesel_schema_migrations"] {
        assert_eq!(schemas_of(&client, table).await, ["public"], "{table}");
    }
    folder.expect(&ops, 0, &["revert", "--all", "--yes"]);
    assert!(schemas_of(&client, "t").await.is_empty());
}

#[tokio::test]
async fn two_histories_are_refused_by_name() {
    let database = TestDatabase::empty().await;
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    let folder = Folder::new().with(FIRST, "CREATE TABLE t ();", "DROP TABLE t;");
    folder.expect(&ops, 0, &["run"]);
    client
        .batch_execute("CREATE SCHEMA other; CREATE TABLE other.plinth_migrations ()")
        .await
        .unwrap();
    let ran = folder.expect(&ops, 1, &["run"]);
    assert!(ran.stderr.contains("other, public"), "{}", ran.stderr);
}

#[tokio::test]
async fn settings_and_roles_end_with_their_migration() {
    let database = TestDatabase::empty().await;
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    let first =
        "CREATE SCHEMA app; SET search_path = app; SET statement_timeout = '7s';
                 SET standard_conforming_strings = off; SET session_replication_role = replica; SET ROLE pg_read_all_data;";
    let second =
        "CREATE TABLE u (owner text DEFAULT current_user, path text DEFAULT current_setting('search_path'),
                      strings text DEFAULT current_setting('standard_conforming_strings'),
                      replica text DEFAULT current_setting('session_replication_role'),
                      timeout text DEFAULT current_setting('statement_timeout'));
                  INSERT INTO u DEFAULT VALUES;";
    let folder = Folder::new()
        .with(FIRST, first, "DROP SCHEMA app;")
        .with(SECOND, second, "DROP TABLE u;");
    folder.expect(&ops, 0, &["run"]);
    assert_eq!(schemas_of(&client, "u").await, ["public"]);
    assert_eq!(schemas_of(&client, "plinth_migrations").await, ["public"]);
    let row = client
        .query_one(
            "SELECT owner = session_user, path, strings, replica, timeout FROM u",
            &[],
        )
        .await
        .unwrap();
    assert!(row.get::<_, bool>(0));
    assert!(
        !row.get::<_, &str>(1).contains("app"),
        "{}",
        row.get::<_, &str>(1)
    );
    assert_eq!((row.get(2), row.get(3), row.get(4)), ("on", "origin", "0"));
}

/// `diesel migration revert` takes its own row away, and knows nothing of the ledger.
#[tokio::test]
async fn what_the_diesel_command_line_reverted_is_applied_again() {
    let database = TestDatabase::empty().await;
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    let folder = Folder::new().with(FIRST, "CREATE TABLE t ();", "DROP TABLE t;");
    folder.expect(&ops, 0, &["run"]);
    client
        .batch_execute("DROP TABLE t; DELETE FROM __diesel_schema_migrations")
        .await
        .unwrap();
    folder.expect(&ops, 0, &["run"]);
    folder.expect(&ops, 0, &["show"]);
    assert_eq!(schemas_of(&client, "t").await, ["public"]);
}

#[tokio::test]
async fn a_failed_run_does_not_take_drift_for_the_measure() {
    let database = TestDatabase::empty().await;
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    let folder = Folder::new().with(FIRST, "CREATE TABLE t ();", "DROP TABLE t;");
    folder.expect(&ops, 0, &["run"]);
    client
        .batch_execute("ALTER TABLE t ADD by_hand int")
        .await
        .unwrap();
    let folder = folder.with(SECOND, "CREATE TABLE u ();", "DROP TABLE u;").with(
        THIRD,
        "CREATE TABLE v ();\n\nSELECT nonsense;",
        "DROP TABLE v;",
    );
    let ran = folder.expect(&ops, 1, &["run"]);
    assert!(
        ran.stdout.contains("applied 20260101000002_second"),
        "{}",
        ran.stdout
    );
    assert!(ran.stderr.contains("statement 2 of 2 (line 3)"), "{}", ran.stderr);
    folder.expect(&ops, 3, &["drift", "--fingerprint"]);
    folder.write(THIRD, "up.sql", "CREATE TABLE v ();");
    folder.expect(&ops, 0, &["run"]);
    folder.expect(&ops, 3, &["drift", "--fingerprint"]);
}

#[tokio::test]
async fn a_killed_index_build_is_no_drift() {
    let database = TestDatabase::empty().await;
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    let folder = Folder::new().with(FIRST, "CREATE TABLE t (id int);", "DROP TABLE t;");
    folder.expect(&ops, 0, &["run"]);
    let folder = folder.with_stepwise(
        SECOND,
        "ALTER TABLE t ADD x int; CREATE INDEX CONCURRENTLY i ON t (id);",
        "DROP INDEX CONCURRENTLY IF EXISTS i; ALTER TABLE t DROP COLUMN IF EXISTS x;",
    );
    // Whoever might see what is not in the index is waited for, at its end.
    let other = database.superuser().await;
    other
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class")
        .await
        .unwrap();
    let running = ops.spawn(&folder.arguments(&["run"]));
    let index = "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('i'))";
    wait_until(&client, index).await;
    kill_9(running);
    other.batch_execute("COMMIT").await.unwrap();
    folder.expect(&ops, 0, &["run"]);
    folder.expect(&ops, 0, &["drift", "--fingerprint"]);
}

/// A first migration that fails leaves the database as it was, extensions and history included.
#[tokio::test]
async fn a_first_migration_that_fails_leaves_nothing() {
    let database = TestDatabase::empty().await;
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    let before = "SELECT count(*) FROM pg_extension";
    let extensions: i64 = client.query_one(before, &[]).await.unwrap().get(0);
    let folder = Folder::new().with(FIRST, "CREATE TABLE t (); SELECT nonsense;", "DROP TABLE t;");
    folder.expect(&ops, 1, &["run"]);
    assert!(schemas_of(&client, "__diesel_schema_migrations").await.is_empty());
    assert!(schemas_of(&client, "plinth_migrations").await.is_empty());
    assert_eq!(
        client.query_one(before, &[]).await.unwrap().get::<_, i64>(0),
        extensions
    );
}

/// One that failed takes nothing back of what another wrote while it waited for the lock.
#[tokio::test]
async fn a_failed_run_leaves_the_history_of_another() {
    let database = TestDatabase::empty().await;
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    let folder = Folder::new().with(FIRST, "CREATE TABLE t ();", "DROP TABLE t;");
    folder.expect(&ops, 0, &["run"]);
    let folder = folder.with(SECOND, "SELECT nonsense;", "");
    // The database is new to the one that waits; then the history is there.
    client
        .batch_execute(&format!(
            "ALTER TABLE plinth_migrations RENAME TO a; ALTER TABLE __diesel_schema_migrations RENAME TO b;
             SELECT pg_advisory_lock({MIGRATION_LOCK})"
        ))
        .await
        .unwrap();
    let waiting = ops.spawn(&folder.arguments(&["run"]));
    let asks = "SELECT EXISTS (SELECT FROM pg_stat_activity
                                WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ 'pg_try_advisory_lock')";
    wait_until(&client, asks).await;
    client
        .batch_execute(&format!(
            "ALTER TABLE a RENAME TO plinth_migrations; ALTER TABLE b RENAME TO __diesel_schema_migrations;
             SELECT pg_advisory_unlock({MIGRATION_LOCK})"
        ))
        .await
        .unwrap();
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(1));
    let shown = folder.expect(&ops, 2, &["show"]);
    assert!(shown.stdout.contains("applied"), "{}", shown.stdout);
    assert_eq!(
        schemas_of(&client, "__diesel_schema_migrations").await,
        ["public"]
    );
}

#[test]
fn files_that_the_server_would_misread_are_refused() {
    let ops = Ops::new();
    let refused = |name: &str, up: &str, stepwise: bool, said: &str| {
        let folder = Folder::new();
        let folder = if stepwise {
            folder.with_stepwise(name, up, "")
        } else {
            folder.with(name, up, "")
        };
        let ran = folder.expect(&ops, 64, &["show"]);
        assert!(ran.stderr.contains(said), "{up}: {}", ran.stderr);
    };
    refused(FIRST, "\u{feff}CREATE TABLE t ();", false, "byte order mark");
    refused(FIRST, "SELECT 1;\nSELECT '\0';", false, "line 2");
    refused(FIRST, "COPY t FROM stdin;", false, "COPY");
    refused(FIRST, "COPY t TO STDOUT;", true, "COPY");
    refused(FIRST, "CREATE TEMP TABLE todo ();", true, "temporary table");
    refused(FIRST, "SELECT set_config('a.b', 'c', false);", true, "a setting");
    refused(FIRST, "REINDEX (CONCURRENTLY) TABLE t;", true, "REINDEX");
    let long = "i".repeat(64);
    refused(
        FIRST,
        &format!("CREATE INDEX CONCURRENTLY {long} ON t (id);"),
        true,
        "longer than 63 bytes",
    );
    refused("-_a", "", false, "digits");
    let folder = Folder::new().with("9_a", "", "").with("10_b", "", "");
    let ran = folder.expect(&ops, 64, &["show"]);
    assert!(ran.stderr.contains("pad them with zeros"), "{}", ran.stderr);
}

/// Whichever way it is written, a rewrite takes the table from everybody.
#[tokio::test]
async fn vacuum_full_in_parentheses_says_which_lock_it_takes() {
    let database = TestDatabase::empty().await;
    let ops = Ops::on(&database);
    let folder = Folder::new().with(FIRST, "CREATE TABLE t ();", "DROP TABLE t;");
    folder.expect(&ops, 0, &["run"]);
    let folder = folder.with_stepwise(SECOND, "VACUUM (FULL) t;", "");
    let ran = folder.expect(&ops, 0, &["run", "--dry-run"]);
    assert!(ran.stdout.contains("ACCESS EXCLUSIVE"), "{}", ran.stdout);
}
