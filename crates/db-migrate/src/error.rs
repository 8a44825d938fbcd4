//! What can go wrong with migrations, each with an exit code of its own.

use pg_catalog::PlanError;
use pg_connect::{ConnectError, connection_lost, describe};

use super::Migration;
use super::folder::FolderError;
use super::session::{LOCK_ATTEMPTS, LOCK_TIMEOUT};
use super::waits::Waits;

/// Why migrations could not be run, reverted or read.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The owner cannot connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Another process migrates, or somebody holds the lock.
    #[error("the migration lock was not free for {waited_seconds} s; it is held by {holder}")]
    Locked {
        /// How long was waited, in seconds.
        waited_seconds: u64,
        /// Who holds it: process id, role, application, address, since when.
        holder: String,
    },
    /// The connection goes through a pooler that gives it another session for each transaction.
    #[error(
        "the migration lock is not kept between transactions: the connection goes through a pooler in transaction mode, or the \
         migration let the lock go; give the address of the server itself in DATABASE_DIRECT_URL"
    )]
    Pooled,
    /// The server went away under a migration.
    #[error(
        "the connection was lost during migration {version}_{name}: {message}; what was not committed is undone, run it again"
    )]
    ConnectionLost {
        /// Its version.
        version: String,
        /// Its name.
        name: String,
        /// The driver's or the server's words.
        message: String,
    },
    /// A statement did not get a lock, however often it was tried.
    #[error(
        "migration {version}_{name}: statement {statement} (line {line}) did not get its lock in {LOCK_ATTEMPTS} tries of {} ms: \
         {message}; {advice}",
        LOCK_TIMEOUT.as_millis()
    )]
    TableLocked {
        /// Its version.
        version: String,
        /// Its name.
        name: String,
        /// Which, from 1.
        statement: usize,
        /// Line on which it begins.
        line: usize,
        /// The server's words.
        message: String,
        /// Who holds the lock, as far as that could be seen, and what to do.
        advice: String,
    },
    /// An applied migration was changed afterwards.
    #[error(
        "migration {version}_{name} was edited after it was applied (checksum {applied} then, {ours} now); \
         undo the edit and add a new migration"
    )]
    Edited {
        /// Its version.
        version: String,
        /// Its name.
        name: String,
        /// Checksum when it was applied.
        applied: String,
        /// Checksum now.
        ours: String,
    },
    /// The database has a migration that this binary does not know.
    #[error(
        "the database has migration {version}, which this version of Plinth does not know; use the newer one"
    )]
    Unknown {
        /// Its version.
        version: String,
    },
    /// A pending migration is older than an applied one.
    #[error(
        "migration {version}_{name} is pending, but the newer {newest} is applied: it was merged late; \
         give it a new version"
    )]
    OutOfOrder {
        /// Its version.
        version: String,
        /// Its name.
        name: String,
        /// The newest that is applied.
        newest: String,
    },
    /// Migrations are pending, and the caller does not apply them.
    #[error("the schema is not up to date: {count} pending, from {first} on; run `plinth-ops migrate run`")]
    Pending {
        /// How many.
        count: usize,
        /// Version and name of the first.
        first: String,
    },
    /// A migration without a transaction was broken off, and the caller does not go on with it.
    #[error(
        "migration {version}_{name} is half {way}: {finished} of {of} statements; run `plinth-ops migrate run` to go on, \
         or `plinth-ops migrate revert` to go back"
    )]
    HalfDone {
        /// Its version.
        version: String,
        /// Its name.
        name: String,
        /// `applied` or `reverted`.
        way: &'static str,
        /// The last statement that is done.
        finished: usize,
        /// How many there are.
        of: usize,
    },
    /// A statement of a half done migration was changed after it had run.
    #[error(
        "statement {statement} of migration {version}_{name} was edited after it ran, and the migration is half done; \
         undo the edit"
    )]
    EditedStatement {
        /// Its version.
        version: String,
        /// Its name.
        name: String,
        /// Which, from 1.
        statement: usize,
    },
    /// An extension is missing and cannot be made.
    #[error("{0}")]
    Requirement(String),
    /// A statement failed. Its migration was rolled back whole.
    #[error("migration {version}_{name} failed and was rolled back: {message}")]
    Failed {
        /// Its version.
        version: String,
        /// Its name.
        name: String,
        /// The server's words: message, detail, where.
        message: String,
    },
    /// A statement of a migration without a transaction failed. Those before it stay done.
    #[error(
        "statement {statement} of {of} (line {line}) of migration {version}_{name} failed; those before it stay done, and \
         the next run goes on with it: {message}"
    )]
    StatementFailed {
        /// Its version.
        version: String,
        /// Its name.
        name: String,
        /// Which, from 1.
        statement: usize,
        /// How many there are.
        of: usize,
        /// Line on which it begins.
        line: usize,
        /// The server's words, or ours.
        message: String,
    },
    /// A directory of migrations cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The database cannot be taken over from another tool.
    #[error("{0}")]
    Baseline(String),
    /// The desired schema cannot be loaded.
    #[error("the desired schema: {0}")]
    Desired(String),
    /// No migration can be generated.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A schema cannot be read.
    #[error(transparent)]
    Catalogue(#[from] pg_catalog::Error),
    /// Whether the schema has drifted cannot be told by its fingerprint.
    #[error(
        "cannot tell whether the schema is as the migrations make it: {0}, and this login may not make a database to compare \
         with (CREATEDB)"
    )]
    NoFingerprint(String),
    /// Reading or writing the history failed.
    #[error("migration history: {}", describe(.0))]
    History(#[from] tokio_postgres::Error),
}

impl MigrateError {
    pub(super) fn connection_lost(migration: &Migration, error: &tokio_postgres::Error) -> Self {
        Self::ConnectionLost {
            version: migration.version.to_string(),
            name: migration.name.to_string(),
            message: describe(error),
        }
    }

    pub(super) fn table_locked(
        migration: &Migration,
        statement: usize,
        line: usize,
        error: &tokio_postgres::Error,
        waits: &Waits,
    ) -> Self {
        Self::TableLocked {
            version: migration.version.to_string(),
            name: migration.name.to_string(),
            statement,
            line,
            message: describe(error),
            advice: waits.advice(),
        }
    }

    /// Whether waiting may help: the database is away, or another process migrates.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_transient(),
            Self::ConnectionLost { .. } => true,
            Self::History(error) => connection_lost(error),
            Self::Locked { .. } => true,
            _ => false,
        }
    }

    /// Exit code of `plinth-ops migrate`; listed in docs/OPERATIONS.md.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Plan(PlanError::Hint { .. } | PlanError::NotARename(_)) | Self::Folder(_) => 64,
            Self::Failed { .. }
            | Self::StatementFailed { .. }
            | Self::History(_)
            | Self::Requirement(_)
            | Self::Baseline(_)
            | Self::Desired(_)
            | Self::Plan(_)
            | Self::Catalogue(_)
            | Self::NoFingerprint(_) => 1,
            Self::Pending { .. } | Self::HalfDone { .. } => 2,
            Self::Edited { .. } | Self::EditedStatement { .. } | Self::Unknown { .. } => 4,
            Self::Locked { .. } | Self::TableLocked { .. } => 5,
            Self::OutOfOrder { .. } => 6,
            Self::Connect(_) | Self::ConnectionLost { .. } => 7,
            Self::Pooled => 78,
        }
    }
}
