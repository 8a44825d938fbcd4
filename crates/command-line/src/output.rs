//! What goes to stdout.

use std::io::{ErrorKind, Write as _};

use serde::Serialize;

use crate::error::ProgramError;

/// Prints text in one go. Colours are dropped where stdout is no terminal, or `NO_COLOR` says so. A reader that has seen
/// enough and closed the pipe is no failure.
///
/// # Errors
/// [`ProgramError::Output`].
pub fn text(text: &str) -> Result<(), ProgramError> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(ProgramError::Output(error)),
        _ => Ok(()),
    }
}

/// Prints a value as JSON.
///
/// # Errors
/// [`ProgramError::Output`].
pub fn json(value: &impl Serialize) -> Result<(), ProgramError> {
    let rendered = serde_json::to_string_pretty(value).map_err(|error| ProgramError::Output(error.into()))?;
    text(&format!("{rendered}\n"))
}
