//! Everything that can go wrong, and the exit code that says so. The table is in docs/OPERATIONS.md and in `--help`.

use std::io;
use std::path::PathBuf;

use app_config::ConfigError;
use command_line::{CONFIG, NO_DATABASE, ProgramError, USAGE};
use db_core::OpenError;
use db_core::provision::ProvisionError;
use db_core::secrets::keys::KeysError;
use db_core::setup::{KeyError, SetupError};
use db_migrate::MigrateError;
use pg_connect::ConnectError;

use crate::backup::BackupError;
use crate::backup::domain::DomainError;
use crate::commands::migrate::lint::LintError;

const FAILED: u8 = 1;
const THERE_ALREADY: u8 = 3;
const DRIFT: u8 = 3;
const NOT_SET_UP: u8 = 8;
const PENDING: u8 = 2;
const BUSY: u8 = 12;
const NOT_IN_ORDER: u8 = 14;

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error("interrupted; {0}")]
    InterruptedHalfway(MigrateError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Domain(#[from] ProvisionError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("jobs: {0}")]
    Jobs(String),
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Lint(#[from] LintError),
    #[error("the schema has drifted: {0}")]
    Drift(String),
    #[error("not everything is in order: {0}")]
    Doctor(String),
    #[error(transparent)]
    Provision(#[from] crate::provision::ProvisionError),
    #[error("the database {0} is not migrated by Kratos")]
    KratosNotThere(String),
    #[error("Kratos has to migrate its database: {} missing", crate::output::count(*.0, "migration"))]
    KratosPending(usize),
    #[error("the worker is not ready: {0}")]
    Unhealthy(String),
    #[error("{0} did not pass")]
    Verify(String),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    DomainRows(#[from] DomainError),
    #[error("no password: {0}")]
    Password(String),
    #[error("no password: {}: {source}", path.display())]
    PasswordFile { path: PathBuf, source: io::Error },
}

// What any program may fail of has its exit code in one place.
impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Program(error.into())
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::Program(error.into())
    }
}

impl Failure {
    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Program(error) => error.exit_code().unwrap_or(FAILED),
            Self::InterruptedHalfway(_) => ProgramError::Interrupted.exit_code().unwrap_or(FAILED),
            Self::Setup(SetupError::Connect(_))
            | Self::Domain(ProvisionError::Connect(_))
            | Self::Open(OpenError::Connect(_)) => NO_DATABASE,
            Self::Migrate(error) | Self::Setup(SetupError::Migrate(error)) => error.exit_code(),
            Self::Setup(SetupError::AlreadySetUp) | Self::Domain(ProvisionError::SlugTaken(_)) => {
                THERE_ALREADY
            }
            Self::Domain(ProvisionError::NotSetUp) | Self::Keys(KeysError::NotSetUp) => NOT_SET_UP,
            Self::Keys(KeysError::Connect(_)) => NO_DATABASE,
            Self::Keys(KeysError::Unknown { .. }) => USAGE,
            Self::Keys(KeysError::Newest(_) | KeysError::StillNeeded { .. } | KeysError::Held { .. }) => BUSY,
            Self::Setup(SetupError::Invalid { .. }) | Self::Domain(ProvisionError::Invalid { .. }) => USAGE,
            Self::Setup(SetupError::DemoExposed(_)) => CONFIG,
            Self::Drift(_) => DRIFT,
            Self::Doctor(_) => NOT_IN_ORDER,
            Self::Provision(crate::provision::ProvisionError::Connect(_)) => NO_DATABASE,
            Self::Provision(crate::provision::ProvisionError::Invalid(_)) => USAGE,
            Self::Provision(crate::provision::ProvisionError::Busy) => BUSY,
            Self::Provision(_) => FAILED,
            Self::KratosNotThere(_) => NOT_SET_UP,
            Self::KratosPending(_) => PENDING,
            Self::Backup(error) => error.exit_code(),
            Self::DomainRows(error) => error.exit_code(),
            Self::Lint(error) if error.is_usage() => USAGE,
            Self::Usage(_) => USAGE,
            Self::Setup(_)
            | Self::Domain(_)
            | Self::Key(_)
            | Self::Open(_)
            | Self::Jobs(_)
            | Self::Keys(_)
            | Self::Lint(_)
            | Self::Unhealthy(_)
            | Self::Verify(_)
            | Self::Password(_)
            | Self::PasswordFile { .. } => FAILED,
        }
    }
}
