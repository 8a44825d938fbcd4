//! Where a new account's password comes from.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

use crate::failure::Failure;

/// Asks for a password, twice, where somebody sits at a terminal. `None` when nobody does, or they would rather be
/// given one.
pub fn ask(whose: &str) -> Result<Option<SecretString>, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    let read = |prompt: String| {
        rpassword::prompt_password(prompt)
            .map(SecretString::from)
            .map_err(|error| Failure::Password(error.to_string()))
    };
    let first = read(format!("Password of {whose} (empty: one is made and shown): "))?;
    if first.expose_secret().is_empty() {
        return Ok(None);
    }
    let second = read("The same again: ".to_owned())?;
    if first.expose_secret() != second.expose_secret() {
        return Err(Failure::Password("the two are not the same".to_owned()));
    }
    Ok(Some(first))
}

/// The first line of a file, `-` for standard input.
pub fn from_file(path: &Path) -> Result<SecretString, Failure> {
    let failed = |source| Failure::PasswordFile {
        path: path.to_owned(),
        source,
    };
    let mut line = String::new();
    if path == Path::new("-") {
        io::stdin().lock().read_line(&mut line).map_err(failed)?;
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        io::BufReader::new(file).read_line(&mut line).map_err(failed)?;
    }
    Ok(SecretString::from(line.trim_end_matches(['\r', '\n']).to_owned()))
}
