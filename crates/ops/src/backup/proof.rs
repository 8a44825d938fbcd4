//! That a backup restores: written beside it when a drill has shown it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::manifest::Name;
use super::{BackupError, Store, seal};

const FILE: &str = "proof.json";

/// What a drill has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof {
    pub backup: Name,
    /// Checksum of the manifest that it is about.
    pub manifest_sha256: String,
    pub proved_at: DateTime<Utc>,
    pub duration_ms: u64,
    pub plinth_version: String,
    pub server_version: String,
    pub tables: u64,
    pub cells: u64,
    pub rows: u64,
    /// Secrets that were decrypted with the keyring; `None` where there was no key to try.
    pub secrets: Option<u64>,
}

impl Proof {
    /// Writes it beside the backup, over an older one.
    pub async fn write(&self, store: &Store) -> Result<(), BackupError> {
        let (bytes, _) = seal::seal(self).map_err(|error| BackupError::Failed(error.to_string()))?;
        store.write(&self.backup, FILE, bytes).await
    }

    /// That of a backup; a damaged one, or one of another manifest, is none.
    pub async fn read(
        store: &Store,
        backup: &Name,
        manifest_sha256: &str,
    ) -> Result<Option<Self>, BackupError> {
        let Some(bytes) = store.read(backup, FILE).await? else {
            return Ok(None);
        };
        match seal::open::<Self>(&bytes) {
            Ok((proof, _)) if proof.backup == *backup && proof.manifest_sha256 == manifest_sha256 => {
                Ok(Some(proof))
            }
            Ok(_) => {
                tracing::warn!(%backup, "the proof is that of another backup: it does not count");
                Ok(None)
            }
            Err(problem) => {
                tracing::warn!(%backup, problem, "the proof is damaged: it does not count");
                Ok(None)
            }
        }
    }
}
