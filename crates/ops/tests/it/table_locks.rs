//! A table's lock that somebody holds for too long: the message names them.

use test_support::{Ran, TestDatabase};
use tokio_postgres::Client;

use crate::doctor_server::Server;
use crate::folders::Folder;
use crate::support::Ops;

const FIRST: &str = "2026-01-01-000001_first";
const SECOND: &str = "2026-01-01-000002_second";

/// Idle in a transaction that has locked the table, under a name of its own; its process id.
async fn holder(database: &TestDatabase) -> (Client, i32) {
    let client = database.superuser().await;
    // Several statements in one message are one transaction.
    for sql in [
        "CREATE TABLE items (id int)",
        "SET application_name = 'nightly report'",
        "BEGIN",
    ] {
        client.batch_execute(sql).await.unwrap();
    }
    let pid = client
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    client
        .batch_execute("LOCK TABLE\n  items IN SHARE MODE")
        .await
        .unwrap();
    (client, pid)
}

#[tokio::test]
async fn who_holds_it_is_named() {
    let up = "SELECT 1;\nALTER TABLE items ADD COLUMN name text;";
    let down = "ALTER TABLE IF EXISTS items DROP COLUMN IF EXISTS name;";
    let folders = [
        Folder::new().with(FIRST, up, down),
        Folder::new().with_stepwise(FIRST, up, down),
    ];
    // Both at once: each takes some twelve seconds.
    let mut running = Vec::new();
    for folder in &folders {
        let database = TestDatabase::empty().await;
        let held = holder(&database).await;
        let child = Ops::on(&database).spawn(&folder.arguments(&["run"]));
        running.push((database, held, child));
    }
    for (database, (client, pid), child) in running {
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(5), "{}", ran.stderr);
        for wanted in [
            "statement 2 (line 2)",
            &format!("held by pid {pid} (login "),
            "application nightly report",
            "idle in transaction, its transaction open for 00:00:",
            "query: LOCK TABLE items IN SHARE MODE)",
            &format!("end it with SELECT pg_terminate_backend({pid})"),
        ] {
            assert!(ran.stderr.contains(wanted), "{wanted:?} in {}", ran.stderr);
        }
        client.batch_execute("COMMIT").await.unwrap();
        drop(database);
    }
}

/// Also where the runner itself cannot read the schema meanwhile, whose fingerprint it takes: a view of the table.
#[tokio::test]
async fn nobody_is_waited_for_without_end() {
    let database = TestDatabase::empty().await;
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    let tables = "CREATE TABLE items (id int); CREATE VIEW seen AS SELECT id FROM items;";
    let folder = Folder::new().with(FIRST, tables, "DROP VIEW seen; DROP TABLE items;");
    folder.expect(&ops, 0, &["run"]);
    let lock = "BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(lock).await.unwrap();
    let folder = folder.with(SECOND, "ALTER TABLE items ADD COLUMN name text;", "");
    let ran = folder.expect(&ops, 5, &["run"]);
    assert!(ran.stderr.contains("LOCK TABLE items"), "{}", ran.stderr);
    client.batch_execute("ROLLBACK").await.unwrap();
    folder.expect(&ops, 0, &["run"]);
}

/// Whose session is over, and who has no process to end.
#[tokio::test]
async fn a_prepared_transaction_is_named() {
    let server = Server::start(
        "host all all 127.0.0.1/32 trust",
        &["max_prepared_transactions = 2"],
        None,
    );
    let client = server.client("postgres").await;
    for sql in [
        "CREATE TABLE items (id int)",
        "BEGIN",
        "LOCK TABLE items",
        "PREPARE TRANSACTION 'left over'",
    ] {
        client.batch_execute(sql).await.unwrap();
    }
    let folder = Folder::new().with(FIRST, "ALTER TABLE items ADD COLUMN name text;", "SELECT 1;");
    let ops = Ops::new().with("DATABASE_URL", &server.tcp("postgres", "/postgres"));
    let ran = folder.expect(&ops, 5, &["run"]);
    for wanted in [
        "held by the prepared transaction 'left over' (login postgres, since ",
        "end it with ROLLBACK PREPARED 'left over'",
    ] {
        assert!(ran.stderr.contains(wanted), "{wanted:?} in {}", ran.stderr);
    }
    client
        .batch_execute("ROLLBACK PREPARED 'left over'")
        .await
        .unwrap();
    folder.expect(&ops, 0, &["run"]);
}
