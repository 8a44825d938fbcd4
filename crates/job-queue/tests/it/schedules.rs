//! Schedules fire once, whoever looks.

use job_queue::{Job, Missed, NewSchedule, Registry};
use serde::{Deserialize, Serialize};

use crate::scratch::{ACME, PLATFORM};
use crate::support::{database, number, options, start, until};

#[derive(Serialize, Deserialize)]
struct Tick {}

impl Job for Tick {
    const NAME: &'static str = "tick";
}

fn registry() -> Registry {
    Registry::new().handle(|_, _: Tick| async { Ok(()) })
}

#[tokio::test]
async fn four_schedulers_fire_each_second_once() {
    let db = database().await;
    let client = db.client().await;
    let every_second = NewSchedule::new("tick", PLATFORM, "* * * * * *", &Tick {}).unwrap();
    for _ in 0..3 {
        every_second.put(&client).await.unwrap();
    }
    let workers: Vec<_> = (0..4).map(|_| start(&db, registry(), options())).collect();
    until(
        &client,
        "SELECT count(*) >= 5 FROM queue_jobs WHERE state = 'completed'",
    )
    .await;
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(
        number(
            &client,
            "SELECT count(*) - count(DISTINCT run_at) FROM queue_jobs"
        )
        .await,
        0
    );
    let gaps = "SELECT count(*) FROM (SELECT run_at - lag(run_at) OVER (ORDER BY run_at) AS gap FROM queue_jobs) g WHERE gap <> interval '1 s'";
    assert_eq!(number(&client, gaps).await, 0);
    assert_eq!(
        number(
            &client,
            "SELECT count(*) FROM queue_jobs WHERE started_at < run_at"
        )
        .await,
        0
    );
}

#[tokio::test]
async fn missed_firings_are_treated_as_the_schedule_says() {
    let db = database().await;
    let client = db.client().await;
    for (name, missed) in [
        ("skip", Missed::Skip),
        ("once", Missed::Once),
        ("all", Missed::All),
    ] {
        // At minute 0 of each hour, so that none is due by itself unless the hour is just turning.
        let new = NewSchedule::new(name, ACME, "0 * * * *", &Tick {})
            .unwrap()
            .missed(missed);
        new.put(&client).await.unwrap();
    }
    client
        .batch_execute("UPDATE queue_schedules SET next_at = date_trunc('hour', now() - interval '10 minutes') - interval '3 hours'")
        .await
        .unwrap();
    let owed = number(
        &client,
        "SELECT count(*) FROM generate_series((SELECT next_at FROM queue_schedules LIMIT 1), now(), interval '1 hour')",
    )
    .await;
    let worker = start(&db, registry(), options());
    until(
        &client,
        "SELECT NOT EXISTS (SELECT FROM queue_schedules WHERE next_at <= now())",
    )
    .await;
    worker.stop().await;
    let rows = client
        .query(
            "SELECT date_trunc('hour', now()) > now() - interval '1 minute', count(*) FROM queue_jobs",
            &[],
        )
        .await
        .unwrap();
    let on_the_hour: bool = rows[0].get(0);
    let fired: i64 = rows[0].get(1);
    assert_eq!(
        fired,
        owed + 1 + i64::from(on_the_hour),
        "all of them, one, and none"
    );
    assert!(owed >= 4);
}

#[tokio::test]
async fn defining_it_anew_moves_it_only_when_the_times_change() {
    let db = database().await;
    let client = db.client().await;
    let put = async |cron: &str, zone: &str| {
        NewSchedule::new("s", ACME, cron, &Tick {})
            .unwrap()
            .time_zone(zone)
            .put(&client)
            .await
            .unwrap();
    };
    put("0 9 1 1 *", "UTC").await;
    client
        .batch_execute("UPDATE queue_schedules SET next_at = '2090-01-01'")
        .await
        .unwrap();
    put("0 9 1 1 *", "UTC").await;
    let next = "SELECT extract(year FROM next_at)::bigint FROM queue_schedules";
    assert_eq!(number(&client, next).await, 2090);
    put("0 9 1 1 *", "America/New_York").await;
    assert!(number(&client, next).await < 2090);
    let hour = "SELECT extract(hour FROM next_at AT TIME ZONE 'UTC')::bigint FROM queue_schedules";
    assert_eq!(number(&client, hour).await, 14);
}

#[tokio::test]
async fn a_paused_schedule_and_one_that_cannot_be_read_hold_up_nobody() {
    let db = database().await;
    let client = db.client().await;
    for name in ["good", "paused", "broken"] {
        NewSchedule::new(name, ACME, "* * * * * *", &Tick {})
            .unwrap()
            .put(&client)
            .await
            .unwrap();
    }
    client
        .batch_execute(
            "UPDATE queue_schedules SET paused_at = now() WHERE name = 'paused';
             UPDATE queue_schedules SET cron = 'of old', next_at = now() - interval '1 s' WHERE name = 'broken'",
        )
        .await
        .unwrap();
    let worker = start(&db, registry(), options());
    until(
        &client,
        "SELECT last_at IS NOT NULL FROM queue_schedules WHERE name = 'good'",
    )
    .await;
    until(
        &client,
        "SELECT next_at IS NULL FROM queue_schedules WHERE name = 'broken'",
    )
    .await;
    worker.stop().await;
    assert_eq!(
        number(
            &client,
            "SELECT count(*) FROM queue_schedules WHERE name = 'paused' AND last_at IS NULL"
        )
        .await,
        1
    );
}
