//! Jobs come and go, while a transaction is held open and while none is.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use job_queue::Acknowledge;

use crate::Arguments;
use crate::numbers::{median, quantile};
use crate::ours::Bench;
use crate::report::Report;
use crate::scratch::{ACME, Server};

/// Enqueued and run, round after round. Jobs each second, of each round.
async fn rounds(bench: &Bench, seconds: u64) -> Vec<f64> {
    const ROUND: u64 = 10_000;
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
        rates.push(ROUND as f64 / round.elapsed().as_secs_f64());
        if begun.elapsed().as_secs() / 20 > told {
            told = begun.elapsed().as_secs() / 20;
            crate::say(&format!(
                "after {} s: {:.0} jobs/s",
                told * 20,
                rates.last().unwrap()
            ));
        }
    }
    rates
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
    let last: Vec<f64> = held.iter().rev().take(held.len() / 5 + 1).copied().collect();
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
    let usual = median(&free);
    report.paragraph(&format!(
        "Enqueued and run in rounds of 10,000 by one process: {usual:.0} jobs/s. With a transaction held open for {} s: {:.0} jobs/s, {:.2} of \
         that; in the last fifth of the time {:.0}, {:.2} of that; the slowest twentieth of the rounds {:.0} or less (without: {:.0}).",
        arguments.held,
        median(&held),
        median(&held) / usual,
        median(&last),
        median(&last) / usual,
        quantile(&held, 0.05),
        quantile(&free, 0.05),
    ));
    report.paragraph(&format!(
        "Bloat: at the end of it {jobs} completed jobs and {dead} dead rows, table {table}, indexes {indexes} ({:.0} bytes a job). Once the \
         transaction ended, VACUUM took {:.1} s; then {:.0} jobs/s, {:.2} of the usual; after that {dead_after} dead rows, table {table_after}, \
         indexes {indexes_after}: the room of the dead is used again.",
        bytes(&bench).await / jobs as f64,
        vacuum.as_secs_f64(),
        median(&after),
        median(&after) / usual,
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
