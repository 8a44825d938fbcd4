//! Scratch databases of drills and restores that were killed: swept when nobody is connected, and not before.

use test_support::KEY;
use tokio_postgres::Client;

use crate::doctor_server::Server;
use crate::support::{Ops, wait_until};

async fn databases(client: &Client) -> Vec<String> {
    client
        .query(
            "SELECT datname::text FROM pg_database WHERE datname ~ '^plinth_(drill|restore)_' ORDER BY 1",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// A firewall has forgotten the keeper's connection, which is idle for hours; pg_restore is at work all the same.
#[tokio::test]
async fn one_where_somebody_works_stays_without_its_keeper() {
    let server = Server::start("host all all 127.0.0.1/32 trust", &[], None);
    let client = server.client("postgres").await;
    let (used, left) = ("plinth_restore_00000000000000a1", "plinth_drill_00000000000000a2");
    for name in ["plinth", used, left] {
        client
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
    }
    let store = tempfile::tempdir().unwrap();
    let ops = Ops::new()
        .with("DATABASE_URL", &server.tcp("postgres", "/plinth"))
        .with("POSTGRES_ENCRYPTION_KEY", KEY)
        .with("PLINTH_BACKUP_URL", store.path().to_str().unwrap());
    ops.expect(0, &["setup", "--demo"]);
    let work = server.client(used).await;
    ops.expect(0, &["backup", "create"]);
    assert_eq!(databases(&client).await, [used]);
    work.batch_execute("SELECT 1").await.unwrap();
    drop(work);
    wait_until(
        &client,
        &format!("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = '{used}')"),
    )
    .await;
    ops.expect(0, &["backup", "drill"]);
    assert_eq!(databases(&client).await, Vec::<String>::new());
}
