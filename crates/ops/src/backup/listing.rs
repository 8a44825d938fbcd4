//! `backup list`, `backup show`: what the store has.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::manifest::{Manifest, Name};
use super::proof::Verdict;
use super::{BackupError, Store, verify};

/// How a folder of the store stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Its manifest and all its files are there.
    Complete,
    /// There is no manifest: it is being made, or was never finished.
    Unfinished,
    /// Something of it is missing or damaged, its last drill or reading failed, or it is not signed as it should be.
    Damaged,
}

/// A folder of the store.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    pub backup: Name,
    pub standing: Standing,
    /// What is wrong with it, where it is damaged.
    pub problem: Option<String>,
    /// The moment that it shows; of one without a manifest, when it was begun.
    pub snapshot_at: DateTime<Utc>,
    /// Bytes in the store.
    pub size_bytes: u64,
    /// When it was last proved by a drill.
    pub proved_at: Option<DateTime<Utc>>,
    /// When its last drill or reading failed, where no drill has proved it since.
    pub failed_at: Option<DateTime<Utc>>,
    /// When anything of it was last written.
    pub written_at: Option<DateTime<Utc>>,
    pub manifest_sha256: Option<String>,
    #[serde(skip)]
    pub(super) manifest: Option<Manifest>,
    #[serde(skip)]
    pub(super) verdict: Option<Verdict>,
}

impl Listed {
    /// Looks at one folder. Sizes are compared, contents are not read.
    async fn look(store: &Store, name: Name) -> Result<Self, BackupError> {
        let files = store.files(&name).await?;
        let mut listed = Self {
            snapshot_at: name.at(),
            size_bytes: files.iter().map(|file| file.size).sum(),
            written_at: files.iter().map(|file| file.modified).max(),
            standing: Standing::Unfinished,
            problem: None,
            proved_at: None,
            failed_at: None,
            manifest_sha256: None,
            manifest: None,
            verdict: None,
            backup: name,
        };
        match Manifest::read(store, &listed.backup).await {
            Ok(None) => {}
            Ok(Some(opened)) => {
                let unbelieved = match store.keyring() {
                    Some(_) => verify::signature(&opened),
                    None => None,
                };
                let (manifest, sha256) = (opened.value, opened.sha256);
                let verdict = Verdict::read(store, &listed.backup, &sha256).await?;
                listed.snapshot_at = manifest.snapshot_at;
                listed.problem = manifest.missing(store).await?.or(unbelieved);
                match &verdict {
                    Some(Verdict::Proved(proof)) if listed.problem.is_none() => {
                        listed.proved_at = Some(proof.proved_at);
                    }
                    Some(Verdict::Failed(failure)) => {
                        listed.failed_at = Some(failure.failed_at);
                        let first = failure.failure.lines().next().unwrap_or_default();
                        listed
                            .problem
                            .get_or_insert_with(|| format!("when it was last read: {first}"));
                    }
                    _ => {}
                }
                listed.standing = if listed.problem.is_some() {
                    Standing::Damaged
                } else {
                    Standing::Complete
                };
                listed.manifest_sha256 = Some(sha256);
                listed.manifest = Some(manifest);
                listed.verdict = verdict;
            }
            Err(BackupError::Damaged { problem, .. }) => {
                listed.standing = Standing::Damaged;
                listed.problem = Some(problem);
            }
            Err(error @ BackupError::OtherFormat { .. }) => {
                listed.standing = Standing::Damaged;
                listed.problem = Some(error.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(listed)
    }

    /// What there is to tell of it, for people: label and value.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        if let Some(manifest) = &self.manifest {
            let recipients = &manifest.recipients;
            facts.extend([
                ("database", manifest.database.clone()),
                (
                    "set up",
                    manifest
                        .installation
                        .to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
                ),
                ("server", format!("PostgreSQL {}", manifest.server_version)),
                ("pg_dump", manifest.pg_dump_version.clone()),
                ("Plinth", manifest.plinth_version.clone()),
                (
                    "migration",
                    manifest
                        .schema
                        .migrations
                        .last()
                        .cloned()
                        .unwrap_or_else(|| "none".to_owned()),
                ),
                ("schema", manifest.schema.fingerprint.clone()),
                (
                    "rows",
                    format!("{} in {} tables", manifest.rows, manifest.tables.len()),
                ),
                ("took", format!("{} ms", manifest.duration_ms)),
                (
                    "keys",
                    match manifest.key_ids.as_slice() {
                        [] => "nothing in it is encrypted".to_owned(),
                        ids => format!(
                            "{} (POSTGRES_ENCRYPTION_KEY is needed to read the secrets)",
                            ids.join(", ")
                        ),
                    },
                ),
                (
                    "encrypted",
                    match recipients.as_slice() {
                        [] => "no".to_owned(),
                        recipients => format!("for {}", recipients.join(", ")),
                    },
                ),
            ]);
            facts.extend(manifest.files.iter().map(|file| {
                (
                    "file",
                    format!("{} ({} bytes, SHA-256 {})", file.name, file.size, file.sha256),
                )
            }));
        }
        facts
    }

    /// Everything that is known of it, for programs.
    pub fn detailed(&self) -> serde_json::Value {
        let mut value = serde_json::json!(self);
        if let Some(object) = value.as_object_mut() {
            object.insert("manifest".to_owned(), serde_json::json!(self.manifest));
            object.insert("proof".to_owned(), serde_json::json!(self.verdict));
        }
        value
    }
}

/// All of them, oldest first.
///
/// # Errors
/// The store cannot be read.
pub async fn list(store: &Store) -> Result<Vec<Listed>, BackupError> {
    let mut listed = Vec::new();
    for name in store.names().await? {
        listed.push(Listed::look(store, name).await?);
    }
    Ok(listed)
}

/// The named one, or the newest finished one for `None`.
///
/// # Errors
/// There is none.
pub async fn find(store: &Store, name: Option<&Name>) -> Result<Listed, BackupError> {
    if let Some(name) = name {
        let listed = Listed::look(store, name.clone()).await?;
        if listed.size_bytes == 0 && listed.written_at.is_none() {
            return Err(BackupError::NoBackup(format!(
                "there is no backup {name} in {}",
                store.location()
            )));
        }
        return Ok(listed);
    }
    for name in store.names().await?.into_iter().rev() {
        let listed = Listed::look(store, name).await?;
        // A damaged one is not passed over in silence: whoever asks for the newest hears of it.
        if listed.standing != Standing::Unfinished {
            return Ok(listed);
        }
    }
    Err(BackupError::NoBackup(format!(
        "there is no finished backup in {}",
        store.location()
    )))
}
