//! Workers that are killed and frozen, a database that is restarted, and cleaning up all the while: nothing is lost, nothing is
//! completed twice under a lease, every repeated attempt is explained, and the counts are exact. `make queue-chaos` runs it at full size.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use job_queue::{NewBatch, batch_progress, enqueue, seal};
use local_postgres::Durability;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::kinds::{Inside, Plain};
use crate::processes::{TABLES, WorkerProcess};
use crate::scratch::{ACME, Database, GLOBEX, Server};
use crate::support::{id, job, number};

/// Any completion at all, and any worker whose jobs are taken away, noted by the database itself.
const WITNESS: &str = "CREATE TABLE completions (job_id uuid, attempt int, worker_id uuid, kind text, batch_id uuid, errors jsonb);
    CREATE TABLE fences (worker_id uuid, lease_until timestamptz, at timestamptz DEFAULT clock_timestamp());
    GRANT ALL ON completions, fences TO plinth_system;
    CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO completions VALUES (old.id, old.attempt, old.worker_id, old.kind, old.batch_id, old.errors); RETURN NULL; END $$;
    CREATE TRIGGER witness AFTER UPDATE ON queue_jobs FOR EACH ROW
        WHEN (new.state = 'completed' AND old.state IS DISTINCT FROM new.state) EXECUTE FUNCTION witness();
    CREATE FUNCTION fenced() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO fences VALUES (new.id, old.lease_until); RETURN NULL; END $$;
    CREATE TRIGGER fenced AFTER UPDATE ON queue_workers FOR EACH ROW
        WHEN (old.fenced_at IS NULL AND new.fenced_at IS NOT NULL) EXECUTE FUNCTION fenced();";

const WORKERS: usize = 4;
const HEARTBEAT: Duration = Duration::from_millis(1000);
/// Completed jobs are deleted after this long, in the middle of everything.
const KEPT: Duration = Duration::from_millis(1500);
/// Jobs that wait for an hour from now, beside those that run.
const PENDING: u64 = 100;

/// Numbers that a seed repeats (xorshift64*).
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .filter(|text| !text.is_empty())
        .map(|text| text.parse().unwrap())
}

struct Postgres {
    server: Option<Server>,
    directory: PathBuf,
    binaries: Option<PathBuf>,
}

impl Postgres {
    fn start(directory: PathBuf) -> Self {
        let binaries = std::env::var_os("PLINTH_POSTGRES_BIN")
            .filter(|it| !it.is_empty())
            .map(PathBuf::from);
        let server = Some(Server::start(
            &directory,
            Durability::Durable,
            binaries.clone(),
            &[],
        ));
        Self {
            server,
            directory,
            binaries,
        }
    }

    /// As if the power had failed, but for the machine: every connection breaks, and recovery follows.
    fn restart_at_once(&mut self) {
        let pid_file = find(&self.directory, "postmaster.pid").unwrap();
        let pid = std::fs::read_to_string(pid_file)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        kill(Pid::from_raw(pid), Signal::SIGQUIT).unwrap();
        while kill(Pid::from_raw(pid), None).is_ok() && !is_zombie(pid) {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(self.server.take());
        self.server = Some(Server::start(
            &self.directory,
            Durability::Durable,
            self.binaries.clone(),
            &[],
        ));
    }

    fn stop(mut self) {
        self.server.take().unwrap().local.unwrap().stop().unwrap();
    }
}

fn is_zombie(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

fn find(directory: &std::path::Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(directory).ok()?.flatten() {
        let path = entry.path();
        if path.file_name().is_some_and(|it| it == name) {
            return Some(path);
        }
        if path.is_dir()
            && !path.is_symlink()
            && let Some(found) = find(&path, name)
        {
            return Some(found);
        }
    }
    None
}

async fn fill(db: &Database, jobs: u64, batch: Uuid, dice: &mut Dice) {
    let mut client = db.client().await;
    client.batch_execute(TABLES).await.unwrap();
    client.batch_execute(WITNESS).await.unwrap();
    NewBatch::new(batch, "chaos")
        .in_domain(ACME)
        .create(&mut client)
        .await
        .unwrap();
    let pending: Vec<_> = (0..PENDING)
        .map(|n| {
            let new = job(&Plain {
                sleep_ms: 0,
                failures: 0,
            })
            .queue("later");
            if n % 2 == 0 {
                new
            } else {
                new.delay(Duration::from_secs(3600))
            }
        })
        .collect();
    enqueue(&mut client, &pending).await.unwrap();
    for begin in (0..jobs).step_by(1000) {
        let some: Vec<_> = (begin..jobs.min(begin + 1000))
            .map(|number| {
                let new = if dice.next(3) == 0 {
                    job(&Inside {
                        sleep_ms: dice.next(50),
                    })
                } else {
                    job(&Plain {
                        sleep_ms: dice.next(50),
                        failures: i32::from(dice.next(20) == 0),
                    })
                };
                // Each fifth for the other domain; of the others, half in the batch.
                match number % 5 {
                    0 => new.in_domain(GLOBEX),
                    1 | 2 => new.in_batch(batch),
                    _ => new,
                }
            })
            .collect();
        enqueue(&mut client, &some).await.unwrap();
    }
    assert!(seal(&mut client, Some(ACME), batch).await.unwrap());
}

async fn left(db: &Database) -> Option<i64> {
    let ask = async {
        let (client, connection) = db.config.connect(tokio_postgres::NoTls).await.ok()?;
        tokio::spawn(connection);
        let row = client
            .query_one(
                "SELECT count(*) FROM queue_jobs WHERE finished_at IS NULL AND queue = 'default'",
                &[],
            )
            .await
            .ok()?;
        Some(row.get(0))
    };
    tokio::time::timeout(Duration::from_secs(10), ask).await.ok()?
}

fn worker(db: &Database, number: usize) -> WorkerProcess {
    WorkerProcess::start_with(&db.config, &format!("worker {number}"), HEARTBEAT, Some(KEPT))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_is_completed_twice() {
    let jobs = setting("PLINTH_TEST_CHAOS_JOBS").unwrap_or(10_000);
    let restarts = setting("PLINTH_TEST_CHAOS_RESTARTS").unwrap_or(1);
    let seed = setting("PLINTH_TEST_CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 7919 + 1);
    eprintln!(
        "chaos: PLINTH_TEST_CHAOS_SEED={seed} PLINTH_TEST_CHAOS_JOBS={jobs} PLINTH_TEST_CHAOS_RESTARTS={restarts}"
    );
    let mut dice = Dice(seed.max(1));

    let root = local_postgres::default_state_dir(std::path::Path::new("."))
        .unwrap()
        .join("tests");
    std::fs::create_dir_all(&root).unwrap();
    let directory = tempfile::Builder::new()
        .prefix("chaos")
        .tempdir_in(&root)
        .unwrap();
    let path = directory.path().join("pg");
    let mut postgres = tokio::task::spawn_blocking(move || Postgres::start(path))
        .await
        .unwrap();
    let db = postgres.server.as_ref().unwrap().database().await;
    let batch = id();
    fill(&db, jobs, batch, &mut dice).await;

    let begun = Instant::now();
    let mut workers: Vec<_> = (0..WORKERS).map(|number| worker(&db, number)).collect();
    let (mut kills, mut stops, mut restarted) = (0, 0, 0);
    let limit = Duration::from_secs(60 + jobs / 50);
    let mut frozen: Vec<(Instant, usize)> = Vec::new();
    loop {
        tokio::time::sleep(Duration::from_millis(200 + dice.next(500))).await;
        assert!(
            begun.elapsed() < limit,
            "seed {seed}: not done after {limit:?}; {:?} jobs left",
            left(&db).await
        );
        let Some(unfinished) = left(&db).await else {
            continue;
        };
        if unfinished == 0 {
            break;
        }
        for (_, number) in frozen.extract_if(.., |(until, _)| Instant::now() >= *until) {
            workers[number].signal(Signal::SIGCONT);
        }
        // Spread evenly over the work.
        if restarted < restarts
            && u64::try_from(unfinished).unwrap() * (restarts + 1) <= jobs * (restarts - restarted)
        {
            restarted += 1;
            postgres = tokio::task::spawn_blocking(move || {
                postgres.restart_at_once();
                postgres
            })
            .await
            .unwrap();
            continue;
        }
        let number = usize::try_from(dice.next(WORKERS as u64)).unwrap();
        if frozen.iter().any(|(_, it)| *it == number) {
            continue;
        }
        match dice.next(3) {
            0 => {
                kills += 1;
                let fresh = worker(&db, number);
                std::mem::replace(&mut workers[number], fresh).kill();
            }
            1 => {
                stops += 1;
                workers[number].signal(Signal::SIGSTOP);
                // Sometimes shorter than a lease, sometimes longer.
                frozen.push((
                    Instant::now() + Duration::from_millis(300 + dice.next(3000)),
                    number,
                ));
            }
            _ => {}
        }
    }
    let took = begun.elapsed();
    for (_, number) in frozen {
        workers[number].signal(Signal::SIGCONT);
    }
    // Zombies get time to try.
    tokio::time::sleep(HEARTBEAT * 2).await;
    examine(&db.client().await, jobs, batch, seed).await;
    assert_eq!(restarted, restarts, "seed {seed}");
    drop(workers);

    let client = db.client().await;
    let lost = number(
        &client,
        "SELECT count(*) FROM completions c, jsonb_array_elements(c.errors) e WHERE e->>'outcome' = 'lost'",
    )
    .await;
    assert!(
        kills + stops > 0 && (lost > 0 || jobs < 5000),
        "seed {seed}: {kills} kills and {stops} stops took no lease: nothing was tried"
    );
    let runs = number(&client, "SELECT count(*) FROM runs").await;
    let plain = number(&client, "SELECT count(*) FROM completions WHERE kind = 'plain'").await;
    eprintln!(
        "chaos: {jobs} jobs in {:.1} s; {kills} killed, {stops} frozen, {restarted} restarts; {lost} attempts lost with their leases; \
         {runs} runs of {plain} plain jobs",
        took.as_secs_f64()
    );
    drop(client);
    tokio::task::spawn_blocking(move || postgres.stop())
        .await
        .unwrap();
}

async fn examine(client: &Client, jobs: u64, batch: Uuid, seed: u64) {
    let jobs = i64::try_from(jobs).unwrap();
    let expect = async |what: &str, sql: &str, wanted: i64| {
        let found = number(client, sql).await;
        assert_eq!(found, wanted, "seed {seed}: {what}");
    };
    for (what, sql, wanted) in [
        ("jobs that are left unfinished", "SELECT count(*) FROM queue_jobs WHERE state <> 'completed' AND queue = 'default'", 0),
        ("jobs that wait for later", "SELECT count(*) FROM queue_jobs WHERE state IN ('scheduled', 'available') AND queue = 'later'", i64::try_from(PENDING).unwrap()),
        ("completions", "SELECT count(*) FROM completions", jobs),
        ("jobs that were completed", "SELECT count(DISTINCT job_id) FROM completions", jobs),
        // Each attempt but the one that completed the job is explained (the last twenty of them are kept).
        (
            "attempts without an explanation",
            "SELECT count(*) FROM completions WHERE jsonb_array_length(errors) <> least(attempt - 1, 20)",
            0,
        ),
        (
            "attempts taken away whose lease had not ended",
            "SELECT count(*) FROM completions c, jsonb_array_elements(c.errors) e
              WHERE e->>'outcome' = 'lost'
                AND NOT EXISTS (SELECT FROM fences f WHERE e->>'error' = 'the lease of worker ' || f.worker_id || ' ran out'
                                   AND f.lease_until < f.at)",
            0,
        ),
        // Lost by a lease, failed by itself (once, as it was told to, or by the restart), handed back by whoever held it.
        (
            "repeats of another kind",
            "SELECT count(*) FROM completions c, jsonb_array_elements(c.errors) e
              WHERE e->>'outcome' NOT IN ('lost', 'retry', 'released')",
            0,
        ),
        (
            "runs of attempts that never were",
            "SELECT count(*) FROM runs r JOIN completions c USING (job_id) WHERE r.attempt > c.attempt",
            0,
        ),
        (
            "attempts that ran twice",
            "SELECT count(*) - count(DISTINCT (job_id, attempt)) FROM runs",
            0,
        ),
        (
            "plain jobs that completed without a run of that attempt",
            "SELECT count(*) FROM completions c WHERE c.kind = 'plain'
                AND NOT EXISTS (SELECT FROM runs r WHERE r.job_id = c.job_id AND r.attempt = c.attempt)",
            0,
        ),
        (
            "effects of jobs that complete themselves, beyond one each",
            "SELECT count(*) - (SELECT count(*) FROM completions WHERE kind = 'inside') FROM effects",
            0,
        ),
        (
            "effects of another attempt than the completing one",
            "SELECT count(*) FROM effects e JOIN completions c USING (job_id) WHERE e.attempt <> c.attempt",
            0,
        ),
    ] {
        expect(what, sql, wanted).await;
    }
    let members = number(
        client,
        "SELECT count(*) FROM completions WHERE batch_id IS NOT NULL",
    )
    .await;
    for _ in 0..100 {
        if batch_progress(client, ACME, batch)
            .await
            .unwrap()
            .unwrap()
            .finished_at
            .is_some()
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let progress = batch_progress(client, ACME, batch).await.unwrap().unwrap();
    assert!(progress.finished_at.is_some(), "seed {seed}: {progress:?}");
    let counts = (
        progress.total,
        progress.succeeded,
        progress.failed,
        progress.cancelled,
    );
    assert_eq!(counts, (members, members, 0, 0), "seed {seed}");
}
