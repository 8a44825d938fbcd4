//! Measures the queue beside others on one PostgreSQL of its own: `scripts/bench-queue` builds and runs it.
//!
//! `bench-queue [--jobs 20000] [--waiting 1000000] [--held 300] [--rounds 3] [--peers <folder>] [--node <program>]
//! [--commit <text>] [--how <text>] [--results <file>]`
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a measuring program: what goes wrong ends it"
)]

mod bare;
mod beside;
mod held;
mod numbers;
mod ours;
mod peers;
mod report;

use std::io::Write as _;
use std::path::PathBuf;

use local_postgres::Durability;

#[path = "../../tests/it/scratch.rs"]
mod scratch;

use scratch::Server;

struct Arguments {
    /// Jobs for each figure of throughput.
    jobs: u64,
    /// Waiting jobs of the one domain.
    waiting: u64,
    /// Seconds that the transaction is held open.
    held: u64,
    /// Runs of which the median counts.
    rounds: u64,
    /// Folder with the peers' node_modules and peer.mjs.
    peers: Option<PathBuf>,
    node: String,
    commit: String,
    /// How it was run, for the results.
    how: String,
    results: Option<PathBuf>,
}

impl Arguments {
    fn read() -> Self {
        let mut arguments = Self {
            jobs: 20_000,
            waiting: 1_000_000,
            held: 300,
            rounds: 3,
            peers: None,
            node: "node".to_owned(),
            commit: "unknown".to_owned(),
            how: String::new(),
            results: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(name) = words.next() {
            let value = words.next().unwrap_or_else(|| panic!("{name} wants a value"));
            let number = || {
                value
                    .parse()
                    .unwrap_or_else(|_| panic!("{name} wants a number, not {value}"))
            };
            match name.as_str() {
                "--jobs" => arguments.jobs = number(),
                "--waiting" => arguments.waiting = number(),
                "--held" => arguments.held = number(),
                "--rounds" => arguments.rounds = number(),
                "--peers" => arguments.peers = Some(value.into()),
                "--node" => arguments.node = value,
                "--commit" => arguments.commit = value,
                "--how" => arguments.how = value,
                "--results" => arguments.results = Some(value.into()),
                _ => panic!("unknown argument {name}"),
            }
        }
        arguments
    }
}

/// What is going on, for whoever waits.
fn say(text: &str) {
    writeln!(std::io::stderr().lock(), "bench-queue: {text}").unwrap();
}

/// Every measurement begins on a tidy table, right after a checkpoint.
async fn settle(client: &tokio_postgres::Client) {
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    client.batch_execute("CHECKPOINT").await.unwrap();
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let root = local_postgres::default_state_dir(std::path::Path::new("."))
        .unwrap()
        .join("bench");
    std::fs::create_dir_all(&root).unwrap();
    let directory = tempfile::Builder::new()
        .prefix("queue")
        .tempdir_in(&root)
        .unwrap();
    let path = directory.path().join("pg");
    let server = tokio::task::spawn_blocking(move || Server::start(&path, Durability::Durable, None, &[]))
        .await
        .unwrap();

    let mut report = report::Report::new(&server, &arguments).await;
    bare::measure(&server, &arguments, &mut report).await;
    ours::throughput(&server, &arguments, &mut report).await;
    peers::measure(&server, &arguments, &mut report).await;
    beside::measure(&server, &arguments, &mut report).await;
    held::measure(&server, &arguments, &mut report).await;

    let text = report.finish();
    write!(std::io::stdout().lock(), "{text}").unwrap();
    if let Some(file) = &arguments.results {
        let before = std::fs::read_to_string(file).unwrap_or_default();
        std::fs::write(file, format!("{}\n\n{text}", before.trim_end())).unwrap();
    }
    tokio::task::spawn_blocking(move || server.local.unwrap().stop().unwrap())
        .await
        .unwrap();
}
