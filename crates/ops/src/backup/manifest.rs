//! What a backup says of itself.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bounds::Unpacked;
use super::frame::Frame;
use super::seal::{self, Opened};
use super::shape::Shape;
use super::{BackupError, Store};

/// Name of the manifest's file.
pub(super) const FILE: &str = "manifest.json";

/// Rises when an older program could not read the manifest any more.
const FORMAT: u32 = 2;

/// Name of a backup: the moment it was begun, in UTC, and six random digits. Names sort by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    text: String,
    at: DateTime<Utc>,
}

impl Name {
    /// A new one.
    pub(super) fn new(at: DateTime<Utc>) -> Self {
        let random = hex::encode(db_core::random_bytes::<3>());
        // As it is read back: names know no fractions.
        let at = DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at);
        Self {
            text: format!("{}-{random}", at.format("%Y%m%dT%H%M%SZ")),
            at,
        }
    }

    /// The moment it was begun, to the second.
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (time, random) = text.split_once('-')?;
            let at = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ").ok()?;
            let lower_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            (time.len() == 16 && random.len() == 6 && random.chars().all(lower_hex)).then(|| Self {
                text: text.to_owned(),
                at: at.and_utc(),
            })
        };
        parsed().ok_or_else(|| format!("{text:?} is no name of a backup, such as 20261120T030000Z-5f0a1c"))
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What a file is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    /// pg_dump's: everything but the rows of tables.
    Dump,
    /// The rows, in pieces, in their order; see `chunk.rs`.
    Rows,
    /// Where which rows are.
    Index,
    /// Row count and hash for each table and domain.
    Cells,
}

/// A file of the backup, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct File {
    pub name: String,
    pub part: Part,
    /// Bytes.
    pub size: u64,
    /// In hex.
    pub sha256: String,
}

/// One table of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableTotal {
    /// `schema.table`, quoted where needed.
    pub name: String,
    pub rows: u64,
    /// Sum of the hashes of all rows; `docs/BACKUPS.md` says which hash.
    pub hash: String,
    #[serde(flatten)]
    pub shape: Shape,
}

/// An object that does not belong to the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OthersObject {
    /// `function`, `table`, `schema`, …, as `pg_identify_object` says.
    pub kind: String,
    /// As `pg_identify_object` says.
    pub identity: String,
    pub owner: String,
}

/// The schema of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Schema {
    /// `pg_catalog::Catalog::fingerprint`, of everything in the database.
    pub fingerprint: String,
    /// Whether the owner of the database stands in it as such, and not by name.
    pub symbolic_owner: bool,
    /// Versions of the applied migrations, oldest first.
    pub migrations: Vec<String>,
    /// Rules of tenancy that the schema broke already, one line for each.
    pub violations: Vec<String>,
}

/// What a backup says of itself. Holds no secret, and no name of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub format: u32,
    pub backup: Name,
    /// When the installation was set up: that tells it from every other one.
    pub installation: DateTime<Utc>,
    pub plinth_version: String,
    /// The moment that the backup shows, by the server's clock.
    pub snapshot_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub duration_ms: u64,
    pub database: String,
    /// Login that dumped.
    pub owner: String,
    pub server_version: String,
    pub server_version_num: i32,
    pub pg_dump_version: String,
    pub schema: Schema,
    pub frame: Frame,
    /// Roles that own something, or that something is granted to.
    pub roles: Vec<String>,
    pub others_objects: Vec<OthersObject>,
    /// Fingerprints of the encryption keys that the installation remembers.
    pub key_fingerprints: Vec<String>,
    /// Ids of the encryption keys that rows were encrypted with.
    pub key_ids: Vec<String>,
    /// age recipients that the files are encrypted for.
    pub recipients: Vec<String>,
    pub tables: Vec<TableTotal>,
    pub rows: u64,
    pub cells: u64,
    pub files: Vec<File>,
    /// Bytes of all files.
    pub size_bytes: u64,
    pub unpacked: Unpacked,
}

/// Every field of a manifest that an unknown format surely has.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

impl Manifest {
    pub(super) const FORMAT: u32 = FORMAT;

    /// Reads and checks it; `None` when there is none: the backup is unfinished. Whether it is to be believed, the caller asks.
    pub(super) async fn read(store: &Store, name: &Name) -> Result<Option<Opened<Self>>, BackupError> {
        let Some(bytes) = store.read(name, FILE).await? else {
            return Ok(None);
        };
        Self::parse(store, name, &bytes).map(Some)
    }

    fn parse(store: &Store, name: &Name, bytes: &[u8]) -> Result<Opened<Self>, BackupError> {
        let damaged = |problem: String| BackupError::damaged(name, problem);
        let wrong = |problem: String| damaged(format!("{FILE}: {problem}"));
        let head: Head = seal::open(bytes, FILE, None).map_err(wrong)?.value;
        if head.format != FORMAT {
            return Err(BackupError::OtherFormat {
                backup: name.to_string(),
                format: head.format,
                program: if head.format > FORMAT { "newer" } else { "older" },
            });
        }
        let opened: Opened<Self> = seal::open(bytes, FILE, store.keyring()).map_err(wrong)?;
        let manifest = &opened.value;
        if manifest.backup != *name {
            return Err(damaged(format!(
                "{FILE} is that of the backup {}",
                manifest.backup
            )));
        }
        let has = |part| manifest.files.iter().any(|file| file.part == part);
        let dumped = has(Part::Dump)
            && has(Part::Cells)
            && has(Part::Index)
            && (has(Part::Rows) || manifest.rows == 0);
        let size: u64 = manifest.files.iter().map(|file| file.size).sum();
        if !dumped || size != manifest.size_bytes {
            return Err(damaged(format!("{FILE} does not list the files of a backup")));
        }
        Ok(opened)
    }

    /// The files of one part, in their order.
    pub(super) fn part(&self, part: Part) -> Vec<File> {
        self.files
            .iter()
            .filter(|file| file.part == part)
            .cloned()
            .collect()
    }

    /// What is wrong with the files as the store lists them; sizes, not contents.
    pub(super) async fn missing(&self, store: &Store) -> Result<Option<String>, BackupError> {
        let stored = store.files(&self.backup).await?;
        Ok(self.files.iter().find_map(
            |file| match stored.iter().find(|stored| stored.name == file.name) {
                None => Some(format!("{} is missing", file.name)),
                Some(stored) if stored.size != file.size => Some(format!(
                    "{} has {} bytes instead of {}",
                    file.name, stored.size, file.size
                )),
                Some(_) => None,
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_nothing_else_is_one() {
        let name = |text: &str| text.parse::<Name>();
        let made = Name::new(DateTime::from_timestamp(1_795_000_000, 5).unwrap());
        assert_eq!(name(&made.to_string()).unwrap(), made);
        assert!(name("20261120T030000Z-5f0a1c").unwrap() < name("20261120T030001Z-000000").unwrap());
        for text in [
            "",
            "latest",
            "20261120T030000Z",
            "20261120T030000Z-5F0A1C",
            "20261399T030000Z-5f0a1c",
            "x/20261120T030000Z-5f0a1c",
        ] {
            assert!(name(text).is_err(), "{text}");
        }
    }
}
