//! Measures the queue: `cargo run --release --example bench -- [jobs] [seconds of an open transaction] [waiting jobs]`.
//!
//! Starts a PostgreSQL of its own with PostgreSQL's own settings (data written through to the disk), and takes it with it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring program: what goes wrong ends it"
)]

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use job_queue::{Acknowledge, Connector, Job, NewJob, Notifier, Registry, Worker, WorkerOptions, enqueue};
use local_postgres::Durability;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[path = "../tests/it/scratch.rs"]
mod scratch;

use scratch::{ACME, Database, GLOBEX, Server};

#[derive(serde::Serialize, serde::Deserialize)]
struct Nothing {
    number: u64,
}

impl Job for Nothing {
    const NAME: &'static str = "nothing";
}

/// A job whose start is timed.
#[derive(serde::Serialize, serde::Deserialize)]
struct Ping {}

impl Job for Ping {
    const NAME: &'static str = "ping";
}

struct Bench {
    db: Database,
    done: Arc<AtomicU64>,
    pings: Arc<Mutex<Vec<Instant>>>,
}

fn say(text: &str) {
    writeln!(std::io::stdout().lock(), "{text}").unwrap();
}

impl Bench {
    async fn new(server: &Server) -> Self {
        Self {
            db: server.database().await,
            done: Arc::default(),
            pings: Arc::default(),
        }
    }

    fn registry(&self) -> Registry {
        let (done, pings) = (Arc::clone(&self.done), Arc::clone(&self.pings));
        Registry::new()
            .handle(move |_, _: Nothing| {
                done.fetch_add(1, Ordering::Relaxed);
                std::future::ready(Ok(()))
            })
            .handle(move |_, _: Ping| {
                pings.lock().unwrap().push(Instant::now());
                std::future::ready(Ok(()))
            })
    }

    fn worker(
        &self,
        change: impl FnOnce(&mut WorkerOptions),
    ) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let mut options = WorkerOptions::new("bench");
        change(&mut options);
        let stop = CancellationToken::new();
        let worker = Worker::new(&self.db.connector(), self.registry(), options);
        (stop.clone(), tokio::spawn(worker.run(stop)))
    }

    async fn fill(&self, domain: Uuid, jobs: u64) {
        let mut client = self.db.client().await;
        for begin in (0..jobs).step_by(5000) {
            let batch: Vec<_> = (begin..jobs.min(begin + 5000))
                .map(|number| {
                    NewJob::new(Uuid::now_v7(), &Nothing { number })
                        .unwrap()
                        .in_domain(domain)
                })
                .collect();
            enqueue(&mut client, &batch).await.unwrap();
        }
        client.batch_execute("ANALYZE queue_jobs").await.unwrap();
    }

    /// Jobs each second, from the first claim to the last completion in the table.
    async fn drain(&self, jobs: u64, change: impl FnOnce(&mut WorkerOptions)) -> f64 {
        let client = self.db.client().await;
        let begin = Instant::now();
        let (stop, running) = self.worker(change);
        while self.done.load(Ordering::Relaxed) < jobs {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        while client
            .query_one(
                "SELECT EXISTS (SELECT FROM queue_jobs WHERE state = 'running')",
                &[],
            )
            .await
            .unwrap()
            .get(0)
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let rate = jobs as f64 / begin.elapsed().as_secs_f64();
        stop.cancel();
        running.await.unwrap();
        let completed: i64 = client
            .query_one("SELECT count(*) FROM queue_jobs WHERE state = 'completed'", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(completed as u64, jobs, "some were not completed");
        rate
    }

    /// Milliseconds from commit to start, one job at a time.
    async fn pings(&self, count: usize, pause: Duration) -> Vec<f64> {
        self.pings.lock().unwrap().clear();
        let notifier = Notifier::start(&Connector::plain(self.db.config.clone()));
        let mut client = self.db.client().await;
        let mut took = Vec::new();
        for sent in 0..count {
            tokio::time::sleep(pause).await;
            let job = NewJob::new(Uuid::now_v7(), &Ping {}).unwrap().in_domain(GLOBEX);
            enqueue(&mut client, &[job]).await.unwrap();
            let committed = Instant::now();
            notifier.notify("default");
            let limit = committed + Duration::from_secs(60);
            while self.pings.lock().unwrap().len() <= sent && Instant::now() < limit {
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            let started = self.pings.lock().unwrap()[sent];
            took.push(started.saturating_duration_since(committed).as_secs_f64() * 1e3);
        }
        took.sort_by(f64::total_cmp);
        took
    }
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() as f64 * q) as usize).min(sorted.len() - 1)]
}

fn show(name: &str, pings: &[f64]) {
    say(&format!(
        "{name}: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms ({} jobs)",
        quantile(pings, 0.5),
        quantile(pings, 0.95),
        quantile(pings, 0.99),
        pings.len()
    ));
}

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|word| word.parse::<u64>().expect("a number"));
    let jobs = numbers.next().unwrap_or(20_000);
    let held = numbers.next().unwrap_or(60);
    let waiting = numbers.next().unwrap_or(1_000_000);
    let directory = tempfile::Builder::new()
        .prefix("job-queue-bench")
        .tempdir_in("/var/lib")
        .unwrap();
    let path = directory.path().join("pg");
    let server = tokio::task::spawn_blocking(move || Server::start(&path, Durability::Durable, None, &[]))
        .await
        .unwrap();

    let bench = Bench::new(&server).await;
    bench.fill(ACME, jobs).await;
    let rate = bench.drain(jobs, |_| {}).await;
    say(&format!("in batches (the default): {rate:.0} jobs/s"));

    let bench = Bench::new(&server).await;
    bench.fill(ACME, jobs).await;
    let rate = bench
        .drain(jobs, |options| options.acknowledge = Acknowledge::EachAlone)
        .await;
    say(&format!("acknowledged one by one: {rate:.0} jobs/s"));

    let bench = Bench::new(&server).await;
    let (stop, running) = bench.worker(|_| {});
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = bench.pings(300, Duration::from_millis(15)).await;
    show("pick-up when idle, from the commit to the start", &idle);
    if waiting > 0 {
        bench.fill(ACME, waiting).await;
        let beside = bench.pings(300, Duration::from_millis(15)).await;
        show(
            &format!("pick-up beside another domain's {waiting} waiting jobs"),
            &beside,
        );
        say(&format!(
            "p95 grew {:.1} times; {} jobs of the other domain ran meanwhile",
            quantile(&beside, 0.95) / quantile(&idle, 0.95),
            bench.done.load(Ordering::Relaxed)
        ));
    }
    stop.cancel();
    running.await.unwrap();

    if held > 0 {
        hold(&server, held, jobs).await;
    }
    tokio::task::spawn_blocking(move || server.local.unwrap().stop().unwrap())
        .await
        .unwrap();
}

/// Jobs come and go while a transaction is held open.
async fn hold(server: &Server, seconds: u64, jobs: u64) {
    let bench = Bench::new(server).await;
    let mut holder = bench.db.client().await;
    let open = holder
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .start()
        .await
        .unwrap();
    open.query("SELECT count(*) FROM queue_jobs", &[]).await.unwrap();
    let (stop, running) = bench.worker(|_| {});
    let begin = Instant::now();
    let mut sent = 0;
    while begin.elapsed().as_secs() < seconds {
        let round = Instant::now();
        bench.fill(ACME, jobs).await;
        sent += jobs;
        let filled = round.elapsed();
        while bench.done.load(Ordering::Relaxed) < sent {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = round.elapsed();
        say(&format!(
            "open for {:>3} s: {jobs} enqueued in {:.2} s, enqueued and run in {:.2} s: {:.0} jobs/s",
            begin.elapsed().as_secs(),
            filled.as_secs_f64(),
            took.as_secs_f64(),
            jobs as f64 / took.as_secs_f64()
        ));
    }
    open.rollback().await.unwrap();
    stop.cancel();
    running.await.unwrap();
    let size: String = bench
        .db
        .client()
        .await
        .query_one("SELECT pg_size_pretty(pg_total_relation_size('queue_jobs'))", &[])
        .await
        .unwrap()
        .get(0);
    say(&format!("{sent} jobs; the table is {size}"));
}
