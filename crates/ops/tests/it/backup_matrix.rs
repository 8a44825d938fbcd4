//! The rest of what must never be reported as a success: see also `backup_failures`, `backup_damage`, `backup_owner`, `backup_s3`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use local_postgres::{Durability, LocalPostgres, Options};
use test_support::ServerAddress;

use crate::backup::Place;
use crate::support::Ops;

/// A server of the test's own, which asks for a password.
#[tokio::test]
async fn a_wrong_password_is_7_and_leaves_nothing() {
    let directory = tempfile::Builder::new().prefix("plinth-pw-").tempdir().unwrap();
    let server =
        LocalPostgres::start(Options::new(directory.path().join("pg"), Durability::Disposable)).unwrap();
    let address = ServerAddress::of(&server).database(&server.address().database);
    let socket = format!(
        "host={} port={} user={} dbname={}",
        address.host, address.port, address.user, address.database
    );
    let (client, connection) = tokio_postgres::connect(&socket, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
        .batch_execute(
            "CREATE ROLE careful LOGIN SUPERUSER PASSWORD 'the right one';
             DO $do$ BEGIN
                 EXECUTE format('COPY (SELECT ''local all all scram-sha-256'') TO %L', current_setting('hba_file'));
                 PERFORM pg_reload_conf();
             END $do$",
        )
        .await
        .unwrap();
    let store = tempfile::tempdir().unwrap();
    let ops = |password: &str| {
        Ops::new()
            .with(
                "DATABASE_URL",
                &format!(
                    "postgresql://careful:{password}@/{}?host={}&port={}",
                    address.database, address.host, address.port
                ),
            )
            .with("PLINTH_BACKUP_URL", store.path().to_str().unwrap())
            .with("POSTGRES_ENCRYPTION_KEY", test_support::KEY)
    };
    let right = ops("the%20right%20one");
    right.expect(0, &["setup", "--demo"]);
    let wrong = ops("a-wrong-one");
    for arguments in [
        &["backup", "create"][..],
        &["restore", "latest"],
        &["backup", "drill"],
    ] {
        let ran = wrong.run(arguments);
        // Without a backup there is nothing to drill or restore: that comes first.
        let expected = if arguments[1] == "create" { 7 } else { 10 };
        assert_eq!(ran.code, Some(expected), "{arguments:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("a-wrong-one"), "{}", ran.stderr);
    }
    assert_eq!(std::fs::read_dir(store.path()).unwrap().count(), 0);
    right.expect(0, &["backup", "create"]);
    for arguments in [
        &["restore", "latest"][..],
        &["backup", "drill"],
        &["backup", "create"],
    ] {
        wrong.expect(7, arguments);
    }
    let listed = right.expect(0, &["backup", "list", "--json"]).json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 1);
    drop(client);
    server.stop().unwrap();
}

/// What fails is in `backup_runs`, for the metrics and whoever looks.
#[tokio::test]
async fn a_restore_that_failed_is_written_down() {
    let place = Place::new().await;
    let name = place.back_up();
    let dump = place.store.path().join(&name).join("database.0001.dump.zst");
    let good = std::fs::read(&dump).unwrap();
    std::fs::write(&dump, &good[..good.len() / 2]).unwrap();
    place.ops.expect(9, &["restore", &name, "--force"]);
    place
        .ops
        .expect(9, &["restore", &name, "--into", "elsewhere_for_nobody"]);
    let client = place.database.superuser().await;
    let runs = client
        .query(
            "SELECT state, backup, error, finished_at IS NOT NULL FROM backup_runs WHERE kind = 'restore' ORDER BY id",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(runs.len(), 2);
    for run in runs {
        assert_eq!(
            (
                run.get::<_, String>(0),
                run.get::<_, String>(1),
                run.get::<_, bool>(3)
            ),
            ("failed".to_owned(), name.clone(), true)
        );
        assert!(
            run.get::<_, String>(2).contains("instead of"),
            "{}",
            run.get::<_, String>(2)
        );
    }
}

/// A backup of a schema that is older than the program restores to that schema, and nobody is told that it is up to date.
#[tokio::test]
async fn a_stale_schema_comes_back_as_stale() {
    let place = Place::new().await;
    place.ops.expect(0, &["migrate", "revert"]);
    let name = place.back_up();
    place.ops.expect(0, &["backup", "drill", &name]);
    place.ops.expect(0, &["migrate", "run"]);
    let beside = format!("{}_old", place.database.name());
    place.ops.expect(0, &["restore", &name, "--into", &beside]);
    let url = place
        .database
        .url("plinth")
        .replace(place.database.name(), &beside);
    let restored = Ops::new().with("DATABASE_URL", &url);
    restored.expect(2, &["migrate", "show"]);
    restored.expect(0, &["migrate", "run"]);
    let maintenance = place.other("postgres").await;
    maintenance
        .batch_execute(&format!("DROP DATABASE {beside} WITH (FORCE)"))
        .await
        .unwrap();
}

/// Somebody changes the schema by hand: the drill compares with what was backed up, and with nothing else.
#[tokio::test]
async fn a_schema_that_the_backup_has_lost_is_found() {
    let place = Place::new().await;
    let name = place.back_up();
    crate::backup::reseal(&place.manifest(&name), |manifest| {
        manifest["schema"]["fingerprint"] = "0".repeat(64).into();
    });
    place.forget().await;
    let ran = place.ops.expect(9, &["backup", "drill", &name]);
    assert!(ran.stderr.contains("schema"), "{}", ran.stderr);
}

/// The pruning keeps nothing that it need not, as fast as it can, while backups are made and proved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_that_races_a_backup_takes_nothing_that_counts() {
    let place = Place::new().await;
    let stop = AtomicBool::new(false);
    let policy = [
        "backup",
        "prune",
        "--keep-daily",
        "1",
        "--keep-weekly",
        "0",
        "--keep-monthly",
        "0",
    ];
    std::thread::scope(|scope| {
        let pruning = scope.spawn(|| {
            let mut pruned = 0;
            while !stop.load(Ordering::Relaxed) {
                place.ops.expect(0, &policy);
                pruned += 1;
            }
            pruned
        });
        for _ in 0..4 {
            let made = place.ops.expect(0, &["backup", "create", "--json"]).json();
            let name = made["backup"]["backup"].as_str().unwrap();
            // It was said to be there and proved, and it is.
            place.ops.expect(0, &["backup", "verify", name]);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(pruning.join().unwrap() > 4);
    });
    place.ops.expect(0, &policy);
    let listed = place.ops.expect(0, &["backup", "list", "--json"]).json();
    let listed = listed["backups"].as_array().unwrap();
    assert_eq!(listed.len(), 1, "{listed:#?}");
    assert!(listed[0]["standing"] == "complete" && listed[0]["proved_at"].is_string());
    place.ops.expect(0, &["backup", "drill"]);
}

/// A file system of its own that is too small, where one may be mounted; the limit on file sizes (`backup_failures`) does everywhere.
#[tokio::test]
async fn a_file_system_that_is_full() {
    let place = Place::new().await;
    crate::backup::cards(
        &test_support::World::new(place.database.superuser().await),
        "acme",
        20_000,
    )
    .await;
    let small = tempfile::tempdir().unwrap();
    let path = small.path().to_str().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "plinth-test", path])
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        eprintln!("skipped: this user may not mount a file system");
        return;
    }
    let ran = place.ops.run(&["backup", "create", "--at", path]);
    let left = std::fs::read_dir(small.path()).unwrap().count();
    let unmounted = std::process::Command::new("umount").arg(path).status().unwrap();
    assert!(unmounted.success());
    assert_eq!(ran.code, Some(11), "{}", ran.stderr);
    assert!(ran.stderr.contains("No space left"), "{}", ran.stderr);
    assert_eq!(left, 0, "nothing is left");
}

/// The server ends the connections of pg_dump and of the snapshot in the middle of their work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_the_connections_half_way() {
    let place = Place::new().await;
    // Enough for pg_dump to be met at work.
    crate::backup::cards(
        &test_support::World::new(place.database.superuser().await),
        "acme",
        30_000,
    )
    .await;
    let other = place.database.superuser().await;
    for who in ["plinth-ops pg_dump", "plinth-ops"] {
        let child = place.ops.spawn(&["backup", "create", "--no-drill"]);
        crate::support::wait_until(
            &other,
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'plinth-ops pg_dump'",
        )
        .await;
        other
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
                &[&who],
            )
            .await
            .unwrap();
        let ran = test_support::Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(1), "{who}: {}", ran.stderr);
        assert_eq!(std::fs::read_dir(place.store.path()).unwrap().count(), 0, "{who}");
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    place.back_up();
}
