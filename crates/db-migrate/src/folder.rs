//! Reads a directory of migrations in Diesel's layout, and refuses what could not be run safely.
//!
//! The build script includes this file too, so that a directory given at run time keeps the same rules.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::kind::{check_inside, check_outside};
use super::split::split;

/// What Diesel's history has room for.
const LONGEST_VERSION: usize = 50;

/// Why a directory of migrations cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file or directory cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory's name is none of a migration, or two have the same version.
    #[error("{}: {problem}", path.display())]
    Name {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Versions are compared as text, and these two have not the same number of digits.
    #[error(
        "{} and {} have versions of different lengths, which are compared as text; pad them with zeros to one length",
        one.display(),
        other.display()
    )]
    Order {
        /// One of them.
        one: PathBuf,
        /// Another.
        other: PathBuf,
    },
    /// `metadata.toml` says something that is not understood.
    #[error("{}: {problem}", path.display())]
    Metadata {
        /// Which file.
        path: PathBuf,
        /// What is wrong in it.
        problem: String,
    },
    /// A statement may not be where it is.
    #[error("{}, line {line}: {problem}", path.display())]
    Statement {
        /// Which file.
        path: PathBuf,
        /// Line on which the statement begins.
        line: usize,
        /// What is wrong with it, and what to do.
        problem: String,
    },
}

/// One migration as its directory says.
pub(crate) struct Files {
    pub directory: PathBuf,
    pub version: String,
    pub name: String,
    pub up: String,
    pub down: String,
    pub transactional: bool,
}

/// All migrations below a directory, oldest first.
pub(crate) fn read(root: &Path) -> Result<Vec<Files>, FolderError> {
    let unreadable = |source| FolderError::Read {
        path: root.to_owned(),
        source,
    };
    let mut directories = Vec::new();
    for entry in fs::read_dir(root).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        // Those that begin with a dot are an editor's or git's, as for the diesel command line.
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !hidden {
            directories.push(path);
        }
    }
    let mut all: Vec<Files> = directories
        .iter()
        .map(|path| one(path))
        .collect::<Result<_, _>>()?;
    all.sort_by(|a, b| a.version.cmp(&b.version));
    for pair in all.windows(2) {
        if let [one, other] = pair
            && one.version == other.version
        {
            return Err(FolderError::Name {
                path: other.directory.clone(),
                problem: "another migration has the same version",
            });
        }
        // The history compares them as text, as Diesel does: 10 would come before 9.
        if let [one, other] = pair
            && one.version.len() != other.version.len()
        {
            return Err(FolderError::Order {
                one: one.directory.clone(),
                other: other.directory.clone(),
            });
        }
    }
    Ok(all)
}

fn one(directory: &Path) -> Result<Files, FolderError> {
    let title = directory.file_name().unwrap_or_default().to_string_lossy();
    let named = title.split_once('_').filter(|(version, name)| {
        // The diesel command line drops the hyphens too.
        let digits = version.chars().filter(char::is_ascii_digit).count();
        !name.is_empty()
            && (1..=LONGEST_VERSION).contains(&digits)
            && version.chars().all(|c| c.is_ascii_digit() || c == '-')
    });
    let (version, name) = named.ok_or_else(|| FolderError::Name {
        path: directory.to_owned(),
        problem: "a directory of a migration is named <version>_<name>, the version in digits and hyphens, 50 digits at most",
    })?;
    let transactional = runs_in_transaction(directory)?;
    let files = Files {
        directory: directory.to_owned(),
        version: version.replace('-', ""),
        name: name.to_owned(),
        up: sql(&directory.join("up.sql"))?,
        down: sql(&directory.join("down.sql"))?,
        transactional,
    };
    for (file, text, down) in [("up.sql", &files.up, false), ("down.sql", &files.down, true)] {
        let refused = |line, problem| FolderError::Statement {
            path: directory.join(file),
            line,
            problem,
        };
        if let Some(problem) = unreadable(text) {
            let before = text.split_once('\0').map_or("", |(before, _)| before);
            return Err(refused(1 + before.matches('\n').count(), problem));
        }
        for statement in split(text).map_err(|error| refused(error.line, error.problem.to_owned()))? {
            if transactional {
                check_inside(&statement)
            } else {
                check_outside(&statement, down)
            }
            .map_err(|problem| refused(statement.line, problem))?;
        }
    }
    Ok(files)
}

/// What the server would refuse with words that nobody understands.
fn unreadable(text: &str) -> Option<String> {
    if text.starts_with('\u{feff}') {
        return Some(
            "the file begins with a byte order mark, which PostgreSQL takes for a letter; save the file without"
                .to_owned(),
        );
    }
    text.contains('\0')
        .then(|| "there is a NUL byte, which PostgreSQL cannot read; take it out".to_owned())
}

fn sql(path: &Path) -> Result<String, FolderError> {
    fs::read_to_string(path).map_err(|source| FolderError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Whether the migration in a directory runs in a transaction, as its `metadata.toml` says: Diesel's own key, and its default.
///
/// # Errors
/// The file cannot be read, or says something else.
pub fn runs_in_transaction(directory: &Path) -> Result<bool, FolderError> {
    let path = &directory.join("metadata.toml");
    if !path.exists() {
        return Ok(true);
    }
    let refused = |problem: String| FolderError::Metadata {
        path: path.clone(),
        problem,
    };
    let table: toml::Table = sql(path)?
        .parse()
        .map_err(|error: toml::de::Error| refused(error.to_string()))?;
    let mut transactional = true;
    for (key, value) in &table {
        match (key.as_str(), value.as_bool()) {
            ("run_in_transaction", Some(value)) => transactional = value,
            ("run_in_transaction", None) => {
                return Err(refused(format!(
                    "run_in_transaction is true or false, not {value}"
                )));
            }
            _ => {
                return Err(refused(format!(
                    "unknown key {key}; run_in_transaction is the only one"
                )));
            }
        }
    }
    Ok(transactional)
}
