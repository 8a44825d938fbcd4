//! job-queue itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use job_queue::{Acknowledge, Connector, Job, NewJob, Notifier, Registry, Worker, WorkerOptions, enqueue};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Arguments;
use crate::numbers::median;
use crate::report::Report;
use crate::scratch::{ACME, Database, GLOBEX, Server};

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

/// A database, and what its jobs say.
pub(crate) struct Bench {
    pub(crate) db: Database,
    pub(crate) done: Arc<AtomicU64>,
    pings: Arc<Mutex<Vec<Instant>>>,
}

pub(crate) struct RunningWorker {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl RunningWorker {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl Bench {
    pub(crate) async fn new(server: &Server) -> Self {
        Self {
            db: server.database().await,
            done: Arc::default(),
            pings: Arc::default(),
        }
    }

    pub(crate) fn worker(&self, acknowledge: Acknowledge) -> RunningWorker {
        let (done, pings) = (Arc::clone(&self.done), Arc::clone(&self.pings));
        let registry = Registry::new()
            .handle(move |_, _: Nothing| {
                done.fetch_add(1, Ordering::Relaxed);
                std::future::ready(Ok(()))
            })
            .handle(move |_, _: Ping| {
                pings.lock().unwrap().push(Instant::now());
                std::future::ready(Ok(()))
            });
        // All else is the default.
        let mut options = WorkerOptions::new("bench");
        options.acknowledge = acknowledge;
        let stop = CancellationToken::new();
        let worker = Worker::new(&self.db.connector(), registry, options);
        RunningWorker {
            stop: stop.clone(),
            task: tokio::spawn(worker.run(stop)),
        }
    }

    pub(crate) async fn fill(&self, domain: Uuid, jobs: u64) {
        let mut client = self.db.client().await;
        let notifier = Notifier::start(&Connector::plain(self.db.config.clone()));
        for begin in (0..jobs).step_by(5000) {
            let batch: Vec<_> = (begin..jobs.min(begin + 5000))
                .map(|number| {
                    NewJob::new(Uuid::now_v7(), &Nothing { number })
                        .unwrap()
                        .in_domain(domain)
                })
                .collect();
            enqueue(&mut client, &batch).await.unwrap();
            notifier.notify("default");
        }
        // It sends for as long as it lives.
        tokio::time::sleep(Notifier::TICK).await;
    }

    /// Milliseconds from commit to start, one job at a time, for as long as `go_on` says.
    pub(crate) async fn pings(&self, count: usize, go_on: impl Fn() -> bool) -> Vec<f64> {
        self.pings.lock().unwrap().clear();
        let notifier = Notifier::start(&Connector::plain(self.db.config.clone()));
        let mut client = self.db.client().await;
        let mut took = Vec::new();
        while took.len() < count && go_on() {
            // Not in step with anything that ticks.
            tokio::time::sleep(Duration::from_micros(
                12_000 + Uuid::new_v4().as_u128() as u64 % 20_000,
            ))
            .await;
            let job = NewJob::new(Uuid::now_v7(), &Ping {}).unwrap().in_domain(GLOBEX);
            enqueue(&mut client, &[job]).await.unwrap();
            let committed = Instant::now();
            notifier.notify("default");
            let limit = committed + Duration::from_secs(60);
            while self.pings.lock().unwrap().len() <= took.len() && Instant::now() < limit {
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            let started = self.pings.lock().unwrap()[took.len()];
            took.push(started.saturating_duration_since(committed).as_secs_f64() * 1e3);
        }
        took
    }
}

/// From the start of the worker to the last completion in the table.
async fn drain(server: &Server, jobs: u64, acknowledge: Acknowledge) -> f64 {
    let bench = Bench::new(server).await;
    bench.fill(ACME, jobs).await;
    let client = bench.db.client().await;
    crate::settle(&client).await;
    let begun = Instant::now();
    let worker = bench.worker(acknowledge);
    while bench.done.load(Ordering::Relaxed) < jobs {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let running = "SELECT EXISTS (SELECT FROM queue_jobs WHERE state = 'running')";
    while client.query_one(running, &[]).await.unwrap().get(0) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let rate = jobs as f64 / begun.elapsed().as_secs_f64();
    worker.stop().await;
    let completed: i64 = client
        .query_one(
            "SELECT count(*) FROM queue_jobs WHERE state = 'completed' AND attempt = 1",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        u64::try_from(completed).unwrap(),
        jobs,
        "some were not completed, or run twice"
    );
    rate
}

pub(crate) async fn throughput(server: &Server, arguments: &Arguments, report: &mut Report) {
    for (acknowledge, setting, label) in [
        (Acknowledge::Batched, "default", "batched"),
        (
            Acknowledge::EachAlone,
            "default, `Acknowledge::EachAlone`",
            "one by one",
        ),
    ] {
        let mut rates = Vec::new();
        for _ in 0..arguments.rounds {
            rates.push(drain(server, arguments.jobs, acknowledge).await);
        }
        report.rate("job-queue", setting, label, median(&rates), "");
    }
    let bench = Bench::new(server).await;
    let worker = bench.worker(Acknowledge::Batched);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = bench.pings(500, || true).await;
    report.pick_up("job-queue", "default", &idle);
    worker.stop().await;
}
