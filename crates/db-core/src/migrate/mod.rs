//! Applies and reverts the migrations that the binary carries.
//!
//! Diesel's history table is kept, so that the `diesel` command line goes on working; a ledger beside it remembers
//! checksum, duration, version and author. Fifty processes may run this at once: a try-lock on an advisory lock lets
//! one through, and the others find nothing left to do.

mod error;
mod history;
mod lock;
mod requirements;
mod run;

pub use error::MigrateError;
pub(crate) use error::{connection_lost, describe};
pub use history::{Entry, State, Status};
pub use run::{Applied, Migrator};

/// One migration of the binary.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Digits of the directory's timestamp; what the history stores.
    pub version: &'static str,
    /// Name of the directory behind the timestamp.
    pub name: &'static str,
    /// SQL that applies it.
    pub up: &'static str,
    /// SQL that reverts it.
    pub down: &'static str,
}

/// The migrations that the binary carries, oldest first.
pub static MIGRATIONS: &[Migration] = include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

impl Migration {
    /// SHA-256 of the SQL that applies it, with line ends and trailing blanks normalised: a checkout under another
    /// system, or a blank line, is no edit.
    pub fn checksum(&self) -> String {
        use sha2::{Digest as _, Sha256};
        let mut hash = Sha256::new();
        for line in self.up.trim_start_matches('\u{feff}').trim_end().lines() {
            hash.update(line.trim_end().as_bytes());
            hash.update(b"\n");
        }
        hex::encode(hash.finalize())
    }
}
