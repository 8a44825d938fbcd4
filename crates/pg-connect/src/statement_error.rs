//! What to say of a statement that failed.

use std::error::Error as _;
use std::fmt::Write as _;

use tokio_postgres::error::SqlState;

/// The server's message with detail, hint and place, where it is the server's; else the driver's.
pub fn describe(error: &tokio_postgres::Error) -> String {
    let Some(server) = error.as_db_error() else {
        return error.to_string();
    };
    let mut text = format!("{} (SQLSTATE {})", server.message(), server.code().code());
    for (label, part) in [
        ("detail", server.detail()),
        ("hint", server.hint()),
        ("where", server.where_()),
    ] {
        if let Some(part) = part {
            let _ = write!(text, "; {label}: {part}");
        }
    }
    text
}

/// Whether the statement failed because the server went away under it: connection lost, shut down, starting up.
pub fn connection_lost(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        // 57P01 to 57P03, and class 08, which PgBouncer uses too.
        Some(code) => code.code().starts_with("57P") || code.code().starts_with("08"),
        None => {
            // InvalidInput: what was to be sent cannot be, such as text with a NUL in it.
            let broken = |error: &std::io::Error| error.kind() != std::io::ErrorKind::InvalidInput;
            error.is_closed()
                || error
                    .source()
                    .and_then(|cause| cause.downcast_ref())
                    .is_some_and(broken)
        }
    }
}

/// Whether a pooler has lost a prepared statement, or another client's has its name: PgBouncer before 1.21, or without
/// `max_prepared_statements`.
pub fn loses_statements(error: &tokio_postgres::Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::DUPLICATE_PSTATEMENT)
    )
}
