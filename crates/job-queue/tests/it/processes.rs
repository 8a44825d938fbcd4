//! Workers in processes of their own, so that they can be killed.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_postgres::Config;

use crate::kinds::{Forever, Inside, Plain};
use crate::scratch::Database;
use crate::support::{add, database, job, number, until};

/// Tables in which the worker process notes what it does.
pub const TABLES: &str =
    "CREATE TABLE runs (job_id uuid, attempt int, pid bigint, at timestamptz DEFAULT clock_timestamp());
    CREATE TABLE effects (job_id uuid PRIMARY KEY, attempt int);
    GRANT ALL ON runs, effects TO plinth_system";

/// A worker process; killed at the end at the latest.
pub struct WorkerProcess(pub Child);

impl WorkerProcess {
    pub fn start(config: &Config, name: &str, heartbeat: Duration) -> Self {
        Self::start_with(config, name, heartbeat, None)
    }

    /// One that deletes completed jobs after so long.
    pub fn start_with(config: &Config, name: &str, heartbeat: Duration, kept: Option<Duration>) -> Self {
        let mut child = Command::new(program())
            .arg(libpq(config))
            .arg(name)
            .arg(heartbeat.as_millis().to_string())
            .args(kept.map(|kept| kept.as_millis().to_string()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The example `queue-worker`, which cargo builds with the tests.
fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    path.push("queue-worker");
    assert!(
        path.exists(),
        "{} is not there: cargo build --package job-queue --example queue-worker",
        path.display()
    );
    path
}

fn libpq(config: &Config) -> String {
    let tokio_postgres::config::Host::Unix(directory) = &config.get_hosts()[0] else {
        panic!("not a socket")
    };
    format!(
        "host={} port={} user={} dbname={} options='-c role=plinth_system'",
        directory.display(),
        config.get_ports()[0],
        config.get_user().unwrap(),
        config.get_dbname().unwrap()
    )
}

async fn prepared() -> Database {
    let db = database().await;
    db.client().await.batch_execute(TABLES).await.unwrap();
    db
}

#[tokio::test]
async fn the_jobs_of_a_killed_worker_are_taken_up_within_two_heartbeats() {
    let db = prepared().await;
    let mut client = db.client().await;
    let heartbeat = Duration::from_millis(1000);
    let victim = WorkerProcess::start(&db.config, "victim", heartbeat);
    let id = add(
        &mut client,
        job(&Plain {
            sleep_ms: 600,
            failures: 0,
        }),
    )
    .await;
    until(&client, "SELECT count(*) = 1 FROM runs").await;
    let _survivor = WorkerProcess::start(&db.config, "survivor", heartbeat);
    until(&client, "SELECT count(*) = 2 FROM queue_workers").await;
    victim.kill();
    let killed = Instant::now();
    until(&client, "SELECT count(*) = 2 FROM runs").await;
    let took = killed.elapsed();
    // What the machine adds when it is busy stands in the second number.
    assert!(took < heartbeat * 2 + Duration::from_millis(1500), "{took:?}");
    until(
        &client,
        &format!("SELECT state = 'completed' AND attempt = 2 FROM queue_jobs WHERE id = '{id}'"),
    )
    .await;
    assert_eq!(
        number(
            &client,
            "SELECT count(*) FROM queue_workers WHERE name = 'victim'"
        )
        .await,
        0
    );
}

#[tokio::test]
async fn a_worker_that_was_frozen_finds_its_leases_gone() {
    let db = prepared().await;
    let mut client = db.client().await;
    let heartbeat = Duration::from_millis(400);
    let frozen = WorkerProcess::start(&db.config, "frozen", heartbeat);
    // Noted when it ends, together with its completion.
    let id = add(&mut client, job(&Inside { sleep_ms: 500 })).await;
    until(
        &client,
        "SELECT count(*) = 1 FROM queue_jobs WHERE state = 'running'",
    )
    .await;
    let first = client
        .query_one("SELECT worker_id FROM queue_jobs", &[])
        .await
        .unwrap()
        .get::<_, uuid::Uuid>(0);
    frozen.signal(Signal::SIGSTOP);
    let _other = WorkerProcess::start(&db.config, "other", heartbeat);
    // It may not hold up the job for ever by a transaction that nobody ends: its row is locked only once it completes.
    until(
        &client,
        &format!("SELECT state <> 'running' OR worker_id <> '{first}' FROM queue_jobs WHERE id = '{id}'"),
    )
    .await;
    frozen.signal(Signal::SIGCONT);
    until(
        &client,
        &format!("SELECT state = 'completed' FROM queue_jobs WHERE id = '{id}'"),
    )
    .await;
    until(
        &client,
        "SELECT count(*) = 1 FROM queue_workers WHERE name = 'frozen'",
    )
    .await;
    let row = client
        .query_one(
            "SELECT e.attempt, j.attempt FROM effects e JOIN queue_jobs j ON j.id = e.job_id",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(
        row.get::<_, i32>(0),
        row.get::<_, i32>(1),
        "one effect, of the attempt that completed the job"
    );
    assert!(row.get::<_, i32>(0) > 1);
}

#[tokio::test]
async fn a_terminated_worker_leaves_nothing_behind() {
    let db = prepared().await;
    let mut client = db.client().await;
    let mut worker = WorkerProcess::start(&db.config, "w", Duration::from_secs(30));
    let id = add(&mut client, job(&Forever {})).await;
    until(
        &client,
        "SELECT count(*) = 1 FROM queue_jobs WHERE state = 'running'",
    )
    .await;
    worker.signal(Signal::SIGTERM);
    assert!(worker.0.wait().unwrap().success());
    let row = client
        .query_one(
            "SELECT state, max_attempts - attempt FROM queue_jobs WHERE id = $1",
            &[&id],
        )
        .await
        .unwrap();
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, i32>(1)),
        ("available", 3),
        "no attempt was lost"
    );
    assert_eq!(number(&client, "SELECT count(*) FROM queue_workers").await, 0);
}
