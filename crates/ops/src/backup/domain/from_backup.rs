//! One domain out of a backup of everything: its rows alone are read, and restored into a database of its own first.

use std::path::Path;
use std::time::Instant;

use super::export::{Exported, export_from};
use super::{DomainError, Task};
use crate::backup::create::milliseconds;
use crate::backup::restore::fill_domain;
use crate::backup::scratch::Scratch;
use crate::backup::{Context, Name, schema, verify};

/// Writes a domain into an archive as a backup has it. Its rows are compared with what the backup says of them; other domains'
/// are not read, but for a few that are packed together with its own.
///
/// # Errors
/// See [`DomainError`].
pub async fn export_from_backup(
    context: &Context<'_>,
    backup: &Name,
    domain: &str,
    to: Option<&Path>,
) -> Result<Exported, DomainError> {
    let task = Task {
        program: context.program,
        progress: context.progress,
        stop: context.stop,
    };
    let started = Instant::now();
    let before = context.store.bytes_read();
    let (manifest, _) = verify::finished(context, backup).await?;
    schema::require_known(&manifest)?;
    let scratch = Scratch::make(context.program, "plinth_drill_", &manifest.frame, "").await?;
    let work = async {
        fill_domain(context, &scratch.address, &manifest, domain).await?;
        let source = (backup.to_string(), manifest.snapshot_at);
        let exported = export_from(task, &scratch.address, Some(source), domain, to).await?;
        Ok(Exported {
            read: Some((context.store.bytes_read() - before, manifest.size_bytes)),
            duration_ms: milliseconds(started),
            ..exported
        })
    };
    let exported = task.or_stop(Box::pin(work)).await;
    scratch.drop_database().await;
    exported
}
