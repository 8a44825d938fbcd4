//! One domain out of a backup of everything: the backup is restored into a database of its own first.

use std::path::Path;

use super::export::{Exported, export_from};
use super::{DomainError, Task};
use crate::backup::restore::fill;
use crate::backup::scratch::Scratch;
use crate::backup::{Context, Name, schema, verify};

/// Writes a domain into an archive as a backup has it. The backup is checked as a drill checks it.
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
    let (manifest, _) = verify::finished(context, backup).await?;
    schema::require_known(&manifest)?;
    let scratch = Scratch::make(context.program, "plinth_drill_", &manifest.frame, "").await?;
    let work = async {
        fill(context, &scratch.address, &manifest).await?;
        let source = (backup.to_string(), manifest.snapshot_at);
        export_from(task, &scratch.address, Some(source), domain, to).await
    };
    let exported = task.or_stop(Box::pin(work)).await;
    scratch.drop_database().await;
    exported
}
