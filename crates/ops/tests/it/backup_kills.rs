//! `kill -9` at random moments: nothing half done is trusted, and the next run succeeds.
//!
//! `PLINTH_TEST_KILLS=20` is how often each of them is killed (default 6); `make backup-kills` does so.

use std::time::Duration;

use crate::backup::{Place, contents};
use crate::support::kill_9;

#[expect(clippy::disallowed_methods, reason = "how long the test is to be")]
pub fn rounds() -> u32 {
    std::env::var("PLINTH_TEST_KILLS").map_or(6, |rounds| rounds.parse().unwrap())
}

/// Up to as long as the whole takes, and a little more.
pub fn moment(whole: Duration) -> Duration {
    let bytes = db_core::random_bytes::<2>();
    whole.mul_f64(f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX) * 1.1)
}

/// Runs the command once to its end, then again and again to a random moment.
async fn kill(place: &Place, arguments: &[&str], mut after_each: impl AsyncFnMut()) {
    let started = std::time::Instant::now();
    place.ops.expect(0, arguments);
    let whole = started.elapsed();
    for _ in 0..rounds() {
        let child = place.ops.spawn(arguments);
        std::thread::sleep(moment(whole));
        kill_9(child);
        after_each().await;
    }
}

#[tokio::test]
async fn of_backups() {
    let place = Place::new().await;
    kill(&place, &["backup", "create", "--no-drill"], async || {
        // What is listed as complete is.
        let listed = place.ops.expect(0, &["backup", "list", "--json"]).json();
        for one in listed["backups"].as_array().unwrap() {
            let name = one["backup"].as_str().unwrap();
            match one["standing"].as_str().unwrap() {
                "complete" => drop(place.ops.expect(0, &["backup", "verify", name])),
                // 10 where not even its first file was there.
                "unfinished" => {
                    let ran = place.ops.run(&["backup", "verify", name]);
                    assert!(matches!(ran.code, Some(9 | 10)), "{name}: {}", ran.stderr);
                }
                other => panic!("{name} is {other}"),
            }
        }
    })
    .await;
    // The locks of the dead are gone, and so is, with the next run, what they left.
    let name = eventually_backs_up(&place);
    place.ops.expect(0, &["backup", "drill", &name]);
    let listed = place.ops.expect(0, &["backup", "list", "--json"]).json();
    for one in listed["backups"].as_array().unwrap() {
        assert_eq!(one["standing"], "complete", "{listed:#}");
    }
    let client = place.database.superuser().await;
    let running: i64 = client
        .query_one("SELECT count(*) FROM backup_runs WHERE state = 'running'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(running, 0);
}

/// The server notices within half a second that a client is gone.
fn eventually_backs_up(place: &Place) -> String {
    for _ in 0..20 {
        let ran = place.ops.run(&["backup", "create", "--no-drill", "--json"]);
        if ran.code == Some(0) {
            return ran.json()["backup"]["backup"].as_str().unwrap().to_owned();
        }
        assert_eq!(ran.code, Some(12), "{}", ran.stderr);
        std::thread::sleep(Duration::from_millis(250));
    }
    panic!("the lock of a killed backup stays");
}

#[tokio::test]
async fn of_drills() {
    let place = Place::new().await;
    place.back_up();
    let before = contents(&place.database.superuser().await).await;
    kill(&place, &["backup", "drill"], async || {
        assert_eq!(contents(&place.database.superuser().await).await, before);
    })
    .await;
    for attempt in 0.. {
        let ran = place.ops.run(&["backup", "drill"]);
        if ran.code == Some(0) {
            break;
        }
        assert!(ran.code == Some(12) && attempt < 20, "{}", ran.stderr);
        std::thread::sleep(Duration::from_millis(250));
    }
    assert_eq!(contents(&place.database.superuser().await).await, before);
    expect_swept(&place, "plinth_drill_").await;
}

#[tokio::test]
async fn of_restores() {
    let place = Place::new().await;
    place.back_up();
    let before = contents(&place.database.superuser().await).await;
    let arguments = ["restore", "latest", "--force", "--drop-replaced"];
    // Every row is that of the backup, or every row is that of the database that was there, which is another each time.
    let (mut round, mut there, mut replaced) = (0, before.clone(), 0);
    kill(&place, &arguments, async || {
        place.ops.expect(0, &["migrate", "show"]);
        let client = place.database.superuser().await;
        let is = contents(&client).await;
        assert!(is == there || is == before, "half a database: {is:#?}");
        replaced += u32::from(is == before);
        round += 1;
        client
            .batch_execute(&format!("UPDATE cards SET title = 'Changed {round}'"))
            .await
            .unwrap();
        there = contents(&client).await;
        assert_ne!(there, before);
    })
    .await;
    assert!(round == rounds() && replaced <= round);
    place.ops.expect(0, &arguments);
    assert_eq!(contents(&place.database.superuser().await).await, before);
    expect_swept(&place, "plinth_restore_").await;
    // Killed between the swap and the drop, the replaced one stays.
    let client = place.other("postgres").await;
    let like = format!("{}_replaced_%", place.database.name());
    for row in client
        .query(
            "SELECT datname::text FROM pg_database WHERE datname LIKE $1",
            &[&like],
        )
        .await
        .unwrap()
    {
        let name: String = row.get(0);
        client
            .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
            .await
            .unwrap();
    }
}

/// Other tests drill on the same server: theirs have a keeper, or go with their next run. So it is asked a few times.
async fn expect_swept(place: &Place, prefix: &str) {
    let client = place.other("postgres").await;
    let pattern = format!("^{prefix}[0-9a-f]{{16}}$");
    let left = "SELECT coalesce(array_agg(d.datname::text), '{}') FROM pg_database d WHERE d.datname ~ $1 AND NOT EXISTS (
                    SELECT FROM pg_stat_activity a WHERE a.datid = d.oid AND a.application_name = 'plinth-ops keeper')";
    let mut found: Vec<String> = Vec::new();
    for _ in 0..20 {
        found = client.query_one(left, &[&pattern]).await.unwrap().get(0);
        if found.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("left behind: {found:?}");
}
