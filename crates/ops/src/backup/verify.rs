//! `backup verify`: re-reads every byte, and restores nothing.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::archive::Identities;
use super::manifest::{Manifest, Name, Part};
use super::progress::Counter;
use super::{BackupError, Context, cells, check, intake};

/// What was read.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    pub backup: Name,
    pub files: usize,
    pub size_bytes: u64,
}

/// Reads every file of a backup and holds it against the manifest.
///
/// # Errors
/// [`BackupError::Damaged`] says which file is what it should not be.
pub async fn verify(context: &Context<'_>, name: &Name) -> Result<Verified, BackupError> {
    let (manifest, _) = finished(context, name).await?;
    read_all(context, &manifest).await?;
    Ok(Verified {
        backup: name.clone(),
        files: manifest.files.len(),
        size_bytes: manifest.size_bytes,
    })
}

/// The manifest of a backup that is finished, with its checksum.
pub(super) async fn finished(context: &Context<'_>, name: &Name) -> Result<(Manifest, String), BackupError> {
    if let Some(read) = Manifest::read(&context.store, name).await? {
        return Ok(read);
    }
    if context.store.files(name).await?.is_empty() {
        return Err(BackupError::NoBackup(format!(
            "there is no backup {name} in {}",
            context.store.location()
        )));
    }
    Err(BackupError::damaged(
        name,
        "it has no manifest: it was never finished, or its manifest was removed",
    ))
}

/// Reads every byte of every file.
pub(super) async fn read_all(context: &Context<'_>, manifest: &Manifest) -> Result<(), BackupError> {
    // The sizes first: that costs nothing.
    if let Some(problem) = manifest.missing(&context.store).await? {
        return Err(BackupError::damaged(&manifest.backup, problem));
    }
    let count = context
        .progress
        .step(format!("{}: verifying", manifest.backup), manifest.size_bytes);
    for file in &manifest.files {
        intake::verify(&context.store, &manifest.backup, file, &count).await?;
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
        identities,
        Counter::default(),
        |stream| cells::read(stream),
    );
    let census = read.await?;
    check::agrees(manifest, &census)?;
    Ok(census)
}
