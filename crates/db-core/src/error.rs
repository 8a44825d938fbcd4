//! What can go wrong with the data, in terms that a caller can answer to.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// Result of everything that talks to the database.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An answer other than success. The API maps each variant to one status; see `api::problem`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The credential is unknown, expired or revoked, or the password does not fit (401).
    #[error("the credential is unknown, expired or revoked")]
    Unauthenticated,
    /// The actor may not do this (403). The message names what is missing.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing in this domain (404).
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The change contradicts what is stored (409): a stable code, and a message.
    #[error("{message}")]
    Conflict {
        /// Stable, machine-readable name of the conflict.
        code: &'static str,
        /// What collides with what.
        message: String,
    },
    /// The row has changed since the caller read it (412).
    #[error("the version is {current}, not {expected}")]
    StaleVersion {
        /// Version that the caller sent.
        expected: i32,
        /// Version that is stored.
        current: i32,
    },
    /// A value does not fit what is stored (422): the field, and why.
    #[error("{field}: {message}")]
    Invalid {
        /// Field of the request.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The database is away, or has no connection to spare (503).
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The statement ran longer than it may (503).
    #[error("the statement took longer than it may")]
    Timeout,
    /// A fault: of the server, of the schema, or of this program (500).
    #[error("database error: {0}")]
    Database(#[source] DieselError),
    /// A fault that is not the database's (500).
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// A conflict with a stable code.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::Conflict {
            code,
            message: message.into(),
        }
    }

    /// Whether the same transaction may succeed when it is run again: serialization failure or deadlock.
    ///
    /// diesel-async hides the SQLSTATE of a deadlock (40P01), so its message is compared.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Database(DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _)) => true,
            Self::Database(DieselError::DatabaseError(_, info)) => info.message() == "deadlock detected",
            _ => false,
        }
    }

    /// Name of the constraint that a statement violated, if that is what happened.
    pub fn violated_constraint(&self) -> Option<&str> {
        match self {
            Self::Database(DieselError::DatabaseError(
                DatabaseErrorKind::UniqueViolation
                | DatabaseErrorKind::ForeignKeyViolation
                | DatabaseErrorKind::CheckViolation
                | DatabaseErrorKind::RestrictViolation,
                info,
            )) => info.constraint_name(),
            _ => None,
        }
    }
}

/// How messages begin that say that the database is away: of a server that goes down, comes up, or has been told to drop us
/// (57P01 to 57P03), and of a PgBouncer before a server that is away (all 08P01).
const OUT_OF_SERVICE: [&str; 7] = [
    "terminating connection",
    "the database system is",
    "server conn crashed",
    "server login has been failing",
    "query_wait_timeout",
    "pgbouncer ",
    "no more connections allowed",
];

/// Parts of what a server says to a login that it does not let in (53300, class 28). Inside of a transaction only a pooler can
/// hand them on, whose own login it was.
const NOT_LET_IN: [&str; 6] = [
    "too many clients",
    "connection slots are reserved",
    "too many connections for",
    "is not permitted to log in",
    "authentication failed for user",
    "no pg_hba.conf entry",
];

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        let DieselError::DatabaseError(kind, info) = &error else {
            return Self::Database(error);
        };
        // enter() names its refusals in the constraint field: diesel-async does not hand on the SQLSTATE.
        match info.constraint_name() {
            Some("plinth_refused_401") => return Self::Unauthenticated,
            Some("plinth_refused_403") => return Self::Forbidden(info.message().to_owned()),
            Some("plinth_refused_404") => return Self::NotFound("target"),
            Some("plinth_refused_409") => return Self::conflict("lease_lost", info.message()),
            _ => {}
        }
        match kind {
            DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection => {
                Self::Unavailable(info.message().to_owned())
            }
            DatabaseErrorKind::Unknown => match info.message() {
                "canceling statement due to statement timeout" => Self::Timeout,
                message
                    if OUT_OF_SERVICE.iter().any(|start| message.starts_with(start))
                        || NOT_LET_IN.iter().any(|part| message.contains(part)) =>
                {
                    Self::Unavailable(message.to_owned())
                }
                _ => Self::Database(error),
            },
            _ => Self::Database(error),
        }
    }
}

/// Says at the call site what a database error means there: one statement's unique violation is the caller's
/// conflict, another's is our fault.
pub trait Meaning<T> {
    /// A violation of this constraint is a conflict with this code and message.
    ///
    /// # Errors
    /// The conflict; any other error as it was.
    fn or_conflict(self, constraint: &str, code: &'static str, message: impl Into<String>) -> Result<T>;

    /// A violation of this foreign key means that the field names something that is not there.
    ///
    /// # Errors
    /// The invalid field; any other error as it was.
    fn or_invalid(self, constraint: &str, field: &'static str, message: impl Into<String>) -> Result<T>;

    /// No row means that there is no such thing.
    ///
    /// # Errors
    /// `NotFound`; any other error as it was.
    fn or_not_found(self, what: &'static str) -> Result<T>;
}

impl<T, E: Into<Error>> Meaning<T> for std::result::Result<T, E> {
    fn or_conflict(self, constraint: &str, code: &'static str, message: impl Into<String>) -> Result<T> {
        self.map_err(|error| match error.into() {
            error if error.violated_constraint() == Some(constraint) => Error::conflict(code, message),
            error => error,
        })
    }

    fn or_invalid(self, constraint: &str, field: &'static str, message: impl Into<String>) -> Result<T> {
        self.map_err(|error| match error.into() {
            error if error.violated_constraint() == Some(constraint) => Error::Invalid {
                field,
                message: message.into(),
            },
            error => error,
        })
    }

    fn or_not_found(self, what: &'static str) -> Result<T> {
        self.map_err(|error| match error.into() {
            Error::Database(DieselError::NotFound) => Error::NotFound(what),
            error => error,
        })
    }
}
