//! Why a domain was not exported, restored, copied or erased, and the exit code that says so.

use command_line::USAGE;
use pg_connect::ConnectError;

use super::super::BackupError;

const FAILED: u8 = 1;
const THERE_ALREADY: u8 = 3;
const OTHER_SCHEMA: u8 = 4;
const NOT_TRUE: u8 = 9;
const NO_DOMAIN: u8 = 10;

/// Why a command about one domain's rows did not do what it was asked for. Nothing was changed, where it does not say so.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// What goes wrong with backups too: connections, statements, files, encryption, somebody else at work.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// There is no such domain.
    #[error("{0}")]
    NoDomain(String),
    /// The domain, its slug, or the file is there already.
    #[error("{0}")]
    There(String),
    /// It is not to be done like this: the platform domain, or nobody has confirmed it.
    #[error("{0}")]
    Refused(String),
    /// The file is not what was written.
    #[error("the archive {archive} is damaged: {problem}")]
    Damaged { archive: String, problem: String },
    /// What was restored is not what was exported; nothing of it stays.
    #[error("the archive {archive} does not restore to what was exported:\n  {}", differences.join("\n  "))]
    Differs {
        archive: String,
        /// One line for each table.
        differences: Vec<String>,
    },
    /// The archive's tables are not those that are here, or its format is newer.
    #[error("{0}")]
    OtherSchema(String),
    /// Something that belongs to the domain, or may belong to it, is still there.
    #[error("the domain {domain} is not erased:\n  {}", left.join("\n  "))]
    NotErased { domain: String, left: Vec<String> },
}

impl DomainError {
    /// The exit code; docs/OPERATIONS.md explains each.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Backup(error) => error.exit_code(),
            Self::NoDomain(_) => NO_DOMAIN,
            Self::There(_) => THERE_ALREADY,
            Self::Refused(_) => USAGE,
            Self::Damaged { .. } | Self::Differs { .. } => NOT_TRUE,
            Self::OtherSchema(_) => OTHER_SCHEMA,
            Self::NotErased { .. } => FAILED,
        }
    }

    pub(super) fn damaged(archive: &impl ToString, problem: impl Into<String>) -> Self {
        Self::Damaged {
            archive: archive.to_string(),
            problem: problem.into(),
        }
    }

    pub(super) fn failed(problem: impl Into<String>) -> Self {
        BackupError::Failed(problem.into()).into()
    }

    /// Whether the same transaction may succeed when it is run again: serialization failure, deadlock, or a row that somebody
    /// added below one that was to go.
    pub(super) fn is_transient(&self) -> bool {
        let Self::Backup(BackupError::Statement(error)) = self else {
            return false;
        };
        error
            .code()
            .is_some_and(|code| matches!(code.code(), "40001" | "40P01" | "23503"))
    }
}

impl From<tokio_postgres::Error> for DomainError {
    fn from(error: tokio_postgres::Error) -> Self {
        BackupError::from(error).into()
    }
}

impl From<ConnectError> for DomainError {
    fn from(error: ConnectError) -> Self {
        BackupError::from(error).into()
    }
}
