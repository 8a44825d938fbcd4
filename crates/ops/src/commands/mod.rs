//! One file for each command.

pub mod backup;
mod backup_report;
mod config;
mod confirm;
pub mod doctor;
mod domain;
pub mod domain_rows;
pub mod keys;
pub mod migrate;
pub mod provision;
mod setup;
pub mod verify;
mod worker;

use clap::CommandFactory as _;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::output;

/// Runs the command.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let settings = cli.settings;
    match cli.command {
        Command::Config(command) => config::run(command, settings),
        Command::Migrate(command) => migrate::run(command, settings),
        Command::Setup(options) => setup::run(options, settings),
        Command::Domain(command) => domain::run(command, settings),
        Command::Backup(command) => backup::run(command, settings),
        Command::Restore(options) => backup::restore(options, settings),
        Command::Keys(command) => keys::run(command, settings),
        Command::Worker(options) => worker::run(options, settings),
        Command::Provision(options) => provision::run(options, settings),
        Command::Verify(command) => verify::run(command, settings),
        Command::Doctor(options) => doctor::run(options, settings),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "plinth-ops", &mut script);
            output::text(&String::from_utf8_lossy(&script))
        }
    }
}
