//! Everything that can go wrong, and the exit code that says so. The table is in docs/OPERATIONS.md and in `--help`.

use std::io;
use std::path::PathBuf;

use app_config::ConfigError;
use db_core::OwnerError;
use db_core::migrate::MigrateError;
use db_core::models::domain_system::SystemDomainError;
use db_core::setup::{KeyError, SetupError};
use pg_connect::ConnectError;
use telemetry::TelemetryError;

const FAILED: u8 = 1;
const THERE_ALREADY: u8 = 3;
const NO_DATABASE: u8 = 7;
const NOT_SET_UP: u8 = 8;
/// The command line is not valid: `EX_USAGE` of BSD's sysexits. Not clap's 2, which says that migrations are pending.
pub const USAGE: u8 = 64;
/// `EX_CONFIG` of BSD's sysexits.
const CONFIG: u8 = 78;
/// What a shell says of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
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
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Domain(#[from] SystemDomainError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("no password: {0}")]
    Password(String),
    #[error("no password: {}: {source}", path.display())]
    PasswordFile { path: PathBuf, source: io::Error },
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Telemetry(_) => CONFIG,
            Self::LocalDatabase(_) | Self::Owner(_) | Self::Connect(_) => NO_DATABASE,
            Self::Setup(SetupError::Connect(_)) | Self::Domain(SystemDomainError::Connect(_)) => NO_DATABASE,
            Self::Migrate(error) | Self::Setup(SetupError::Migrate(error)) => error.exit_code(),
            Self::Setup(SetupError::AlreadySetUp) | Self::Domain(SystemDomainError::SlugTaken(_)) => {
                THERE_ALREADY
            }
            Self::Domain(SystemDomainError::NotSetUp) => NOT_SET_UP,
            Self::Setup(SetupError::Invalid { .. }) | Self::Domain(SystemDomainError::Invalid { .. }) => {
                USAGE
            }
            Self::Setup(SetupError::DemoExposed(_)) => CONFIG,
            Self::Interrupted => INTERRUPTED,
            Self::Setup(_)
            | Self::Domain(_)
            | Self::Key(_)
            | Self::Password(_)
            | Self::PasswordFile { .. }
            | Self::Output(_)
            | Self::Runtime(_) => FAILED,
        }
    }
}
