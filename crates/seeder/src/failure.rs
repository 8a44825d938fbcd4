//! Everything that can go wrong, and the exit code that says so. The table is in docs/OPERATIONS.md and in `--help`.

use command_line::{NO_DATABASE, ProgramError};
use db_core::SystemError;
use db_migrate::MigrateError;

const OUT_OF_SYNC: u8 = 1;
const FAILED: u8 = 9;

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("out of sync, differences: {0}; run `plinth-seeder apply`")]
    OutOfSync(usize),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error("{0}; nothing was changed")]
    Seed(#[from] SystemError),
}

impl Failure {
    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OutOfSync(_) => OUT_OF_SYNC,
            Self::Program(error) => error.exit_code().unwrap_or(FAILED),
            Self::Seed(SystemError::Connect(_)) => NO_DATABASE,
            Self::Migrate(error) => match error.exit_code() {
                // Of a migration that failed, which does not happen here; the history could not be read.
                1 => FAILED,
                code => code,
            },
            Self::Seed(_) => FAILED,
        }
    }
}
