//! This machine's clock is a day off the database's and the store's. What counts goes by theirs; what cannot is refused, or said.

use std::fs;

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use db_core::Clock;
use db_core::rbac::SystemRole;
use test_support::{ACME, KEY, TestDatabase, World};

use crate::backup::Place;
use crate::doctor::{self, Told};
use crate::support::Ops;
use crate::worker::{Worker, expiry, gone, until};

/// Ahead, and behind.
const OFFSETS: [&str; 2] = ["+25h", "-25h"];
const KEEP_NONE: [&str; 8] = [
    "backup",
    "prune",
    "--keep-daily",
    "0",
    "--keep-weekly",
    "0",
    "--keep-monthly",
    "0",
];

/// The program with each of the clocks, on a database and with a place for backups; none where no clock can be had.
fn wrong(database: &TestDatabase, store: &tempfile::TempDir) -> Vec<(&'static str, Ops)> {
    let ops = |offset| {
        Ops::on(database)
            .with("PLINTH_BACKUP_URL", store.path().to_str().unwrap())
            .with_clock(offset)
            .map(|ops| (offset, ops))
    };
    OFFSETS.into_iter().filter_map(ops).collect()
}

fn listed(ops: &Ops) -> serde_json::Value {
    ops.expect(0, &["backup", "list", "--json"]).json()
}

/// Without this, all the others would show nothing.
#[test]
fn the_clock_is_another() {
    for (offset, hours) in OFFSETS.into_iter().zip([25, -25]) {
        let Some(ops) = Ops::new().with_clock(offset) else {
            return;
        };
        let mut date = std::process::Command::new("date");
        date.arg("+%s");
        for (name, value) in ops.command(&[]).get_envs() {
            if let Some(value) = value {
                date.env(name, value);
            }
        }
        let said = String::from_utf8(date.output().unwrap().stdout).unwrap();
        let theirs: i64 = said.trim().parse().unwrap();
        let off = theirs - Clock::System.now().timestamp() - hours * 3600;
        assert!(off.abs() < 60, "{offset}: {off}");
    }
}

#[tokio::test]
async fn no_backup_is_made_and_none_is_lost_or_misjudged() {
    let place = Place::new().await;
    let (_old, proved, _between) = (place.back_up(), place.back_up(), place.back_up());
    place.ops.expect(0, &["backup", "drill", &proved]);
    // Another machine is about to make one.
    let making = place.back_up();
    let manifest = place.manifest(&making);
    let kept = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    let before = listed(&place.ops);
    let dry = [&KEEP_NONE[..], &["--dry-run", "--json"]].concat();
    let would = place.ops.expect(0, &dry).json();
    let gone = would["backups"].as_array().unwrap().iter();
    assert_eq!(gone.filter(|one| one["deleted"] == true).count(), 1, "{would:#}");

    for (offset, ops) in wrong(&place.database, &place.store) {
        for arguments in [&["backup", "create"][..], &["backup", "create", "--no-drill"]] {
            let ran = ops.expect(1, arguments);
            assert!(
                ran.stderr.contains("this machine's clock says"),
                "{offset}: {}",
                ran.stderr
            );
        }
        assert_eq!(listed(&ops), before, "{offset}");
        assert_eq!(ops.expect(0, &dry).json(), would, "{offset}");
        ops.expect(0, &["backup", "verify", &proved]);
    }
    // It is made to its end, is the newest, and can be relied on.
    fs::write(&manifest, kept).unwrap();
    place.ops.expect(0, &["backup", "drill", &making]);
    for (offset, ops) in wrong(&place.database, &place.store) {
        let shown = ops.expect(0, &["backup", "show", "--json"]).json();
        assert_eq!(shown["backup"], making, "{offset}: {shown:#}");
        ops.expect(0, &KEEP_NONE);
        let left = listed(&ops);
        let left = left["backups"].as_array().unwrap();
        assert_eq!(
            (left.len(), &left[0]["backup"]),
            (1, &making.clone().into()),
            "{offset}"
        );
    }
}

#[tokio::test]
async fn a_proof_is_as_old_as_the_server_says() {
    let place = Place::new().await;
    let name = place.back_up();
    let client = place.database.superuser().await;
    for (offset, ops) in wrong(&place.database, &place.store) {
        ops.expect(0, &["backup", "drill"]);
        let proved: DateTime<Utc> = listed(&ops)["backups"][0]["proved_at"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let row = client
            .query_one(
                "SELECT clock_timestamp(), min(finished_at), max(finished_at) FROM backup_runs WHERE kind = 'drill' AND state = 'succeeded'",
                &[],
            )
            .await
            .unwrap();
        let now: DateTime<Utc> = row.get(0);
        for moment in [proved, row.get(1), row.get(2)] {
            assert!(
                (now - moment).abs() < TimeDelta::minutes(10),
                "{offset}: {moment}"
            );
        }
        // What is restored is the backup, whatever the time.
        let beside = format!("{}_beside", place.database.name());
        ops.expect(0, &["restore", &name, "--into", &beside]);
        let maintenance = place.other("postgres").await;
        maintenance
            .batch_execute(&format!("DROP DATABASE {beside} WITH (FORCE)"))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_doctor_names_the_clock_and_judges_ages_by_the_servers() {
    let database = TestDatabase::new().await;
    drop(database.db().await);
    let store = tempfile::tempdir().unwrap();
    let right = doctor::on(&database).with("PLINTH_BACKUP_URL", store.path().to_str().unwrap());
    right.expect(0, &["backup", "create"]);
    let fine = Told::by(&right, &[]);
    for (offset, way) in OFFSETS.into_iter().zip(["behind", "ahead of"]) {
        let ops = doctor::on(&database).with("PLINTH_BACKUP_URL", store.path().to_str().unwrap());
        let Some(ops) = ops.with_clock(offset) else {
            return;
        };
        let told = Told::by(&ops, &[]);
        told.expect("server.clock", "failed", &[way, "chrony", "this machine's"]);
        assert_eq!(told.all("failed"), ["server.clock"], "{offset}");
        assert_eq!(told.all("warning"), fine.all("warning"), "{offset}");
        for id in ["backup.last", "backup.proof"] {
            told.expect(id, "ok", &["less than an hour"]);
        }
    }
}

/// Leases, schedules and expiry go by the server's clock.
#[tokio::test]
async fn a_worker_takes_nothing_before_its_time() {
    let database = TestDatabase::new().await;
    let world = World::new(database.superuser().await);
    let store = tempfile::tempdir().unwrap();
    let noon = Clock::System.now() + TimeDelta::hours(12);
    let schedule = format!("0 {} * * *", noon.hour());
    let with = |ops: Ops| {
        ops.with("PLINTH_BACKUP_SCHEDULE", &schedule)
            .with("PLINTH_JOBS_METRICS_BIND", "127.0.0.1:0")
            .with("PLINTH_JOBS_SHUTDOWN_GRACE", "1s")
    };
    let others = wrong(&database, &store);
    if others.is_empty() {
        return;
    }
    let user = world.user(ACME, "guest@acme.test").await;
    let in_an_hour = world.assign(ACME, user, SystemRole::Viewer, None, None).await;
    let end = "UPDATE user_roles SET expires_at = now() + interval '1 hour' WHERE id = $1";
    world.client().execute(end, &[&in_an_hour]).await.unwrap();
    let mut workers = Vec::new();
    for (_, ops) in others {
        let mut worker = Worker::start(&with(ops), &[]);
        worker.says("runs jobs");
        workers.push(worker);
    }
    for _ in 0..3 {
        let (assignment, _) = expiry(&world).await;
        until(&world, &gone(assignment)).await;
    }
    // One whose clock is right comes, and none takes another for dead.
    let right = with(Ops::on(&database).with("PLINTH_BACKUP_URL", store.path().to_str().unwrap()));
    let mut right = Worker::start(&right, &[]);
    right.says("runs jobs");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    until(
        &world,
        "SELECT count(*) = 3 FROM queue_workers WHERE fenced_at IS NULL AND lease_until BETWEEN now() AND now() + interval '10 minutes'",
    )
    .await;
    let row = world
        .client()
        .query_one(
            "SELECT (SELECT count(*) FROM user_roles WHERE id = $1),
                    (SELECT count(*) FROM queue_jobs WHERE kind = 'make_backup'),
                    (SELECT next_at BETWEEN now() + interval '10 hours' AND now() + interval '14 hours' AND last_at IS NULL
                       FROM queue_schedules WHERE kind = 'make_backup')",
            &[&in_an_hour],
        )
        .await
        .unwrap();
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, bool>(2)),
        (1, 0, true)
    );
    for worker in workers.iter_mut().chain([&mut right]) {
        worker.signal("-TERM");
        assert_eq!(worker.ends(20), Some(0), "{}", worker.log);
    }
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn keys_are_rotated_and_a_domain_is_put_back_all_the_same() {
    let database = TestDatabase::new().await;
    let mut keys = KEY.to_owned();
    for (index, offset) in OFFSETS.into_iter().enumerate() {
        keys = format!("k{index}:another-key-{index}-0123456789abcdef0123456789abcdef,{keys}");
        let ops = || {
            Ops::new()
                .with("DATABASE_URL", &database.url("plinth"))
                .with("POSTGRES_ENCRYPTION_KEY", &keys)
        };
        let Some(wrong) = ops().with_clock(offset) else {
            return;
        };
        let ran = wrong.expect(0, &["keys", "rotate", "--json"]);
        assert!(ran.json()["rotated"]["values"].as_u64().unwrap() > 0);
        let again = ops().expect(0, &["keys", "rotate", "--json"]).json();
        assert_eq!(again["rotated"]["values"], 0, "{offset}");

        let archive = format!("acme-{index}.tar");
        wrong.expect(0, &["domain", "export", ACME, "--to", &archive]);
        wrong.expect(0, &["domain", "restore", &archive, "--replace", "--yes"]);
        let slug = format!("from-another-day-{index}");
        wrong.expect(0, &["domain", "copy", ACME, "--as", &slug]);
        wrong.expect(0, &["domain", "erase", &slug, "--yes"]);
    }
    // Everything that was written under the wrong time can be read.
    let ops = Ops::new()
        .with("DATABASE_URL", &database.url("plinth"))
        .with("POSTGRES_ENCRYPTION_KEY", &keys);
    ops.expect(0, &["domain", "create", "x", "--admin-email", "a@x.test"]);
}
