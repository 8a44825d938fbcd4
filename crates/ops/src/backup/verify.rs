//! `backup verify`: re-reads every byte, and restores nothing.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::archive::Identities;
use super::intake::{self, Packing};
use super::manifest::{Manifest, Name, Part};
use super::progress::Counter;
use super::seal::{Authenticity, Opened};
use super::{BackupError, Context, Progress, Store, cells, check, proof};

/// What was read.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    pub backup: Name,
    pub files: usize,
    pub size_bytes: u64,
    /// Whether the key of the installation says so; without one here, the checksums alone.
    pub authentic: bool,
}

/// Reads every file of a backup and holds it against the manifest. That one is no good is written beside it.
///
/// # Errors
/// [`BackupError::Damaged`] says which file is what it should not be.
pub async fn verify(store: &Store, progress: &Progress, name: &Name) -> Result<Verified, BackupError> {
    let opened = open(store, name).await?;
    let authentic = match opened.authenticity {
        // Nothing comes of it here but the word that no bit has changed.
        Authenticity::NoKey => false,
        _ => {
            believe(&opened, false)?;
            true
        }
    };
    let manifest = opened.value;
    if let Err(error) = read_all(store, progress, &manifest).await {
        proof::note_failure(store, name, &opened.sha256, &error).await;
        return Err(error);
    }
    Ok(Verified {
        backup: name.clone(),
        files: manifest.files.len(),
        size_bytes: manifest.size_bytes,
        authentic,
    })
}

/// The manifest of a backup that is finished, whoever wrote it.
pub(super) async fn open(store: &Store, name: &Name) -> Result<Opened<Manifest>, BackupError> {
    if let Some(read) = Manifest::read(store, name).await? {
        return Ok(read);
    }
    if store.files(name).await?.is_empty() {
        return Err(BackupError::NoBackup(format!(
            "there is no backup {name} in {}",
            store.location()
        )));
    }
    Err(BackupError::damaged(
        name,
        "it has no manifest: it was never finished, or its manifest was removed",
    ))
}

/// What a backup says is not to be acted on unless the installation's key has signed it: its dump is SQL that the owner runs.
///
/// # Errors
/// It is not signed, the signature is wrong, or there is no key to tell by; `unauthenticated` lets all of them pass.
pub(super) fn believe(opened: &Opened<Manifest>, unauthenticated: bool) -> Result<(), BackupError> {
    let name = &opened.value.backup;
    if opened.authenticity == Authenticity::Authentic {
        return Ok(());
    }
    let problem = signature(opened).unwrap_or_default();
    if unauthenticated {
        tracing::warn!(backup = %name, problem, "taken all the same");
        return Ok(());
    }
    let way_out = "--unauthenticated takes it by its checksums alone: then whoever can write to the store says what is restored";
    match opened.authenticity {
        Authenticity::NoKey | Authenticity::OtherKey(_) => Err(BackupError::Failed(format!(
            "the backup {name} is not believed: {problem}; {way_out}"
        ))),
        _ => Err(BackupError::NotAuthentic {
            backup: name.to_string(),
            problem: format!("{problem}; {way_out}"),
        }),
    }
}

/// What is wrong with the signature of a manifest; `None` when it is in order.
pub(super) fn signature(opened: &Opened<Manifest>) -> Option<String> {
    match &opened.authenticity {
        Authenticity::Authentic => None,
        Authenticity::Unsigned => {
            Some("its manifest is not signed, and an installation signs what it makes".to_owned())
        }
        Authenticity::Forged => Some("the signature of its manifest is wrong: it is damaged or forged".to_owned()),
        Authenticity::OtherKey(key) => Some(format!(
            "its manifest is signed with the key {key}, which is not in POSTGRES_ENCRYPTION_KEY: add that key, behind the others"
        )),
        Authenticity::NoKey => Some(
            "there is no encryption key here to check its signature with: set POSTGRES_ENCRYPTION_KEY (or …_FILE) to the key of \
             the installation"
                .to_owned(),
        ),
    }
}

/// The manifest of a backup that is finished and believed, with its checksum.
pub(super) async fn finished(context: &Context<'_>, name: &Name) -> Result<(Manifest, String), BackupError> {
    let opened = open(&context.store, name).await?;
    believe(&opened, context.unauthenticated)?;
    Ok((opened.value, opened.sha256))
}

/// Reads every byte of every file.
pub(super) async fn read_all(
    store: &Store,
    progress: &Progress,
    manifest: &Manifest,
) -> Result<(), BackupError> {
    // The sizes first: that costs nothing.
    if let Some(problem) = manifest.missing(store).await? {
        return Err(BackupError::damaged(&manifest.backup, problem));
    }
    let count = progress.step(format!("{}: verifying", manifest.backup), manifest.size_bytes);
    for file in &manifest.files {
        intake::verify(store, &manifest.backup, file, &count).await?;
    }
    debug_assert_eq!(count.load(Ordering::Relaxed), manifest.size_bytes);
    Ok(())
}

/// The cells, which have to be those that the manifest sums up.
pub(super) async fn census(
    context: &Context<'_>,
    manifest: &Manifest,
    identities: &Identities,
) -> Result<super::census::Census, BackupError> {
    let files = manifest.part(Part::Cells);
    let read = intake::fetch(
        &context.store,
        manifest,
        files,
        (identities, Packing::Zstd),
        Counter::default(),
        |stream| cells::read(stream),
    );
    let census = read.await?;
    check::agrees(manifest, &census)?;
    Ok(census)
}
