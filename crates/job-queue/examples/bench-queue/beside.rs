//! One domain has very many waiting jobs; another one's, one at a time, are timed beside them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use job_queue::Acknowledge;

use crate::Arguments;
use crate::numbers::quantile;
use crate::ours::Bench;
use crate::report::Report;
use crate::scratch::{ACME, Server};

pub(crate) async fn measure(server: &Server, arguments: &Arguments, report: &mut Report) {
    if arguments.waiting == 0 {
        return;
    }
    let bench = Bench::new(server).await;
    let worker = bench.worker(Acknowledge::Batched);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = bench.pings(500, || true).await;
    worker.stop().await;
    crate::say(&format!("enqueueing {} jobs of one domain", arguments.waiting));
    bench.fill(ACME, arguments.waiting).await;
    let client = bench.db.client().await;
    crate::settle(&client).await;
    let worker = bench.worker(Acknowledge::Batched);
    while bench.done.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let done = std::sync::Arc::clone(&bench.done);
    let most = arguments.waiting * 9 / 10;
    // Only while there are very many.
    let beside = bench
        .pings(500, move || done.load(Ordering::Relaxed) < most)
        .await;
    let ran = bench.done.load(Ordering::Relaxed);
    worker.stop().await;
    let (before, after) = (quantile(&idle, 0.95), quantile(&beside, 0.95));
    report.paragraph(&format!(
        "Another domain's jobs, one at a time, from commit to start: alone p50 {:.1} ms, p95 {before:.1} ms; beside a domain with {} waiting \
         jobs that are run as fast as can be ({ran} of them meanwhile) p50 {:.1} ms, p95 {after:.1} ms ({} jobs): p95 {:.1} times as long.",
        quantile(&idle, 0.5),
        arguments.waiting,
        quantile(&beside, 0.5),
        beside.len(),
        after / before,
    ));
}
