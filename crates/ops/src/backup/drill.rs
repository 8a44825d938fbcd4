//! `backup drill`: the backup is restored into a database of its own, compared, and the proof is kept.

use std::time::Instant;

use serde::Serialize;

use super::create::{holder, milliseconds};
use super::locks;
use super::manifest::{self, Manifest, Name};
use super::proof::Proof;
use super::restore::{details, fill};
use super::runs::{self, Kind, Outcome, Run};
use super::scratch::Scratch;
use super::seal::{Authenticity, Opened};
use super::server::{self, Server};
use super::{BackupError, Context, installation, proof, schema, verify};

/// What a drill has shown.
#[derive(Clone, Debug, Serialize)]
pub struct Drilled {
    pub backup: Name,
    pub proved_at: chrono::DateTime<chrono::Utc>,
    pub tables: u64,
    pub cells: u64,
    pub rows: u64,
    /// Secrets that were decrypted; `None` where there was no key to try.
    pub secrets: Option<u64>,
    /// Why the schema's fingerprint was not compared; `None` where it was.
    pub schema_not_compared: Option<String>,
    pub duration_ms: u64,
    /// Whether it counts as a proof: not where nobody could tell who wrote the backup.
    pub counts: bool,
}

/// Restores a backup into a scratch database, compares it with what the backup says, and drops it again.
///
/// # Errors
/// [`BackupError::Differs`] and [`BackupError::Damaged`] say that the backup is no good; see [`BackupError`] for the rest.
pub async fn drill(context: &Context<'_>, name: &Name) -> Result<Drilled, BackupError> {
    let started = Instant::now();
    let program = context.program;
    let keeper = server::connect(program, program.owner.address()).await?;
    let got: bool = keeper
        .query_one("SELECT pg_try_advisory_lock($1)", &[&locks::DRILL])
        .await?
        .get(0);
    if !got {
        return Err(BackupError::Busy(format!(
            "another drill is under way, by {}",
            holder(&keeper, locks::DRILL).await?
        )));
    }
    runs::bury(&keeper, Kind::Drill, context.store.location()).await?;
    let opened = verify::open(&context.store, name).await;
    let counts = opened.as_ref().map_or(true, |opened| {
        opened.authenticity == Authenticity::Authentic || !context.unauthenticated
    });
    let run = if counts {
        runs::begin(&keeper, Kind::Drill, name, context.store.location()).await?
    } else {
        Run::untold()
    };
    let mut manifest_sha256 = None;
    let work = async {
        let opened = opened?;
        verify::believe(&opened, context.unauthenticated)?;
        let Opened {
            value: manifest,
            sha256,
            ..
        } = opened;
        installation::same(&context.store, &manifest, installation::of(&keeper).await?)?;
        schema::require_known(&manifest)?;
        runs::require_recorded(&keeper, name, &sha256).await?;
        manifest_sha256 = Some(sha256.clone());
        if let Some(problem) = manifest.missing(&context.store).await? {
            return Err(BackupError::damaged(name, problem));
        }
        prove(context, &manifest, sha256, started, counts).await
    };
    let proved = Box::pin(work).await;
    match proved {
        Ok((proof, outcome)) => {
            run.end(&keeper, Ok(&outcome)).await?;
            Ok(Drilled {
                backup: proof.backup,
                proved_at: proof.proved_at,
                tables: proof.tables,
                cells: proof.cells,
                rows: proof.rows,
                secrets: proof.secrets,
                schema_not_compared: proof.schema_not_compared,
                duration_ms: proof.duration_ms,
                counts,
            })
        }
        Err(error) => {
            if let Some(sha256) = &manifest_sha256 {
                proof::note_failure(&context.store, name, sha256, &error).await;
            }
            run.failed(&keeper, &error).await;
            Err(error)
        }
    }
}

async fn prove(
    context: &Context<'_>,
    manifest: &Manifest,
    manifest_sha256: String,
    started: Instant,
    counts: bool,
) -> Result<(Proof, Outcome), BackupError> {
    let scratch = Scratch::make(context.program, "plinth_drill_", &manifest.frame, "").await?;
    let filled = context
        .stop
        .or(Box::pin(fill(context, &scratch.address, manifest, None)))
        .await;
    let server = Server::of(&scratch.maintenance).await;
    scratch.drop_database().await;
    let (checked, server) = (filled?, server?);
    let proof = Proof {
        backup: manifest.backup.clone(),
        manifest_sha256: manifest_sha256.clone(),
        proved_at: server.now,
        duration_ms: milliseconds(started),
        plinth_version: env!("CARGO_PKG_VERSION").to_owned(),
        server_version: server.version,
        tables: checked.tables,
        cells: checked.cells,
        rows: checked.rows,
        secrets: checked.secrets,
        schema_not_compared: checked.schema_not_compared.map(ToOwned::to_owned),
    };
    if counts {
        proof.clone().write(&context.store).await?;
    }
    // What was deleted meanwhile is proved to nobody's good.
    if context
        .store
        .read(&manifest.backup, manifest::FILE)
        .await?
        .is_none()
    {
        context.store.delete(&manifest.backup, manifest::FILE).await?;
        return Err(BackupError::NoBackup(format!(
            "the backup {} was deleted during its drill",
            manifest.backup
        )));
    }
    // An exchanged manifest is none of the drill's, and the proof, which names the old one, does not count for it.
    verify::finished(context, &manifest.backup).await?;
    let outcome = Outcome {
        snapshot_at: Some(manifest.snapshot_at),
        size_bytes: manifest.size_bytes,
        manifest_sha256,
        details: details(checked),
    };
    Ok((proof, outcome))
}
