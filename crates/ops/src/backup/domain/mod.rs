//! One domain's rows: exported into an archive, restored from one, copied under a new slug, erased with proof.
//!
//! Which tables those are, and in which order, the catalogue says. `docs/DOMAINS.md` has the rules and the format.

mod catalogue;
mod copy;
mod erase;
mod error;
mod export;
mod file;
mod from_backup;
mod manifest;
mod proof;
mod remap;
mod restore;
mod rows;
mod secrets;
mod session;
mod stage;

pub use copy::{Original, copy};
pub use erase::{Erased, Erasure, erase, erasure};
pub use error::DomainError;
pub use export::{Exported, export};
pub use file::Archive;
pub use from_backup::export_from_backup;
pub use restore::{RestoredDomain, restore};

use super::{Progress, Stop};

/// What every one of them works with.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// Settings, and the owner of the database.
    pub program: &'a crate::program::Program,
    /// Who is told how it goes.
    pub progress: &'a Progress,
    /// Whether somebody wants it to end.
    pub stop: &'a Stop,
}

impl Task<'_> {
    /// The work's result, or an error as soon as the process is told to stop.
    async fn or_stop<T>(&self, work: impl Future<Output = Result<T, DomainError>>) -> Result<T, DomainError> {
        let work = async { Ok::<_, super::BackupError>(work.await) };
        self.stop.or(work).await?
    }
}
