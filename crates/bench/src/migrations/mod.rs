//! What migrating costs: readers beside a blocked `ALTER TABLE`, and two hundred migrations that do nothing.

mod cluster;
mod many;
mod report;
mod stall;

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use self::cluster::Cluster;
use self::report::Report;
use crate::{report as results, say};

/// Migrations that do nothing.
const MANY: u32 = 200;

/// Measures `plinth-ops migrate run` against psql.
#[derive(Debug, Args)]
pub(crate) struct Migrations {
    /// The program of `plinth-ops`.
    #[arg(long, value_name = "PROGRAM")]
    ops: PathBuf,
    /// One round of everything, to see whether it works; nothing is kept.
    #[arg(long)]
    quick: bool,
    /// Appends the result to this file.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// The commit that is measured, for the results file.
    #[arg(long, default_value = "unknown")]
    commit: String,
}

/// Measures, prints, and keeps what was found.
pub(crate) fn run(asked: &Migrations) -> anyhow::Result<()> {
    let cluster = Cluster::start(&asked.ops)?;
    let directory = tempfile::tempdir()?;
    let (stalls, manies) = if asked.quick { (1, 1) } else { (5, 9) };
    // A thread for those that wait for a program beside the one that reads.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let report = runtime.block_on(async {
        let mut report = Report::new(&cluster.version().await?, &asked.commit, stalls, manies);
        say(&format!("{MANY} migrations that do nothing"))?;
        report.many = many::measure(&cluster, directory.path(), MANY, manies).await?;
        for by in stall::By::ALL {
            say(&format!("readers: {}", by.name()))?;
            report
                .stalls
                .push(stall::measure(&cluster, directory.path(), by, stalls).await?);
        }
        cluster.finish().await?;
        anyhow::Ok(report)
    })?;
    let text = report.render();
    write!(std::io::stdout().lock(), "\n{text}")?;
    if let Some(file) = &asked.results
        && !asked.quick
    {
        results::append(file, &text)?;
    }
    Ok(())
}
