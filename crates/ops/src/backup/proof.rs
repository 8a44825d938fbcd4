//! What the last drill has shown, or the last reading that failed: written beside the backup, signed as the manifest is.

use chrono::{DateTime, Utc};
use db_core::Clock;
use serde::{Deserialize, Serialize};

use super::manifest::Name;
use super::seal::{self, Authenticity};
use super::{BackupError, Store};

const FILE: &str = "proof.json";

/// So much is kept of what failed.
const FAILURE: usize = 10_000;

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
    /// Why the schema's fingerprint was not compared; `None` where it was.
    #[serde(default)]
    pub schema_not_compared: Option<String>,
}

/// That a backup is no good: a drill or `backup verify` has found it damaged, or that it restores to something else. It stays
/// until a drill proves the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub backup: Name,
    /// Checksum of the manifest that it is about.
    pub manifest_sha256: String,
    pub failed_at: DateTime<Utc>,
    pub plinth_version: String,
    pub failure: String,
}

/// The one or the other. A file with both fields is a failure: it is read first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Verdict {
    Failed(Failure),
    Proved(Proof),
}

impl Verdict {
    fn about(&self) -> (&Name, &str) {
        match self {
            Self::Failed(failure) => (&failure.backup, &failure.manifest_sha256),
            Self::Proved(proof) => (&proof.backup, &proof.manifest_sha256),
        }
    }

    async fn write(&self, store: &Store) -> Result<(), BackupError> {
        let (bytes, _) = seal::seal(self, FILE, store.keyring())
            .map_err(|error| BackupError::Failed(error.to_string()))?;
        store.write(self.about().0, FILE, bytes).await
    }

    /// That of a backup; a damaged one, or one of another manifest, is none. A proof that nobody with the key has written is
    /// none either; a failure is a warning, whoever gives it.
    pub async fn read(
        store: &Store,
        backup: &Name,
        manifest_sha256: &str,
    ) -> Result<Option<Self>, BackupError> {
        let Some(bytes) = store.read(backup, FILE).await? else {
            return Ok(None);
        };
        let opened = match seal::open::<Self>(&bytes, FILE, store.keyring()) {
            Ok(opened) => opened,
            Err(problem) => {
                tracing::warn!(%backup, problem, "the proof is damaged: it does not count");
                return Ok(None);
            }
        };
        if opened.value.about() != (backup, manifest_sha256) {
            tracing::warn!(%backup, "the proof is that of another backup: it does not count");
            return Ok(None);
        }
        match (&opened.value, &opened.authenticity) {
            (Self::Proved(_), Authenticity::Unsigned | Authenticity::Forged | Authenticity::OtherKey(_)) => {
                tracing::warn!(%backup, "the proof is not signed with a key of this installation: it does not count");
                Ok(None)
            }
            _ => Ok(Some(opened.value)),
        }
    }
}

impl Proof {
    /// Writes it beside the backup, over what was there.
    pub async fn write(self, store: &Store) -> Result<(), BackupError> {
        Verdict::Proved(self).write(store).await
    }
}

/// Writes beside a backup that it is no good, where that is what the error says. What fails here is told, and no more: the error
/// is what counts.
pub(super) async fn note_failure(store: &Store, backup: &Name, manifest_sha256: &str, error: &BackupError) {
    if !matches!(error, BackupError::Damaged { .. } | BackupError::Differs { .. }) {
        return;
    }
    let failure = Verdict::Failed(Failure {
        backup: backup.clone(),
        manifest_sha256: manifest_sha256.to_owned(),
        failed_at: Clock::System.now(),
        plinth_version: env!("CARGO_PKG_VERSION").to_owned(),
        failure: error.to_string().chars().take(FAILURE).collect(),
    });
    if let Err(other) = failure.write(store).await {
        tracing::warn!(error = %other, %backup, "that the backup is no good could not be written beside it");
    }
}
