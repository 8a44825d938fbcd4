//! `bench`: measures Plinth against what PostgreSQL alone can do with the same statements.
//!
//! One run, one machine, one cluster of its own. Everything shares the machine's cores, so requests/s say what a request
//! costs in all. How to read the figures: `bench/README.md`.

mod database;
mod dataset;
mod floors;
mod http;
mod migrations;
mod report;
mod requests;
mod server;
mod usage;
mod waits;
mod workload;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

/// Measures Plinth against what PostgreSQL alone can do.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
enum Cli {
    /// The server's requests, beside pgbench
    Requests(requests::Requests),
    /// `plinth-ops migrate run`, beside psql
    Migrations(migrations::Migrations),
}

fn main() -> ExitCode {
    let result = match Cli::parse() {
        Cli::Requests(asked) => requests::run(&asked),
        Cli::Migrations(asked) => migrations::run(&asked),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere to report that the error cannot be reported.
            let _ = writeln!(std::io::stderr(), "bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Tells whoever waits what is going on.
pub(crate) fn say(what: &str) -> std::io::Result<()> {
    writeln!(std::io::stderr(), "bench: {what}")
}
