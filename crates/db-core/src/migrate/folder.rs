//! Reads a directory of migrations in Diesel's layout, and refuses what could not be run safely.
//!
//! The build script includes this file too, so that a directory given at run time keeps the same rules.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::kind::{check_inside, check_outside};
use super::split::split;

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
        if path.is_dir() {
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
    }
    Ok(all)
}

fn one(directory: &Path) -> Result<Files, FolderError> {
    let title = directory.file_name().unwrap_or_default().to_string_lossy();
    let named = title.split_once('_').filter(|(version, name)| {
        // The diesel command line drops the hyphens too.
        !name.is_empty() && !version.is_empty() && version.chars().all(|c| c.is_ascii_digit() || c == '-')
    });
    let (version, name) = named.ok_or_else(|| FolderError::Name {
        path: directory.to_owned(),
        problem: "a directory of a migration is named <version>_<name>, the version in digits and hyphens",
    })?;
    let transactional = metadata(&directory.join("metadata.toml"))?;
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

fn sql(path: &Path) -> Result<String, FolderError> {
    fs::read_to_string(path).map_err(|source| FolderError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Whether the migration runs in a transaction: Diesel's own key, and its default.
fn metadata(path: &Path) -> Result<bool, FolderError> {
    if !path.exists() {
        return Ok(true);
    }
    let refused = |problem: String| FolderError::Metadata {
        path: path.to_owned(),
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
