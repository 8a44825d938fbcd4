//! The activity stream's partitions: made ahead, filled, closed, and dropped when they are past.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike as _, Months, NaiveDate, Utc};
use db_core::jobs::Handlers;
use db_core::jobs::housekeeping::{DeleteActivity, MakeActivityPartitions};
use db_core::models::organization::{NewOrganization, organization_insert};
use db_core::{Clock, Permission};
use db_migrate::Migrator;
use test_support::{ACME, GLOBEX};
use uuid::Uuid;

use super::{Scene, config, start};

/// The month so many months from now.
fn month(ahead: i32) -> NaiveDate {
    let first = Clock::System.now().date_naive().with_day(1).unwrap();
    let months = Months::new(ahead.unsigned_abs());
    if ahead < 0 { first - months } else { first + months }
}

fn name(month: NaiveDate) -> String {
    month.format("activity_stream_%Y_%m").to_string()
}

/// First id of a day.
fn first_id(day: NaiveDate) -> Uuid {
    let time: DateTime<Utc> = day.and_hms_opt(0, 0, 0).unwrap().and_utc();
    Uuid::from_u128(u128::try_from(time.timestamp_millis()).unwrap() << 80)
}

impl Scene {
    /// Names of the partitions, without the default one.
    async fn partitions(&self) -> Vec<String> {
        let sql = "SELECT coalesce(array_agg(c.relname::text ORDER BY c.relname), '{}')
                     FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                    WHERE i.inhparent = 'activity_stream'::regclass AND c.relname <> 'activity_stream_default'";
        self.world.client().query_one(sql, &[]).await.unwrap().get(0)
    }

    /// A partition for the month, as somebody made it by hand, with a row of each of two domains.
    async fn old_month(&self, month: NaiveDate) -> String {
        let (name, from, to) = (name(month), first_id(month), first_id(month + Months::new(1)));
        let sql = format!(
            "CREATE TABLE {name} PARTITION OF activity_stream FOR VALUES FROM ('{from}') TO ('{to}')"
        );
        self.world.client().batch_execute(&sql).await.unwrap();
        for slug in [ACME, GLOBEX] {
            let domain = self.world.domain(slug).await;
            let sql = format!("INSERT INTO {name} (domain_id, id, action) VALUES ($1, $2, 'test.old')");
            self.world
                .client()
                .execute(&sql, &[&domain, &from])
                .await
                .unwrap();
        }
        name
    }

    fn keeping(&self, days: u32) -> Handlers {
        let mut config = config();
        config.keep_activity_days = days;
        Handlers::core(&self.owner, &self.db, &config, |_, _| false).unwrap()
    }

    async fn rows(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}")).await
    }

    /// A change as a request makes it.
    async fn change(&self, slug: &str) -> db_core::Result<()> {
        let access = self.access(ACME, Permission::OrganizationCreate).await;
        self.pool
            .write("change", &access, async |tx| {
                let new = NewOrganization {
                    id: tx.new_id(),
                    slug,
                    name: slug,
                };
                organization_insert(tx, &new).await.map(drop)
            })
            .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn months_have_partitions_from_the_first_start_on() {
    let scene = Scene::new().await;
    scene.change("before").await.unwrap();
    let before = scene.rows("activity_stream").await;
    assert!(before > 0 && before == scene.rows("ONLY activity_stream_default").await);
    // Whoever reads meanwhile misses none.
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..4 {
        let (client, done) = (scene.database.superuser().await, Arc::clone(&done));
        readers.push(tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let sql = "SELECT count(*) FROM activity_stream";
                let rows: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
                assert!(rows >= before, "{rows} of {before}");
            }
        }));
    }
    // Nobody asks for it: the start of a worker does.
    let worker = start(scene.handlers());
    let wanted: Vec<String> = (0..4).map(|ahead| name(month(ahead))).collect();
    let started = Instant::now();
    while scene.partitions().await != wanted {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{:?}",
            scene.partitions().await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker.stop().await;
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }

    // Rows of this month have moved, and those that come go there.
    assert_eq!(scene.rows("ONLY activity_stream_default").await, 0);
    assert_eq!(scene.rows(&wanted[0]).await, before);
    scene.change("after").await.unwrap();
    assert_eq!(scene.rows(&wanted[0]).await, before + 1);
    // A month that nobody made a partition for.
    let (acme, sql) = (
        scene.world.domain(ACME).await,
        "INSERT INTO activity_stream (domain_id, id, action) VALUES ($1, $2, 'late')",
    );
    scene
        .world
        .client()
        .execute(sql, &[&acme, &first_id(month(-2))])
        .await
        .unwrap();
    assert_eq!(scene.rows("ONLY activity_stream_default").await, 1);

    // They are closed: reached through their parent alone, and no drift.
    let report = db_core::tenancy::examine(&scene.owner).await.unwrap();
    assert!(report.violations.is_empty(), "{:?}", report.violations);
    let migrator = Migrator::new(scene.owner.connector(), Duration::from_secs(10));
    let drift = migrator.drift(true).await.unwrap();
    assert!(!drift.drifted, "{}", drift.named());
    let app = scene.database.app().await;
    let refused = app
        .query(&format!("SELECT FROM {}", wanted[0]), &[])
        .await
        .unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "42501");

    // Once more: nothing is left to do.
    scene.run(scene.handlers(), &MakeActivityPartitions {}).await;
    assert_eq!(scene.partitions().await, wanted);
    assert_eq!(scene.rows("activity_stream").await, before + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_on_while_partitions_are_made_and_dropped() {
    let scene = Scene::new().await;
    let old = scene.old_month(month(-20)).await;
    let job = scene.run(scene.keeping(400), &DeleteActivity {});
    let writing = async {
        for number in 0..150 {
            let slug = format!("busy-{number}");
            scene.change(&slug).await.unwrap();
        }
    };
    tokio::join!(job, writing);
    let partitions = scene.partitions().await;
    assert!(
        !partitions.contains(&old) && partitions.contains(&name(month(0))),
        "{partitions:?}"
    );
    let noted = "SELECT count(*) FROM activity_stream WHERE action = 'organization.create' AND after ->> 'slug' LIKE 'busy-%'";
    assert_eq!(scene.number(noted).await, 150);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_with_too_many_rows_to_move_stays_where_it_is() {
    let scene = Scene::new().await;
    let acme = scene.world.domain(ACME).await;
    let sql = "INSERT INTO activity_stream (domain_id, id, action)
               SELECT $1, (left($2::text, 24) || lpad(n::text, 12, '0'))::uuid, 'test.many' FROM generate_series(1, 10001) n";
    let from = first_id(month(0)).to_string();
    scene.world.client().execute(sql, &[&acme, &from]).await.unwrap();
    scene.run(scene.handlers(), &MakeActivityPartitions {}).await;
    let wanted: Vec<String> = (1..4).map(|ahead| name(month(ahead))).collect();
    assert_eq!(scene.partitions().await, wanted);
    assert!(scene.rows("ONLY activity_stream_default").await > 10_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn months_that_are_past_go_whole_and_others_row_by_row() {
    let scene = Scene::new().await;
    let (past, partly) = (
        scene.old_month(month(-20)).await,
        scene.old_month(month(-3)).await,
    );
    // So many days that the first day of that month is past, and its last is not.
    let days = (Clock::System.now().date_naive() - month(-3)).num_days() - 5;
    let kept = first_id(month(-2) - chrono::TimeDelta::days(1));
    let sql = format!("INSERT INTO {partly} (domain_id, id, action) VALUES ($1, $2, 'test.kept')");
    let acme = scene.world.domain(ACME).await;
    scene.world.client().execute(&sql, &[&acme, &kept]).await.unwrap();
    let before = scene.rows("activity_stream").await;

    scene
        .run(scene.keeping(u32::try_from(days).unwrap()), &DeleteActivity {})
        .await;
    let partitions = scene.partitions().await;
    assert!(
        !partitions.contains(&past) && partitions.contains(&partly),
        "{partitions:?}"
    );
    assert_eq!(scene.rows(&partly).await, 1);
    assert_eq!(scene.rows("activity_stream").await, before - 4 + 1);
    let after: serde_json::Value = scene
        .world
        .client()
        .query_one(
            "SELECT after FROM activity_stream WHERE action = 'activity.delete'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        after,
        serde_json::json!({ "rows": 4, "domains": 2, "keep_days": days })
    );
}

/// Behind a waiting DROP everybody waits: so it waits for a moment only, however long a reader takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_is_not_dropped_over_a_reader_and_nobody_waits_for_that() {
    let scene = Scene::new().await;
    let old = scene.old_month(month(-20)).await;
    let reader = scene.database.superuser().await;
    reader
        .batch_execute("BEGIN; SELECT count(*) FROM activity_stream")
        .await
        .unwrap();
    let job = scene.run(scene.keeping(400), &DeleteActivity {});
    let meanwhile = async {
        let started = Instant::now();
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'
                                       AND relation = 'activity_stream'::regclass)";
        while !scene
            .world
            .client()
            .query_one(waits, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
        {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "nobody tries to drop it"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Each waits behind the DROP for as long as that waits, and no longer.
        for number in 0..20 {
            tokio::time::timeout(
                Duration::from_secs(5),
                scene.change(&format!("meanwhile-{number}")),
            )
            .await
            .expect("it waits for the reader")
            .unwrap();
        }
        assert!(scene.partitions().await.contains(&old), "dropped under a reader");
        reader.batch_execute("COMMIT").await.unwrap();
    };
    tokio::join!(job, meanwhile);
    assert!(!scene.partitions().await.contains(&old));
}

/// A backup or a migration has its lock: no partition comes or goes under it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_wait_for_backups_and_migrations() {
    let scene = Scene::new().await;
    let backup = scene.database.superuser().await;
    let lock = db_migrate::LOCK;
    backup
        .execute("SELECT pg_advisory_lock_shared($1)", &[&lock])
        .await
        .unwrap();
    let job = scene.run(scene.handlers(), &MakeActivityPartitions {});
    let release = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(scene.partitions().await.is_empty());
        backup
            .execute("SELECT pg_advisory_unlock_shared($1)", &[&lock])
            .await
            .unwrap();
    };
    tokio::join!(job, release);
    assert_eq!(scene.partitions().await.len(), 4);
}
