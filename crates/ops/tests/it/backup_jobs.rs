//! Backups by themselves: `plinth-ops worker` makes, proves and prunes them on a schedule, and says how old they are.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::time::Duration;

use test_support::TestDatabase;

use crate::backup::Place;
use crate::support::{Ops, wait_until};

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn stop(child: Child) {
    let told = std::process::Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(told.success());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn metric(port: u16, name: &str) -> f64 {
    use std::io::Write as _;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("{name} in {text}"));
    line.trim().parse().unwrap()
}

fn scheduled(place: Place, schedule: &str, port: u16) -> (TestDatabase, Ops, tempfile::TempDir) {
    let Place { database, ops, store } = place;
    let ops = ops
        .with("PLINTH_BACKUP_SCHEDULE", schedule)
        .with("PLINTH_BACKUP_DRILL_SCHEDULE", "off")
        .with("PLINTH_BACKUP_PRUNE_SCHEDULE", schedule)
        .with("PLINTH_JOBS_METRICS_BIND", &format!("127.0.0.1:{port}"));
    (database, ops, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_proved_and_pruned_on_a_schedule_with_their_age_as_a_metric() {
    let place = Place::new().await;
    let old = place.back_up();
    let port = free_port();
    let (database, ops, store) = scheduled(place, "*/2 * * * * *", port);
    let client = database.superuser().await;
    let worker = ops.spawn(&["worker"]);
    let both = "SELECT count(DISTINCT kind) = 2 FROM backup_runs WHERE state = 'succeeded' AND backup <> '";
    for _ in 0..6 {
        // A build machine may be slow.
        if client
            .query_one(&format!("{both}{old}'"), &[])
            .await
            .unwrap()
            .get(0)
        {
            break;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    wait_until(&client, &format!("{both}{old}'")).await;
    let age = metric(port, "plinth_backup_age_seconds");
    assert!((0.0..600.0).contains(&age), "{age}");
    let proof = metric(port, "plinth_backup_proof_age_seconds");
    assert!((0.0..600.0).contains(&proof), "{proof}");
    assert!(metric(port, "plinth_backup_size_bytes") > 1000.0);
    assert!(metric(port, "plinth_backup_last_failed{kind=\"backup\"}") < 0.5);
    let pruned = "SELECT count(*) > 0 FROM queue_jobs WHERE kind = 'prune_backups' AND state = 'completed'";
    wait_until(&client, pruned).await;
    stop(worker);
    assert!(store.path().read_dir().unwrap().count() > 0);
    let row = client
        .query_one(
            "SELECT count(*), count(*) FILTER (WHERE details ->> 'rows' IS NOT NULL) FROM backup_runs WHERE kind = 'drill' AND state = 'succeeded'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), row.get::<_, i64>(1));

    // Turned off, the schedules go.
    let ops = ops
        .with("PLINTH_BACKUP_SCHEDULE", "off")
        .with("PLINTH_BACKUP_PRUNE_SCHEDULE", "off");
    let worker = ops.spawn(&["worker"]);
    wait_until(
        &client,
        "SELECT count(*) = 0 FROM queue_schedules WHERE kind IN ('make_backup', 'prove_backup', 'prune_backups')",
    )
    .await;
    stop(worker);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_fails_is_no_backup_and_a_schedule_that_is_none_is_refused() {
    let place = Place::new().await;
    let port = free_port();
    let (database, ops, store) = scheduled(place, "*/2 * * * * *", port);
    let empty = tempfile::tempdir().unwrap();
    let ops = ops.with("PLINTH_POSTGRES_BIN", empty.path().to_str().unwrap());
    let client = database.superuser().await;
    let worker = ops.spawn(&["worker"]);
    wait_until(
        &client,
        "SELECT count(*) > 0 FROM queue_jobs WHERE kind = 'make_backup' AND state = 'dead' AND errors::text LIKE '%there is no pg_dump%'",
    )
    .await;
    stop(worker);
    assert_eq!(store.path().read_dir().unwrap().count(), 0);
    let ops = ops.with("PLINTH_BACKUP_SCHEDULE", "every night");
    let ran = ops.run(&["worker"]);
    assert!(
        ran.code != Some(0) && ran.stderr.contains("every night"),
        "{}",
        ran.stderr
    );
}
