//! Plinth's own schema.

use std::path::Path;

use pg_catalog::{Catalog, Options};
use tokio_postgres::Client;

use crate::support::Database;

/// One file of a migration.
struct File {
    sql: String,
    in_transaction: bool,
}

/// The migrations' `up.sql` or `down.sql`, in the order of their versions.
fn files(which: &str) -> Vec<File> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let mut directories: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    directories.sort();
    directories
        .iter()
        .map(|directory| {
            let metadata = std::fs::read_to_string(directory.join("metadata.toml")).unwrap_or_default();
            File {
                sql: std::fs::read_to_string(directory.join(which)).unwrap(),
                in_transaction: !metadata.contains("run_in_transaction = false"),
            }
        })
        .collect()
}

async fn run(client: &Client, file: &File) {
    if file.in_transaction {
        let sql = format!("BEGIN; SET LOCAL row_security = off; {}; COMMIT", file.sql);
        client.batch_execute(&sql).await.unwrap();
        return;
    }
    for statement in file.sql.split_inclusive(";\n") {
        client.batch_execute(statement).await.unwrap();
    }
}

/// All migrations.
pub async fn up(client: &Client) {
    for file in files("up.sql") {
        run(client, &file).await;
    }
}

#[tokio::test]
async fn up_down_up() {
    let database = Database::empty().await;
    let client = database.client().await;
    let read = async || Catalog::read(&client, &Options::default()).await.unwrap();

    for file in files("up.sql") {
        run(&client, &file).await;
    }
    let first = read().await;
    for file in files("down.sql").iter().rev() {
        run(&client, file).await;
    }
    let empty = read().await;
    assert!(
        empty.tables.is_empty() && empty.functions.is_empty(),
        "{:?}",
        empty.objects()
    );
    for file in files("up.sql") {
        run(&client, &file).await;
    }
    let second = read().await;

    let difference = first.diff(&second);
    assert!(difference.is_empty(), "{difference}");
    assert_eq!(first.fingerprint(), second.fingerprint());

    // It was seen: tables under row level security, their policies, partitions, the functions of the system role.
    let cards = &first.tables[&crate::support::public("cards")];
    assert!(cards.row_security && cards.force_row_security);
    assert_eq!(cards.policies.keys().collect::<Vec<_>>(), ["system", "tenant"]);
    assert!(first.tables.values().any(|table| table.partition_of.is_some()));
    assert!(first.functions.values().any(|function| function.security_definer));
    first.order(first.ids()).unwrap();
}
