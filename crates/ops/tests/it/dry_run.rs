//! `--dry-run`: what would be run, with the locks that it takes, and nothing changed.

use std::time::{Duration, Instant};

use serde_json::Value;
use test_support::TestDatabase;

use crate::folders::Folder;
use crate::support::Ops;

fn folder() -> Folder {
    Folder::new()
        .with(
            "2026-01-01-000000_tables",
            "CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE items (id int PRIMARY KEY, parent int, name text);
             INSERT INTO items VALUES (1, 1, 'one'); INSERT INTO parents VALUES (1);",
            "DROP TABLE items; DROP TABLE parents;",
        )
        .with(
            "2026-01-02-000000_changes",
            "-- Each kind of lock.
CREATE TABLE fresh (id int);
UPDATE items SET name = 'two';
CREATE INDEX items_name_idx ON items (name);
ALTER TABLE items ADD FOREIGN KEY (parent) REFERENCES parents (id);
ALTER TABLE items ADD COLUMN more int;
ALTER TABLE items ADD COLUMN yet_more int;
DROP INDEX items_name_idx;",
            "ALTER TABLE items DROP COLUMN more, DROP COLUMN yet_more; DROP TABLE fresh; ALTER TABLE items DROP CONSTRAINT items_parent_fkey;",
        )
        .with_stepwise(
            "2026-01-03-000000_index",
            "CREATE INDEX CONCURRENTLY items_name_id_idx ON items (name, id);
             DO $$ BEGIN COMMIT; END $$;",
            "DROP INDEX CONCURRENTLY IF EXISTS items_name_id_idx;",
        )
}

fn locks(statement: &Value) -> Vec<String> {
    let locks = statement["locks"].as_array().unwrap();
    locks
        .iter()
        .map(|lock| {
            format!(
                "{} {}",
                lock["mode"].as_str().unwrap(),
                lock["relation"].as_str().unwrap()
            )
        })
        .collect()
}

async fn first_applied() -> (TestDatabase, Ops, Folder) {
    let (database, folder) = (TestDatabase::empty().await, folder());
    let ops = Ops::on(&database);
    let first = Folder::new().with(
        "2026-01-01-000000_tables",
        &std::fs::read_to_string(folder.path().join("2026-01-01-000000_tables/up.sql")).unwrap(),
        "DROP TABLE items; DROP TABLE parents;",
    );
    first.expect(&ops, 0, &["run"]);
    (database, ops, folder)
}

#[tokio::test]
async fn it_names_the_locks_of_each_statement_and_changes_nothing() {
    let (database, ops, folder) = first_applied().await;
    let client = database.superuser().await;
    let plan = folder.expect(&ops, 0, &["run", "--dry-run", "--json"]).json();
    let changes = &plan["migrations"][0];
    assert_eq!(changes["name"], "changes");
    let seen: Vec<Vec<String>> = changes["statements"]
        .as_array()
        .unwrap()
        .iter()
        .map(locks)
        .collect();
    assert_eq!(
        seen,
        [
            vec![],
            vec!["ROW_EXCLUSIVE public.items"],
            vec!["SHARE public.items"],
            vec![
                "SHARE_ROW_EXCLUSIVE public.items",
                "SHARE_ROW_EXCLUSIVE public.parents",
                "ROW_SHARE public.parents",
                "ACCESS_SHARE public.items",
                "ACCESS_SHARE public.parents"
            ],
            vec!["ACCESS_EXCLUSIVE public.items"],
            vec![],
            vec![],
        ]
    );
    assert_eq!(changes["statements"][3]["line"], 5);
    let index = &plan["migrations"][1];
    assert_eq!(index["transactional"], false);
    assert_eq!(locks(&index["statements"][0]), ["SHARE_UPDATE_EXCLUSIVE items"]);
    assert!(index["statements"][0]["duration_ms"].is_null());
    assert!(
        index["statements"][1]["note"]
            .as_str()
            .unwrap()
            .contains("not tried")
    );

    let text = folder.expect(&ops, 0, &["run", "--dry-run"]).stdout;
    assert!(
        text.contains("ACCESS EXCLUSIVE on table public.items: blocks reads and writes"),
        "{text}"
    );
    assert!(
        text.contains("SHARE on table public.items: blocks writes; reads go on"),
        "{text}"
    );
    // What it prints is SQL.
    client
        .batch_execute(&format!(
            "BEGIN; {}; ROLLBACK",
            text.split("-- apply 20260103").next().unwrap()
        ))
        .await
        .unwrap();

    let row = client
        .query_one(
            "SELECT to_regclass('fresh') IS NULL AND (SELECT name = 'one' FROM items)",
            &[],
        )
        .await
        .unwrap();
    assert!(row.get::<_, bool>(0));
    folder.expect(&ops, 2, &["show"]);
}

#[tokio::test]
async fn the_way_back_too() {
    let (database, ops, folder) = first_applied().await;
    folder.expect(&ops, 0, &["run"]);
    let plan = folder
        .expect(&ops, 0, &["redo", "2", "--dry-run", "--json"])
        .json();
    let steps: Vec<(String, String)> = plan["migrations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            (
                step["name"].as_str().unwrap().to_owned(),
                step["direction"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let expected = [
        ("index", "down"),
        ("changes", "down"),
        ("changes", "up"),
        ("index", "up"),
    ];
    assert_eq!(
        steps,
        expected.map(|(name, way)| (name.to_owned(), way.to_owned()))
    );
    folder.expect(&ops, 0, &["revert", "--all", "--dry-run"]);
    folder.expect(&ops, 0, &["show"]);
    drop(database);
}

#[tokio::test]
async fn it_waits_for_no_lock() {
    let (database, ops, folder) = first_applied().await;
    let reader = database.superuser().await;
    reader.batch_execute("BEGIN; SELECT * FROM items").await.unwrap();
    let begun = Instant::now();
    let ran = folder.expect(&ops, 1, &["run", "--dry-run"]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(
        ran.stderr.contains("in this dry run, the statement on line 6"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("55P03"), "{}", ran.stderr);
}

#[tokio::test]
async fn ours_pass_onto_an_empty_database() {
    let database = TestDatabase::empty().await;
    let ops = Ops::on(&database);
    let plan = ops.expect(0, &["migrate", "run", "--dry-run", "--json"]).json();
    let migrations = plan["migrations"].as_array().unwrap();
    assert_eq!(migrations.len(), db_migrate::MIGRATIONS.len());
    // Nothing was there before, so that nothing is locked.
    for migration in migrations {
        for statement in migration["statements"].as_array().unwrap() {
            assert_eq!(locks(statement), Vec::<String>::new(), "{statement}");
        }
    }
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let client = database.superuser().await;
    assert_eq!(client.query_one(tables, &[]).await.unwrap().get::<_, i64>(0), 0);
}
