//! Jobs come and go, while a transaction is held open and while none is.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use job_queue::Acknowledge;

use crate::Arguments;
use crate::numbers::quantile;
use crate::ours::Bench;
use crate::report::Report;
use crate::scratch::{ACME, Server};

const ROUND: u64 = 10_000;

/// Seconds that each round took. (The median of the rounds says little: a single one that takes a minute does not change it.)
struct Rounds(Vec<f64>);

impl Rounds {
    /// Jobs each second, all of the time counted.
    fn rate(&self) -> f64 {
        self.0.len() as f64 * ROUND as f64 / self.0.iter().sum::<f64>()
    }

    /// Those of the last fifth of the time.
    fn last_fifth(&self) -> Self {
        let whole: f64 = self.0.iter().sum();
        let mut before = 0.0;
        let late = self.0.iter().filter(|seconds| {
            before += **seconds;
            before > whole * 0.8
        });
        Self(late.copied().collect())
    }

    fn longest(&self) -> f64 {
        quantile(&self.0, 1.0)
    }
}

/// Enqueued and run, round after round.
async fn rounds(bench: &Bench, seconds: u64) -> Rounds {
    let begun = Instant::now();
    let mut rates = Vec::new();
    let mut told = 0;
    while begun.elapsed().as_secs() < seconds {
        let round = Instant::now();
        let wanted = bench.done.load(Ordering::Relaxed) + ROUND;
        bench.fill(ACME, ROUND).await;
        while bench.done.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        rates.push(round.elapsed().as_secs_f64());
        if begun.elapsed().as_secs() / 20 > told {
            told = begun.elapsed().as_secs() / 20;
            crate::say(&format!(
                "after {} s: {:.0} jobs/s",
                told * 20,
                ROUND as f64 / rates.last().unwrap()
            ));
        }
    }
    Rounds(rates)
}

async fn sizes(bench: &Bench) -> (String, i64, String) {
    let client = bench.db.client().await;
    let row = client
        .query_one(
            "SELECT pg_size_pretty(pg_table_size('queue_jobs')), n_dead_tup, pg_size_pretty(pg_indexes_size('queue_jobs'))
               FROM pg_stat_user_tables WHERE relname = 'queue_jobs'",
            &[],
        )
        .await
        .unwrap();
    (row.get(0), row.get(1), row.get(2))
}

pub(crate) async fn measure(server: &Server, arguments: &Arguments, report: &mut Report) {
    if arguments.held == 0 {
        return;
    }
    crate::say("enqueueing and running, with no transaction held");
    let bench = Bench::new(server).await;
    let worker = bench.worker(Acknowledge::Batched);
    let free = rounds(&bench, (arguments.held / 5).max(5)).await;
    worker.stop().await;

    crate::say(&format!(
        "the same, with a transaction held open for {} s",
        arguments.held
    ));
    let bench = Bench::new(server).await;
    let mut holder = bench.db.client().await;
    let open = holder
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .start()
        .await
        .unwrap();
    open.query("SELECT count(*) FROM queue_jobs", &[]).await.unwrap();
    let worker = bench.worker(Acknowledge::Batched);
    let held = rounds(&bench, arguments.held).await;
    let jobs = bench.done.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (table, dead, indexes) = sizes(&bench).await;
    open.rollback().await.unwrap();
    let begun = Instant::now();
    bench
        .db
        .client()
        .await
        .batch_execute("VACUUM queue_jobs")
        .await
        .unwrap();
    let vacuum = begun.elapsed();
    let after = rounds(&bench, 10).await;
    worker.stop().await;
    let (table_after, dead_after, indexes_after) = sizes(&bench).await;
    let usual = free.rate();
    let last = held.last_fifth().rate();
    report.paragraph(&format!(
        "Enqueued and run in rounds of 10,000 by one process: {usual:.0} jobs/s, all of the time counted. With a transaction held open for {} s: \
         {:.0} jobs/s, {:.2} of that; in the last fifth of the time {last:.0}, {:.2} of that; the longest round took {:.1} s (without: {:.1} s).",
        arguments.held,
        held.rate(),
        held.rate() / usual,
        last / usual,
        held.longest(),
        free.longest(),
    ));
    report.paragraph(&format!(
        "Bloat: at the end of it {jobs} completed jobs and {dead} dead rows, table {table}, indexes {indexes} ({:.0} bytes a job). Once the \
         transaction ended, VACUUM took {:.1} s; then {:.0} jobs/s, {:.2} of the usual; after that {dead_after} dead rows, table {table_after}, \
         indexes {indexes_after}: the room of the dead is used again.",
        bytes(&bench).await / jobs as f64,
        vacuum.as_secs_f64(),
        after.rate(),
        after.rate() / usual,
    ));
}

async fn bytes(bench: &Bench) -> f64 {
    let row = bench
        .db
        .client()
        .await
        .query_one("SELECT pg_total_relation_size('queue_jobs')::float8", &[])
        .await
        .unwrap();
    row.get(0)
}
