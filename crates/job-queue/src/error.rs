use uuid::Uuid;

/// What the caller's connector or executor failed with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong around jobs. What a handler fails with is a [`Failure`](crate::Failure).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A payload that serde cannot write as JSON.
    #[error("the payload of a {kind:?} job is no JSON: {source}")]
    Payload {
        /// Kind of the job.
        kind: &'static str,
        /// What serde says.
        source: serde_json::Error,
    },
    /// A name or a number out of range.
    #[error("{what} is {value:?}: {rule}")]
    Invalid {
        /// Which one.
        what: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        rule: &'static str,
    },
    /// A cron expression that cannot be read.
    #[error("the cron expression {cron:?} cannot be read: {reason}")]
    Cron {
        /// As given.
        cron: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Jobs can be added only to a batch that exists and is not sealed.
    #[error("batch {0} takes no jobs: it is sealed, or there is none")]
    BatchClosed(Uuid),
    /// The lease of a job has ended, so that its work must not be committed: roll back.
    #[error("the lease on job {0} has ended: another attempt may be running")]
    LeaseLost(Uuid),
    /// The connector could not open a connection.
    #[error("no connection to the database: {0}")]
    Connect(#[source] BoxError),
    /// The database refused a statement, or the connection broke.
    #[error("the database failed: {}", described(.0))]
    Database(#[from] tokio_postgres::Error),
    /// A statement took too long; its connection is given up.
    #[error("the database did not answer within {0:?}")]
    Timeout(std::time::Duration),
    /// The caller's executor failed.
    #[error("the statement failed: {0}")]
    Executor(#[source] BoxError),
}

/// What the server says; tokio_postgres's own text is "db error".
fn described(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        None => error.to_string(),
    }
}

impl Error {
    /// Whether it is certain that the statement had no effect: the server itself said that it failed.
    pub(crate) fn is_certain(&self) -> bool {
        match self {
            Self::Database(error) => error.as_db_error().is_some(),
            Self::Connect(_) => true,
            _ => false,
        }
    }
}
