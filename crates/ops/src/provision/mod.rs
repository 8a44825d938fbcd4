//! `plinth-ops provision`: databases with least-privilege owners, for Plinth and for what stands beside it.
//!
//! What has to be there is a list of statements, each with a question whether it is there already ([`steps`]). [`apply`] asks and
//! runs what is missing; [`script()`] writes the same statements for psql, for servers where only somebody else may.

mod apply;
mod password;
mod script;
mod steps;
mod wanted;

pub use apply::{Done, Outcome, Provisioned, apply};
pub use script::script;
pub use wanted::{Wanted, check_all, parse, read};

use pg_connect::ConnectError;

/// Why databases were not provisioned, or not all.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// A name, a file or a password makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The administrator cannot connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A statement failed. Those before it are done; running it again goes on.
    #[error("{doing}: {}", pg_connect::describe(source))]
    Statement {
        /// Which one, in words.
        doing: String,
        source: tokio_postgres::Error,
    },
    /// Another one is at work.
    #[error(
        "another plinth-ops provision has been at work on this server for a minute: run this again when it is done"
    )]
    Busy,
    /// A password that was made could not be shown, and was not set.
    #[error(transparent)]
    Output(#[from] command_line::ProgramError),
    /// Something is there, and other than wanted.
    #[error("not everything is as wanted: {0} different, and left as it is")]
    Different(String),
}

impl ProvisionError {
    fn statement(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Statement { doing, source }
    }
}
