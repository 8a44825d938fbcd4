//! `plinth-seeder`: brings permissions, system roles and what each role gives in step with this version of Plinth.

mod cli;
mod failure;
mod seed;

use std::process::ExitCode;

use crate::failure::Failure;

fn main() -> ExitCode {
    command_line::main(seed::NAME, seed::run, Failure::exit_code)
}
