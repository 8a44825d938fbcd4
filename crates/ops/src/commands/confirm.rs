//! The question before something that cannot be taken back.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin};

/// Whoever runs this types `word`, which is the `kind` (slug, name) of what is meant, or has said `--yes`.
///
/// # Errors
/// They typed something else, or there is no terminal to ask on: why, and what to do.
pub fn confirm(what: &str, kind: &str, word: &str, yes: bool) -> Result<(), String> {
    if yes {
        return Ok(());
    }
    let refused = |why: &str| {
        Err(format!(
            "{why}: nothing was changed; --yes does it without asking"
        ))
    };
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return refused(&format!("{what}, and there is no terminal to ask on"));
    }
    let _ = write!(stderr().lock(), "{what}\nType its {kind}, {word}, to go on: ");
    let mut line = String::new();
    let read = stdin().lock().read_line(&mut line);
    if read.is_ok() && line.trim() == word {
        return Ok(());
    }
    refused(&format!("that is not its {kind}"))
}
