//! Why a backup was not made, proved or restored, and the exit code that says so.

use std::io;

use command_line::{CONFIG, NO_DATABASE, ProgramError};
use db_core::setup::KeyError;
use pg_connect::ConnectError;

const FAILED: u8 = 1;
const ANOTHERS: u8 = 3;
const UNKNOWN_SCHEMA: u8 = 4;
const NOT_SET_UP: u8 = 8;
const NOT_TRUE: u8 = 9;
const NO_BACKUP: u8 = 10;
const NO_STORE: u8 = 11;
const BUSY: u8 = 12;
const NO_TOOLS: u8 = 13;

/// Why a command about backups did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A setting is missing or does not fit.
    #[error("{0}")]
    Config(String),
    /// pg_dump or pg_restore is missing, or older than what it has to deal with.
    #[error("{0}")]
    Tools(String),
    /// The store cannot be reached, or refuses.
    #[error("{doing}: {}", unfold(source))]
    Store {
        /// What was tried, with the place.
        doing: String,
        source: object_store::Error,
    },
    /// There is no such backup, or none at all.
    #[error("{0}")]
    NoBackup(String),
    /// What is in the store is not what was put there.
    #[error("the backup {backup} is damaged: {problem}")]
    Damaged { backup: String, problem: String },
    /// Nobody with the key of the installation has written it, or nobody here can tell.
    #[error("the backup {backup} is not believed: {problem}")]
    NotAuthentic { backup: String, problem: String },
    /// The place, or the backup, is another installation's.
    #[error("{0}")]
    OtherInstallation(String),
    /// There is no installation in the database.
    #[error("{0}")]
    NotSetUp(String),
    /// What was restored is not what was backed up.
    #[error("the backup {backup} does not restore to what was backed up:\n  {}", differences.join("\n  "))]
    Differs {
        backup: String,
        /// One line for each cell, check or table.
        differences: Vec<String>,
    },
    /// The backup's schema is newer than this program.
    #[error(
        "the backup {backup} has migration {version}, which this version of Plinth does not know; use the newer one"
    )]
    NewerSchema { backup: String, version: String },
    /// The manifest is written in a way that this program does not know.
    #[error(
        "the backup {backup} has the format {format}, which this version of Plinth does not know; use the {program} one"
    )]
    OtherFormat {
        backup: String,
        format: u32,
        /// `newer`, `older`: the program that made it.
        program: &'static str,
    },
    /// Something has to happen first.
    #[error("{0}")]
    Busy(String),
    /// The database cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A statement failed.
    #[error("{}", told(.0))]
    Statement(#[from] tokio_postgres::Error),
    /// The keyring cannot be read, or does not fit.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A file or a pipe.
    #[error("{doing}: {source}")]
    Io { doing: String, source: io::Error },
    /// Whatever else.
    #[error("{0}")]
    Failed(String),
    /// The backup is there, but its drill failed.
    #[error("the backup {backup} is made, but not proved: {source}")]
    NotProved {
        backup: String,
        source: Box<BackupError>,
    },
    /// Of the program itself: told to stop, no output.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

impl BackupError {
    /// The exit code; docs/OPERATIONS.md explains each.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => CONFIG,
            Self::Tools(_) => NO_TOOLS,
            Self::Store { .. } => NO_STORE,
            Self::NoBackup(_) => NO_BACKUP,
            Self::Damaged { .. } | Self::Differs { .. } | Self::NotAuthentic { .. } => NOT_TRUE,
            Self::OtherInstallation(_) => ANOTHERS,
            Self::NotSetUp(_) => NOT_SET_UP,
            Self::NewerSchema { .. } | Self::OtherFormat { .. } => UNKNOWN_SCHEMA,
            Self::Busy(_) => BUSY,
            Self::Connect(_) => NO_DATABASE,
            Self::NotProved { source, .. } => source.exit_code(),
            Self::Program(error) => error.exit_code().unwrap_or(FAILED),
            Self::Statement(_) | Self::Key(_) | Self::Io { .. } | Self::Failed(_) => FAILED,
        }
    }

    pub(super) fn damaged(backup: &impl ToString, problem: impl Into<String>) -> Self {
        Self::Damaged {
            backup: backup.to_string(),
            problem: problem.into(),
        }
    }
}

/// The server's own words; the driver's `Display` says only "db error".
fn told(error: &tokio_postgres::Error) -> String {
    let Some(server) = error.as_db_error() else {
        return unfold(error);
    };
    let mut text = format!("{} (SQLSTATE {})", server.message(), server.code().code());
    for part in [server.detail(), server.hint()].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(part);
    }
    text
}

/// An error with its causes, each said once.
pub(super) fn unfold(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
