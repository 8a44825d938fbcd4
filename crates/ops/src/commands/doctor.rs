//! `plinth-ops doctor`

use std::io::Write as _;

use app_config::Environment;
use clap::Args;

use crate::cli::Json;
use crate::doctor::{self, Report, Status, display};
use crate::failure::Failure;
use crate::output;
use crate::program::{self, block_on};

#[derive(Debug, Args)]
pub struct Doctor {
    /// How many servers run at once, each with DATABASE_POOL_SIZE connections
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub replicas: u32,
    /// Warnings count as failures
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub json: Json,
}

pub fn run(options: Doctor, settings: Vec<String>) -> Result<(), Failure> {
    let report = examine(&options, settings)?;
    if options.json.json {
        output::json(&report)?;
    } else {
        output::text(&display::text(&report))?;
    }
    let failed = report.status == Status::Failed || (options.strict && report.status == Status::Warning);
    if failed {
        return Err(Failure::Doctor(display::summary(&report)));
    }
    Ok(())
}

fn examine(options: &Doctor, settings: Vec<String>) -> Result<Report, Failure> {
    let environment = Environment::from_process();
    let mut loaded = match program::load(settings) {
        Ok(loaded) => loaded,
        Err(error) => return Ok(doctor::misconfigured(&error)),
    };
    if loaded.config.database.address.is_none() {
        let _ = writeln!(
            anstream::stderr(),
            "{}: no database is configured: looking at the private one of this directory",
            program::NAME
        );
    }
    let local = match local_postgres::stand_in(&mut loaded.config) {
        Ok(local) => local,
        Err(error) => {
            return Ok(doctor::without_database(
                &loaded,
                &environment,
                &error.to_string(),
            ));
        }
    };
    let report =
        block_on(async { Ok::<_, Failure>(doctor::examine(&loaded, &environment, options.replicas).await) });
    // It runs for as long as it was looked at.
    drop(local);
    report
}
