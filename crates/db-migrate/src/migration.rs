//! One migration, from the binary or from a directory.

use std::borrow::Cow;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::folder::{self, FolderError};
use super::split::{SplitError, Statement, split};

/// One migration.
#[derive(Clone, Debug)]
pub struct Migration {
    /// Digits of the directory's timestamp; what the history stores.
    pub version: Cow<'static, str>,
    /// Name of the directory behind the timestamp.
    pub name: Cow<'static, str>,
    /// SQL that applies it.
    pub up: Cow<'static, str>,
    /// SQL that reverts it.
    pub down: Cow<'static, str>,
    /// Whether it is one transaction. Else it runs statement by statement, with a journal.
    pub transactional: bool,
}

/// The migrations that the binary carries, oldest first.
pub static MIGRATIONS: &[Migration] = include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// There or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Applies it.
    Up,
    /// Reverts it.
    Down,
}

impl Direction {
    /// As the journal stores it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl Migration {
    const fn embedded(
        version: &'static str,
        name: &'static str,
        up: &'static str,
        down: &'static str,
        transactional: bool,
    ) -> Self {
        Self {
            version: Cow::Borrowed(version),
            name: Cow::Borrowed(name),
            up: Cow::Borrowed(up),
            down: Cow::Borrowed(down),
            transactional,
        }
    }

    /// The migrations below a directory in Diesel's layout, oldest first.
    ///
    /// # Errors
    /// One that cannot be read, or could not be run safely; the build refuses the same.
    pub fn read_directory(directory: &Path) -> Result<Vec<Self>, FolderError> {
        let files = folder::read(directory)?;
        Ok(files
            .into_iter()
            .map(|files| Self {
                version: files.version.into(),
                name: files.name.into(),
                up: files.up.into(),
                down: files.down.into(),
                transactional: files.transactional,
            })
            .collect())
    }

    /// The SQL of one direction.
    pub fn sql(&self, direction: Direction) -> &str {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// The statements of one direction, in order.
    ///
    /// # Errors
    /// Never for one of the binary, or of [`Self::read_directory`]: those were cut once before.
    pub fn statements(&self, direction: Direction) -> Result<Vec<Statement<'_>>, SplitError> {
        split(self.sql(direction))
    }

    /// SHA-256 of the SQL that applies it, with line ends and trailing blanks normalised: a checkout under another
    /// system, or a blank line, is no edit.
    pub fn checksum(&self) -> String {
        checksum(&self.up)
    }

    /// The same of the SQL that reverts it.
    pub fn down_checksum(&self) -> String {
        checksum(&self.down)
    }
}

/// SHA-256 of SQL, with line ends and trailing blanks normalised.
pub(super) fn checksum(sql: &str) -> String {
    let mut hash = Sha256::new();
    for line in sql.trim_start_matches('\u{feff}').trim_end().lines() {
        hash.update(line.trim_end().as_bytes());
        hash.update(b"\n");
    }
    hex::encode(hash.finalize())
}
