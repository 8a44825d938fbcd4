//! What requests cost: for each kind of request the server by session and by API key, then pgbench (the floors).

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::database::Database;
use crate::report::{self, Measured, Report};
use crate::server::Server;
use crate::workload::{Credentials, Kind, Request, Scheme};
use crate::{floors, http, say, usage, waits};

/// Connections that the load generator keeps busy.
const CONNECTIONS: usize = 32;

/// Measures the server against what PostgreSQL alone can do.
#[derive(Debug, Args)]
pub(crate) struct Requests {
    /// The server's program.
    #[arg(long, value_name = "PROGRAM")]
    server: PathBuf,
    /// Small data and short runs, to see whether it works; the figures mean nothing and are not kept.
    #[arg(long)]
    quick: bool,
    /// How long each figure is measured.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Only these requests.
    #[arg(long, value_name = "REQUEST")]
    only: Vec<Request>,
    /// Leaves the floors out; for profiling the server.
    #[arg(long)]
    no_floors: bool,
    /// Appends the result to this file.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// The commit that is measured, for the results file.
    #[arg(long, default_value = "unknown")]
    commit: String,
}

/// How much is loaded and how long is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Tenants; each has 1,000 cards.
    pub(crate) domains: u32,
    /// How long each figure is measured.
    pub(crate) measure: Duration,
    /// How long each measurement runs before it counts.
    pub(crate) warm_up: Duration,
    /// Requests by which the waits of each kind are counted.
    pub(crate) waits_sample: u32,
}

/// Measures, prints, and keeps what was found.
pub(crate) fn run(cli: &Requests) -> anyhow::Result<()> {
    let seconds = |default| Duration::from_secs(cli.seconds.unwrap_or(default).max(1));
    let plan = if cli.quick {
        Plan {
            domains: 100,
            measure: seconds(1),
            warm_up: Duration::from_millis(300),
            waits_sample: 5,
        }
    } else {
        Plan {
            domains: 1_000,
            measure: seconds(4),
            warm_up: Duration::from_secs(1),
            waits_sample: 10,
        }
    };
    let requests = if cli.only.is_empty() {
        Request::ALL.to_vec()
    } else {
        cli.only.clone()
    };

    let database = Database::prepare(plan)?;
    let credentials = Credentials::create(&database, plan.domains)?;
    say(&format!(
        "waits of a request for the database ({} of each kind)",
        plan.waits_sample
    ))?;
    let waits = waits::count(&cli.server, &database, &credentials, &requests, plan.waits_sample)?;

    let server = Server::start(&cli.server, &database, &database.url(), &[])?;
    let mut report = Report::new(&database, &cli.commit, plan);
    for request in requests {
        for kind in Kind::ALL {
            say(&format!("{request}: the server, by {kind}"))?;
            database.settle()?;
            let prepared = credentials.requests(request, kind, server.address());
            let load = http::measure(server.address(), CONNECTIONS, plan, &prepared, || {
                usage::sample(server.pid(), &database)
            })
            .with_context(|| {
                format!(
                    "{request} by {kind}; the server's log is {}",
                    server.log().display()
                )
            })?;
            report.measured.push(Measured {
                request,
                kind,
                load,
                waits: waits.of(request, kind),
            });
        }
        // After the server: pgbench's cards have ranks that the server could not go on from.
        if !cli.no_floors {
            for scheme in Scheme::of(request) {
                say(&format!("{request}: pgbench, {scheme}"))?;
                report
                    .floors
                    .push(floors::measure(&database, plan, request, *scheme)?);
            }
        }
    }
    report.peak_memory_kib = usage::peak_memory_kib(server.pid())?;
    server.stop()?;
    let text = report.render();
    write!(std::io::stdout().lock(), "\n{text}")?;
    if let Some(file) = &cli.results
        && !cli.quick
    {
        report::append(file, &text)?;
    }
    database.finish()
}
