//! Everything that can go wrong, and the exit code that says so. The table is in docs/OPERATIONS.md and in `--help`.

use std::io;

use app_config::ConfigError;
use db_core::migrate::MigrateError;
use db_core::{OwnerError, SystemError};
use pg_connect::ConnectError;
use telemetry::TelemetryError;

const OUT_OF_SYNC: u8 = 1;
const NO_DATABASE: u8 = 7;
const FAILED: u8 = 9;
/// The command line is not valid: `EX_USAGE` of BSD's sysexits. Not clap's 2, which says that migrations are pending.
pub const USAGE: u8 = 64;
/// `EX_CONFIG` of BSD's sysexits.
const CONFIG: u8 = 78;
/// What a shell says of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("out of sync, differences: {0}; run `plinth-seeder apply`")]
    OutOfSync(usize),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    LocalDatabase(#[from] local_postgres::Error),
    #[error(transparent)]
    Owner(#[from] OwnerError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error("{0}; nothing was changed")]
    Seed(#[from] SystemError),
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    #[error("interrupted; nothing was changed")]
    Interrupted,
}

impl Failure {
    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OutOfSync(_) => OUT_OF_SYNC,
            Self::Config(_) | Self::Telemetry(_) => CONFIG,
            Self::LocalDatabase(_)
            | Self::Owner(_)
            | Self::Connect(_)
            | Self::Seed(SystemError::Connect(_)) => NO_DATABASE,
            Self::Migrate(error) => match error.exit_code() {
                // Of a migration that failed, which does not happen here; the history could not be read.
                1 => FAILED,
                code => code,
            },
            Self::Interrupted => INTERRUPTED,
            Self::Seed(_) | Self::Output(_) | Self::Runtime(_) => FAILED,
        }
    }
}
