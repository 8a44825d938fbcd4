//! Scratch databases that killed processes have left: the next one sweeps up, and takes nothing that is somebody's.

use std::collections::BTreeSet;
use std::time::Duration;

use test_support::KEY;
use tokio_postgres::Client;

use crate::doctor_server::Server;
use crate::folders::Folder;
use crate::support::{Ops, kill_9, wait_until};

const FIRST: &str = "2026-01-01-000001_first";

async fn databases(client: &Client) -> BTreeSet<String> {
    client
        .query("SELECT datname::text FROM pg_database", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .filter(|name: &String| name.starts_with("plinth_scratch"))
        .collect()
}

/// As if it had been made that long ago.
async fn aged(client: &Client, name: &str, ago: &str) -> String {
    let stamp: String = client
        .query_one(
            &format!("SELECT to_char((now() - interval '{ago}') AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISS')"),
            &[],
        )
        .await
        .unwrap()
        .get(0);
    let (_, digits) = name.rsplit_once('_').unwrap();
    let older = format!("plinth_scratch_{stamp}_{digits}");
    client
        .batch_execute(&format!("ALTER DATABASE {name} RENAME TO {older}"))
        .await
        .unwrap();
    older
}

#[tokio::test]
async fn what_a_killed_process_left_is_dropped_when_it_is_old_and_nobodys() {
    let server = Server::start("host all all 127.0.0.1/32 trust", &[], None);
    let client = server.client("postgres").await;
    client
        .batch_execute("CREATE ROLE owner LOGIN CREATEDB CREATEROLE")
        .await
        .unwrap();
    client
        .batch_execute("CREATE DATABASE plinth OWNER owner")
        .await
        .unwrap();
    let ops = Ops::new()
        .with("DATABASE_URL", &server.tcp("owner", "/plinth"))
        .with("POSTGRES_ENCRYPTION_KEY", KEY);
    let slow = Folder::new().with(FIRST, "SELECT pg_sleep(60);", "SELECT 1;");
    let quick = Folder::new().with(FIRST, "CREATE TABLE t ();", "DROP TABLE t;");

    // Killed at work; the server lets go of its sessions.
    let victim = ops.spawn(&slow.arguments(&["verify", "--all"]));
    let at_work =
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query ~ 'pg_sleep' AND pid <> pg_backend_pid())";
    wait_until(&client, at_work).await;
    kill_9(victim);
    let gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname ~ '^plinth_scratch_')";
    wait_until(&client, gone).await;
    let left = databases(&client).await;
    assert_eq!(left.len(), 1, "{left:?}");
    let left = left.first().unwrap();

    // Young, it may be somebody's who is about to connect.
    quick.expect(&ops, 0, &["verify", "--all"]);
    assert_eq!(databases(&client).await, BTreeSet::from([left.clone()]));

    let left = aged(&client, left, "11 minutes").await;
    // Of somebody else; in use; only named alike.
    let others = [
        "plinth_scratch_20200101000000_0000000000000001",
        "plinth_scratch_20200101000000_0000000000000002",
        "plinth_scratch_mine",
    ];
    for (name, owner) in others.iter().zip(["postgres", "owner", "owner"]) {
        client
            .batch_execute(&format!("CREATE DATABASE {name} OWNER {owner}"))
            .await
            .unwrap();
    }
    let somebody = server.client(others[1]).await;
    quick.expect(&ops, 0, &["verify", "--all"]);
    let now = databases(&client).await;
    assert!(!now.contains(&left), "{now:?}");
    assert_eq!(now, others.iter().map(|name| (*name).to_owned()).collect());
    drop(somebody);
}

/// Between two of its statements nobody works in a scratch database; it has a keeper all the same, whom no idle limit ends.
#[tokio::test]
async fn one_that_is_in_use_has_a_keeper() {
    let server = Server::start(
        "host all all 127.0.0.1/32 trust",
        &["idle_session_timeout = '200ms'"],
        None,
    );
    let client = server.client("postgres").await;
    for sql in ["SET idle_session_timeout = 0", "CREATE DATABASE plinth"] {
        client.batch_execute(sql).await.unwrap();
    }
    let ops = Ops::new().with("DATABASE_URL", &server.tcp("postgres", "/plinth"));
    let folder = Folder::new().with(FIRST, "SELECT pg_sleep(3);", "SELECT 1;");
    let running = ops.spawn(&folder.arguments(&["verify", "--all"]));
    wait_until(
        &client,
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query ~ 'pg_sleep' AND pid <> pg_backend_pid())",
    )
    .await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    let idle: i64 = client
        .query_one(
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname ~ '^plinth_scratch_' AND state = 'idle' AND clock_timestamp() - state_change > interval '500ms'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert!(idle >= 1, "nobody keeps it");
    kill_9(running);
}
