//! What can go wrong in any program, before, around and after its work.

use std::io;

use app_config::ConfigError;
use db_core::OwnerError;
use pg_connect::ConnectError;
use telemetry::TelemetryError;

/// The command line, or a value in it, is not valid: `EX_USAGE` of BSD's sysexits. Not clap's 2, which says that migrations
/// are pending.
pub const USAGE: u8 = 64;
/// The configuration is not valid: `EX_CONFIG` of BSD's sysexits.
pub const CONFIG: u8 = 78;
/// There is no database: it cannot be reached, refuses the login, or the private one cannot be started.
pub const NO_DATABASE: u8 = 7;
/// What a shell says of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Why a program did not get to its work, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log's part of it is not.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// No database is configured, and the private one cannot stand in.
    #[error(transparent)]
    LocalDatabase(#[from] local_postgres::Error),
    /// There is no owner to work as.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// The database cannot be reached, or refuses the login.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// stdout takes nothing.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    /// The system gives no runtime or no signals.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    /// Somebody wants the program to end.
    #[error("interrupted; what was not committed is undone")]
    Interrupted,
}

impl ProgramError {
    /// The exit code, the same for every program; `None` where the program has one of its own for what just failed.
    /// The table is in docs/OPERATIONS.md.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Self::Config(_) | Self::Telemetry(_) => Some(CONFIG),
            Self::LocalDatabase(_) | Self::Owner(_) | Self::Connect(_) => Some(NO_DATABASE),
            Self::Interrupted => Some(INTERRUPTED),
            Self::Output(_) | Self::Runtime(_) => None,
        }
    }
}
