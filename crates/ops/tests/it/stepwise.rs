//! Migrations without a transaction: resumed behind the last finished statement, there and back.

use std::time::{Duration, Instant};

use test_support::TestDatabase;
use tokio_postgres::Client;

use crate::folders::Folder;
use crate::support::{Ops, kill_9, wait_until};

const TABLE: &str = "2026-01-01-000000_table";
const STEPS: &str = "2026-01-02-000000_steps";
const UP: &str = "-- Three statements, of which the first could not be done twice.
CREATE TABLE once (a int); INSERT INTO once VALUES (1);
SET maintenance_work_mem = '32MB';
CREATE INDEX CONCURRENTLY items_name_idx ON items (name) WHERE name <> '';
CREATE TABLE last (work_mem text);
INSERT INTO last SELECT current_setting('maintenance_work_mem');
";
const DOWN: &str = "DROP TABLE IF EXISTS last;
DROP INDEX CONCURRENTLY IF EXISTS items_name_idx;
DROP TABLE IF EXISTS once;
";

fn folder() -> Folder {
    Folder::new()
        .with(
            TABLE,
            "CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL);
             INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 2000) n;",
            "DROP TABLE items;",
        )
        .with_stepwise(STEPS, UP, DOWN)
}

async fn truth(client: &Client, sql: &str) -> bool {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// All of it is done, once, and nothing is left of its being done.
async fn through(client: &Client) {
    for sql in [
        "SELECT count(*) = 1 FROM once",
        "SELECT count(*) = 1 AND min(work_mem) = '32MB' FROM last",
        "SELECT count(*) = 1 AND bool_and(indisvalid) FROM pg_index WHERE indexrelid = to_regclass('items_name_idx')",
        "SELECT count(*) = 0 FROM pg_index WHERE NOT indisvalid",
        "SELECT count(*) = 0 FROM plinth_migration_statements",
        "SELECT count(*) = 2 FROM plinth_migrations l JOIN __diesel_schema_migrations USING (version)",
    ] {
        assert!(truth(client, sql).await, "{sql}");
    }
}

/// An open transaction that has written to the table: an index build waits for it.
async fn writer(database: &TestDatabase) -> Client {
    let client = database.superuser().await;
    client
        .batch_execute("BEGIN; UPDATE items SET name = name WHERE id = 1")
        .await
        .unwrap();
    client
}

const WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE '%INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'";
const GONE: &str = "SELECT count(*) = 0 FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'plinth-ops'";

#[tokio::test]
async fn up_down_and_again() {
    let (database, folder) = (TestDatabase::empty().await, folder());
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    folder.expect(&ops, 0, &["run"]);
    through(&client).await;
    folder.expect(&ops, 0, &["show"]);
    let redone = folder.expect(&ops, 0, &["redo", "2", "--yes", "--json"]).json();
    assert_eq!(redone["reverted"].as_array().unwrap().len(), 2);
    assert_eq!(redone["applied"][1]["version"], "20260102000000");
    through(&client).await;
    folder.expect(&ops, 0, &["revert"]);
    assert!(
        truth(
            &client,
            "SELECT to_regclass('once') IS NULL AND to_regclass('items_name_idx') IS NULL"
        )
        .await
    );
    folder.expect(&ops, 2, &["show"]);
}

/// The wait of an index build for other transactions is longer than `lock_timeout`, and is no reason to give up.
#[tokio::test]
async fn an_index_build_waits_for_a_long_transaction_and_says_so() {
    let (database, folder) = (TestDatabase::empty().await, folder());
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    folder.expect(&ops, 0, &["run"]);
    folder.expect(&ops, 0, &["revert"]);
    let writer = writer(&database).await;
    let pid = writer
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get::<_, i32>(0);
    let begun = Instant::now();
    let child = ops.spawn(&folder.arguments(&["run"]));
    wait_until(&client, WAITS).await;
    // Nobody waits for the build: a reader and another writer pass.
    client.batch_execute("SET statement_timeout = '200ms'; UPDATE items SET name = name WHERE id = 2; SELECT count(*) FROM items").await.unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    writer.batch_execute("COMMIT").await.unwrap();
    let ran = test_support::Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(begun.elapsed() > Duration::from_secs(10));
    assert!(ran.stderr.contains("statement 4 of 6"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("waiting for writers before build"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains(&format!("waits for pid {pid}")),
        "{}",
        ran.stderr
    );
    through(&client).await;
}

#[tokio::test]
async fn killed_in_an_index_build_it_is_resumed_and_the_invalid_index_rebuilt() {
    let (database, folder) = (TestDatabase::empty().await, folder());
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    folder.expect(&ops, 0, &["run"]);
    folder.expect(&ops, 0, &["revert"]);
    let writer = writer(&database).await;
    let victim = ops.spawn(&folder.arguments(&["run"]));
    wait_until(&client, WAITS).await;
    kill_9(victim);
    // The server notices that its client is gone, and lets go of the lock.
    wait_until(&client, GONE).await;
    writer.batch_execute("ROLLBACK").await.unwrap();
    assert!(
        truth(
            &client,
            "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = 'items_name_idx'::regclass"
        )
        .await
    );

    let shown = folder.expect(&ops, 2, &["show"]);
    assert!(
        shown.stdout.contains("half applied (statement 2 of 6)"),
        "{}",
        shown.stdout
    );
    assert!(
        shown.stderr.contains("half applied: 2 of 6 statements"),
        "{}",
        shown.stderr
    );
    let entry = folder.expect(&ops, 2, &["show", "--json"]).json()["migrations"][1].clone();
    assert_eq!(entry["state"], "half_done");
    assert_eq!(entry["half_done"]["finished"], 2);

    folder.expect(&ops, 0, &["run"]);
    through(&client).await;
}

/// Ctrl-C, and what `docker stop` sends.
#[tokio::test]
async fn interrupted_it_says_what_is_half_done_and_run_goes_on() {
    let (database, folder) = (TestDatabase::empty().await, folder());
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    for signal in ["-INT", "-TERM"] {
        folder.expect(&ops, 0, &["run"]);
        folder.expect(&ops, 0, &["revert"]);
        let writer = writer(&database).await;
        let child = ops.spawn(&folder.arguments(&["run"]));
        wait_until(&client, WAITS).await;
        let pid = child.id().to_string();
        let killed = std::process::Command::new("kill").args([signal, &pid]).status();
        assert!(killed.unwrap().success());
        let ran = test_support::Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(130), "{}", ran.stderr);
        for wanted in [
            "plinth-ops: interrupted; migration 20260102000000_steps is half applied: 2 of 6 statements",
            "run `plinth-ops migrate run` to go on, or `plinth-ops migrate revert` to go back",
        ] {
            assert!(ran.stderr.contains(wanted), "{wanted:?} in {}", ran.stderr);
        }
        writer.batch_execute("ROLLBACK").await.unwrap();
        folder.expect(&ops, 0, &["run"]);
        through(&client).await;
    }
}

#[tokio::test]
async fn killed_between_an_index_and_its_journal_row_the_index_counts() {
    let (database, folder) = (TestDatabase::empty().await, folder());
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    let half = async |definition: &str| {
        folder.expect(&ops, 0, &["run"]);
        let rows = "SELECT version, 'up', n, '', now(), CASE WHEN n = 0 THEN now() END";
        client
            .batch_execute(&format!(
                "DROP INDEX items_name_idx; DROP TABLE once, last; {definition};
                 DELETE FROM plinth_migrations WHERE version = '20260102000000';
                 DELETE FROM __diesel_schema_migrations WHERE version = '20260102000000';
                 INSERT INTO plinth_migration_statements (version, direction, statement, checksum, started_at, finished_at)
                 {rows} FROM (VALUES ('20260102000000')) v (version), (VALUES (0), (4)) s (n)"
            ))
            .await
            .unwrap();
    };
    half("CREATE INDEX items_name_idx ON items USING btree (name) WHERE ((name <> ''::text))").await;
    let index = "SELECT 'items_name_idx'::regclass::oid";
    let before: u32 = client.query_one(index, &[]).await.unwrap().get(0);
    folder.expect(&ops, 0, &["run"]);
    assert_eq!(
        client.query_one(index, &[]).await.unwrap().get::<_, u32>(0),
        before,
        "it was built again"
    );
    through(&client).await;

    half("CREATE INDEX items_name_idx ON items (id)").await;
    let ran = folder.expect(&ops, 1, &["run"]);
    assert!(
        ran.stderr.contains("there is another index public.items_name_idx already: it is btree (id), and not btree (name) WHERE"),
        "{}",
        ran.stderr
    );
    client.batch_execute("DROP INDEX items_name_idx").await.unwrap();
    folder.expect(&ops, 0, &["run"]);
    through(&client).await;
}

#[tokio::test]
async fn half_applied_it_can_be_reverted() {
    let (database, folder) = (TestDatabase::empty().await, folder());
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    folder.write(
        STEPS,
        "up.sql",
        &UP.replace("ON items (name)", "ON items (no_such_column)"),
    );
    let ran = folder.expect(&ops, 1, &["run"]);
    assert!(ran.stderr.contains("statement 4 of 6 (line 4)"), "{}", ran.stderr);
    assert!(ran.stderr.contains("42703"), "{}", ran.stderr);
    assert!(
        truth(
            &client,
            "SELECT to_regclass('once') IS NOT NULL AND to_regclass('last') IS NULL"
        )
        .await
    );
    let reverted = folder.expect(&ops, 0, &["revert", "--json"]).json();
    assert_eq!(reverted["reverted"][0]["version"], "20260102000000");
    assert!(truth(&client, "SELECT to_regclass('once') IS NULL").await);
    let shown = folder.expect(&ops, 2, &["show", "--json"]).json();
    assert_eq!(shown["migrations"][0]["state"], "applied");
    assert_eq!(shown["migrations"][1]["state"], "pending");

    folder.write(STEPS, "up.sql", UP);
    folder.expect(&ops, 0, &["run"]);
    through(&client).await;
}

#[tokio::test]
async fn a_unique_index_that_cannot_be_leaves_nothing_and_its_mended_statement_goes_on() {
    let (database, folder) = (TestDatabase::empty().await, folder());
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    folder.write(
        STEPS,
        "up.sql",
        &UP.replace(
            "INDEX CONCURRENTLY items_name_idx ON items (name)",
            "UNIQUE INDEX CONCURRENTLY items_name_idx ON public.items (left(name, 1))",
        ),
    );
    let ran = folder.expect(&ops, 1, &["run"]);
    assert!(ran.stderr.contains("23505"), "{}", ran.stderr);
    assert!(truth(&client, "SELECT to_regclass('items_name_idx') IS NULL").await);
    folder.write(STEPS, "up.sql", UP);
    folder.expect(&ops, 0, &["run"]);
    through(&client).await;
}

#[tokio::test]
async fn a_finished_statement_of_a_half_done_one_may_not_be_edited() {
    let (database, folder) = (TestDatabase::empty().await, folder());
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    let broken = UP.replace("ON items (name)", "ON items (no_such_column)");
    folder.write(STEPS, "up.sql", &broken);
    folder.expect(&ops, 1, &["run"]);
    folder.write(STEPS, "up.sql", &UP.replace("once (a int)", "once (a bigint)"));
    let ran = folder.expect(&ops, 4, &["run"]);
    assert!(
        ran.stderr
            .contains("statement 1 of migration 20260102000000_steps was edited"),
        "{}",
        ran.stderr
    );
    folder.write(STEPS, "up.sql", UP);
    folder.expect(&ops, 0, &["run"]);
    through(&client).await;
}

#[tokio::test]
async fn killed_on_the_way_back_it_goes_on_back_and_run_goes_there_again() {
    let (database, folder) = (TestDatabase::empty().await, folder());
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    for (next, code) in [("revert", 0), ("run", 0)] {
        folder.expect(&ops, 0, &["run"]);
        let writer = writer(&database).await;
        let victim = ops.spawn(&folder.arguments(&["revert"]));
        wait_until(&client, WAITS).await;
        kill_9(victim);
        wait_until(&client, GONE).await;
        writer.batch_execute("ROLLBACK").await.unwrap();
        let shown = folder.expect(&ops, 2, &["show"]).stdout;
        assert!(shown.contains("half reverted (statement 1 of 3)"), "{shown}");
        folder.expect(&ops, code, &[next]);
        let applied = next == "run";
        if applied {
            through(&client).await;
        } else {
            assert!(
                truth(
                    &client,
                    "SELECT to_regclass('once') IS NULL AND to_regclass('items_name_idx') IS NULL"
                )
                .await
            );
            assert!(truth(&client, "SELECT count(*) = 1 FROM __diesel_schema_migrations").await);
        }
    }
}

/// A statement that others keep from its lock lets them pass and asks again; how long one may run is not limited.
#[tokio::test]
async fn it_asks_again_for_a_lock_and_stalls_nobody() {
    let database = TestDatabase::empty().await;
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    client
        .batch_execute(&format!(
            "CREATE TABLE items (id int); ALTER DATABASE {} SET statement_timeout = '400ms'",
            database.name()
        ))
        .await
        .unwrap();
    let folder = Folder::new().with_stepwise(
        STEPS,
        "ALTER TABLE items ADD COLUMN name text; SELECT pg_sleep(0.6);",
        "ALTER TABLE IF EXISTS items DROP COLUMN IF EXISTS name;",
    );
    let reader = database.superuser().await;
    reader.batch_execute("BEGIN; SELECT * FROM items").await.unwrap();
    let child = ops.spawn(&folder.arguments(&["run"]));
    let queued = "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'items'::regclass AND NOT granted";
    for _ in 0..3 {
        wait_until(&client, queued).await;
        // Behind the queued ALTER; `statement_timeout` of this connection is older than that of the database.
        let begun = Instant::now();
        client.batch_execute("SELECT * FROM items").await.unwrap();
        assert!(
            begun.elapsed() < Duration::from_millis(1500),
            "{:?}",
            begun.elapsed()
        );
        wait_until(&client, &queued.replace("> 0", "= 0")).await;
    }
    reader.batch_execute("COMMIT").await.unwrap();
    let ran = test_support::Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}
