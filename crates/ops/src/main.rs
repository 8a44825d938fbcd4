//! `plinth-ops`: what the people who run an installation do from a command line.

mod backup;
mod cli;
mod commands;
mod failure;
mod output;
mod password;
mod program;

use std::process::ExitCode;

use crate::failure::Failure;

fn main() -> ExitCode {
    command_line::main(program::NAME, commands::run, Failure::exit_code)
}
