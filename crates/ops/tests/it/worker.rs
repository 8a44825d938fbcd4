//! `plinth-ops worker`: runs jobs, waits for its database, stops in good order, and is replaced when it is killed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use db_core::Clock;
use db_core::rbac::SystemRole;
use test_support::{ACME, TestDatabase, World};
use uuid::Uuid;

use crate::support::Ops;

/// The program, running, and what it logs.
pub struct Worker {
    child: Child,
    lines: Receiver<String>,
    pub log: String,
}

impl Worker {
    pub fn start(ops: &Ops, arguments: &[&str]) -> Self {
        let mut all = vec!["worker"];
        all.extend(arguments);
        let mut child = ops
            .command(&all)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            lines,
            log: String::new(),
        }
    }

    /// Waits until it says so. Returns the line.
    pub fn says(&mut self, words: &str) -> String {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(30) {
            let Ok(line) = self.lines.recv_timeout(Duration::from_millis(100)) else {
                continue;
            };
            self.log.push_str(&line);
            self.log.push('\n');
            if line.contains(words) {
                return line;
            }
        }
        panic!("it does not say {words:?}: {}", self.log);
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Waits for its end, for so many seconds at most.
    pub fn ends(&mut self, seconds: u64) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(seconds) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end: {}", self.log);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ops(database: &TestDatabase) -> Ops {
    Ops::on(database)
        .with("PLINTH_JOBS_METRICS_BIND", "127.0.0.1:0")
        .with("PLINTH_JOBS_SHUTDOWN_GRACE", "1s")
}

/// An assignment that has ended, and the job of the core's that takes it away.
pub async fn expiry(world: &World) -> (Uuid, Uuid) {
    let email = format!("{}@acme.test", Clock::System.uuid().simple());
    let user = world.user(ACME, &email).await;
    let assignment = world.assign(ACME, user, SystemRole::Viewer, None, None).await;
    let end = "UPDATE user_roles SET expires_at = now() - interval '1 second' WHERE id = $1";
    world.client().execute(end, &[&assignment]).await.unwrap();
    let job = Clock::System.uuid();
    let sql = "INSERT INTO queue_jobs (domain_id, id, queue, kind, state, turn, max_attempts, payload)
               VALUES (platform_domain_id(), $1, 'maintenance', 'expire_assignments', 'available', 1, 10, '{}')";
    world.client().execute(sql, &[&job]).await.unwrap();
    (assignment, job)
}

pub async fn until(world: &World, condition: &str) {
    let started = Instant::now();
    while !world
        .client()
        .query_one(condition, &[])
        .await
        .unwrap()
        .get::<_, bool>(0)
    {
        assert!(started.elapsed() < Duration::from_secs(60), "never: {condition}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn gone(assignment: Uuid) -> String {
    format!("SELECT NOT EXISTS (SELECT FROM user_roles WHERE id = '{assignment}')")
}

#[tokio::test]
async fn it_runs_jobs_serves_metrics_and_stops_when_told_to() {
    let database = TestDatabase::new().await;
    let world = World::new(database.superuser().await);
    let mut worker = Worker::start(&ops(&database), &["--concurrency", "2"]);
    let line = worker.says("metrics on http://");
    worker.says("runs jobs");
    let (assignment, job) = expiry(&world).await;
    until(&world, &gone(assignment)).await;
    until(
        &world,
        &format!("SELECT NOT EXISTS (SELECT FROM queue_jobs WHERE id = '{job}')"),
    )
    .await;
    let queues = "SELECT queues = ARRAY['default', 'maintenance', 'operations'] AND concurrency = 2 + 4 + 1 FROM queue_workers";
    until(&world, queues).await;

    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let found = answer.lines().any(|line| {
        line.starts_with("job_queue_attempts_total")
            && line.contains("kind=\"expire_assignments\"")
            && line.contains("outcome=\"completed\"")
    });
    assert!(answer.starts_with("HTTP/1.1 200") && found, "{answer}");

    worker.signal("-TERM");
    assert_eq!(worker.ends(20), Some(0), "{}", worker.log);
    // Nothing is left that another would have to wait for.
    until(
        &world,
        "SELECT NOT EXISTS (SELECT FROM queue_workers WHERE fenced_at IS NULL AND lease_until > now())",
    )
    .await;
}

/// What a container's health check asks, from before the database is set up until it is gone.
#[tokio::test]
async fn its_health_is_asked_for() {
    let database = TestDatabase::empty().await;
    let ask = |bind: &str| {
        ops(&database)
            .with("PLINTH_JOBS_METRICS_BIND", bind)
            .run(&["worker", "--healthcheck"])
    };
    let mut worker = Worker::start(&ops(&database), &[]);
    let line = worker.says("metrics on http://");
    let bind = line.split("http://").nth(1).unwrap().split('/').next().unwrap();
    worker.says("waiting: ");
    let ran = ask(bind);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("set up and migrated"), "{}", ran.stderr);

    ops(&database).expect(0, &["setup"]);
    worker.says("runs jobs");
    let ran = ask(bind);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);

    let elsewhere = TestDatabase::empty().await;
    let client = elsewhere.superuser().await;
    let shut = format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", database.name());
    client.batch_execute(&shut).await.unwrap();
    let ran = ask(bind);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("does not answer"), "{}", ran.stderr);

    worker.signal("-TERM");
    worker.ends(20);
    let ran = ask(bind);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("refused"), "{}", ran.stderr);
    let open = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", database.name());
    client.batch_execute(&open).await.unwrap();
    let both = ops(&database).run(&["worker", "--healthcheck", "--queue", "default"]);
    assert_eq!(both.code, Some(64), "{}", both.stderr);
}

/// While the first one is frozen in the middle of the job, it is killed; the second one takes the job over within two heartbeats.
#[tokio::test]
async fn a_killed_worker_s_job_is_done_by_another() {
    let database = TestDatabase::new().await;
    let world = World::new(database.superuser().await);
    let ops = ops(&database);
    let mut first = Worker::start(&ops, &[]);
    first.says("runs jobs");
    // The job waits for this lock.
    let holder = database.superuser().await;
    holder
        .batch_execute("BEGIN; LOCK TABLE activity_stream IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let (assignment, job) = expiry(&world).await;
    until(
        &world,
        &format!("SELECT state = 'running' FROM queue_jobs WHERE id = '{job}'"),
    )
    .await;
    let mut second = Worker::start(&ops, &["--queue", "maintenance"]);
    second.says("runs jobs");
    first.signal("-KILL");
    assert_eq!(first.ends(10), None, "ended by the signal");
    let killed = Instant::now();
    until(
        &world,
        &format!("SELECT attempt = 2 AND state = 'running' FROM queue_jobs WHERE id = '{job}'"),
    )
    .await;
    assert!(
        killed.elapsed() < Duration::from_secs(20),
        "{:?}",
        killed.elapsed()
    );
    holder.batch_execute("ROLLBACK").await.unwrap();
    until(&world, &gone(assignment)).await;
    until(
        &world,
        &format!("SELECT NOT EXISTS (SELECT FROM queue_jobs WHERE id = '{job}')"),
    )
    .await;
    let noted = "SELECT count(*) = 1 FROM activity_stream WHERE action = 'role.expire'";
    until(&world, noted).await;
}

#[tokio::test]
async fn it_waits_for_a_database_that_is_away_or_not_set_up() {
    let nobody = Ops::new()
        .with("DATABASE_URL", "postgresql://plinth@127.0.0.1:9/plinth")
        .with("PLINTH_JOBS_METRICS_BIND", "127.0.0.1:0");
    let mut worker = Worker::start(&nobody, &[]);
    worker.says("waiting: ");
    worker.signal("-INT");
    assert_eq!(worker.ends(20), Some(0), "{}", worker.log);

    let database = TestDatabase::empty().await;
    let ops = ops(&database);
    let mut worker = Worker::start(&ops, &[]);
    worker.says("not set up yet");
    ops.expect(
        0,
        &[
            "setup",
            "--operator-email",
            "op@plinth.test",
            "--domain-slug",
            "acme",
        ],
    );
    worker.says("runs jobs");
    worker.signal("-TERM");
    assert_eq!(worker.ends(20), Some(0), "{}", worker.log);
}

#[tokio::test]
async fn a_queue_that_there_is_not_is_named() {
    let database = TestDatabase::new().await;
    let ran = ops(&database).expect(64, &["worker", "--queue", "mail"]);
    assert!(
        ran.stderr.contains("default, maintenance, operations"),
        "{}",
        ran.stderr
    );
}
