//! What `plinth-ops` and `plinth-seeder` have in common: how a program for people reads its arguments, finds its database, is
//! interrupted, prints, and fails.

mod error;
mod output;
mod program;

pub use error::{CONFIG, NO_DATABASE, ProgramError, USAGE};
pub use output::{json, text};
pub use program::{Program, block_on, load, runtime, start_log};

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// The whole of `main`: reads the command line, runs it, and says why it failed, as `name: …` on stderr, with the failure's
/// exit code.
pub fn main<C: clap::Parser, F: Display>(
    name: &str,
    run: impl FnOnce(C) -> Result<(), F>,
    exit_code: impl FnOnce(&F) -> u8,
) -> ExitCode {
    let cli = match C::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and go to stdout.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(anstream::stderr(), "{name}: {failure}");
            ExitCode::from(exit_code(&failure))
        }
    }
}
