//! The floor: what a loop does that claims and finishes in one statement, and is no queue beyond that. No lease, no retry, no order
//! between domains, nothing kept of an error.

use std::time::Instant;

use crate::Arguments;
use crate::numbers::median;
use crate::report::Report;
use crate::scratch::{Server, connect};

const CLIENTS: usize = 4;

pub(crate) async fn measure(server: &Server, arguments: &Arguments, report: &mut Report) {
    for (at_once, label) in [(1_i64, "one by one"), (100, "in hundreds")] {
        let mut rates = Vec::new();
        for _ in 0..arguments.rounds {
            rates.push(drain(server, arguments.jobs, at_once).await);
        }
        let rate = median(&rates);
        if at_once == 1 {
            report.floor = rate;
        }
        report.rate("bare `SKIP LOCKED` loop", "4 clients", label, rate, "");
    }
}

async fn drain(server: &Server, jobs: u64, at_once: i64) -> f64 {
    let config = server.database().await.config;
    let client = connect(&config).await;
    client
        .batch_execute(&format!(
            "CREATE TABLE bare (id bigint PRIMARY KEY, done boolean NOT NULL DEFAULT false, payload jsonb NOT NULL);
             CREATE INDEX ON bare (id) WHERE NOT done;
             INSERT INTO bare SELECT n, false, '{{}}' FROM generate_series(1, {jobs}) n"
        ))
        .await
        .unwrap();
    crate::settle(&client).await;
    let begun = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let config = config.clone();
        clients.spawn(async move {
            let client = connect(&config).await;
            let work = client
                .prepare(
                    "UPDATE bare SET done = true WHERE id = ANY (ARRAY(
                         SELECT id FROM bare WHERE NOT done ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))",
                )
                .await
                .unwrap();
            while client.execute(&work, &[&at_once]).await.unwrap() > 0 {}
        });
    }
    clients.join_all().await;
    jobs as f64 / begun.elapsed().as_secs_f64()
}
