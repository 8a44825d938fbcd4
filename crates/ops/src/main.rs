//! `plinth-ops`: what the people who run an installation do from a command line.

mod backup;
mod cli;
mod commands;
mod doctor;
mod failure;
mod help;
mod jobs;
mod kratos;
mod metrics_server;
mod output;
mod password;
mod program;
mod provision;

use std::process::ExitCode;

use crate::failure::Failure;

fn main() -> ExitCode {
    command_line::main(
        program::NAME,
        |help::Helped(cli)| commands::run(cli),
        Failure::exit_code,
    )
}
