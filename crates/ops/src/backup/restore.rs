//! `restore`: into a database beside the others, checked there, and only then given its name.

use std::time::Instant;

use app_config::DatabaseAddress;
use db_core::Owner;
use serde::Serialize;

use super::archive::Identities;
use super::check::{self, Checked};
use super::create::milliseconds;
use super::frame::Frame;
use super::load::{PgRestore, load};
use super::manifest::{Manifest, Name};
use super::runs::{self, Kind, Outcome};
use super::scratch::Scratch;
use super::server::{self, Server};
use super::tools::Tool;
use super::{BackupError, Context, schema, swap, verify};

/// What to restore, and where to.
#[derive(Clone, Debug)]
pub struct Options {
    pub backup: Name,
    /// Database; the configured one where it is `None`.
    pub into: Option<String>,
    /// End the sessions of whoever is connected.
    pub force: bool,
    /// Drop the database that was replaced, instead of keeping it under another name.
    pub drop_replaced: bool,
}

/// What was restored.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    pub backup: Name,
    pub snapshot_at: chrono::DateTime<chrono::Utc>,
    pub database: String,
    /// Under which name the database stays that was there before.
    pub replaced: Option<String>,
    pub tables: u64,
    pub rows: u64,
    /// Secrets that were decrypted; `None` where there was no key to try.
    pub secrets: Option<u64>,
    pub duration_ms: u64,
}

/// Restores a backup. Until the last step, nothing of what is there is touched.
///
/// # Errors
/// See [`BackupError`].
pub async fn restore(context: &Context<'_>, options: &Options) -> Result<Restored, BackupError> {
    let restored = Box::pin(try_restore(context, options)).await;
    if let Err(error) = &restored {
        note_failure(context, options, error).await;
    }
    restored
}

/// Writes into the configured database, where it is there, that a restore has failed. One that succeeded stands in what was
/// restored.
async fn note_failure(context: &Context<'_>, options: &Options, error: &BackupError) {
    let noted = async {
        let client = server::connect(context.program, context.program.owner.address()).await?;
        let run = runs::begin(&client, Kind::Restore, &options.backup, context.store.location()).await?;
        run.end(&client, Err(error)).await
    };
    if let Err(other) = noted.await {
        tracing::debug!(error = %other, "the failed restore could not be written down");
    }
}

async fn try_restore(context: &Context<'_>, options: &Options) -> Result<Restored, BackupError> {
    let started = Instant::now();
    let (manifest, manifest_sha256) = verify::finished(context, &options.backup).await?;
    schema::require_known(&manifest)?;
    if let Some(keyring) = check::keyring(context)? {
        // Better now than after an hour: the rows would be there, and their secrets could not be read.
        keyring.check(&manifest.key_fingerprints).map_err(|error| {
            BackupError::Failed(format!("the backup {} cannot be used: {error}", manifest.backup))
        })?;
    } else if !manifest.key_fingerprints.is_empty() {
        tracing::warn!(
            "there is no encryption key here: whether the secrets in the backup can be read is not tried"
        );
    }
    let configured = &context.program.owner.address().database;
    let target = options.into.as_ref().unwrap_or(configured);
    let maintenance = super::scratch::maintenance(context.program, target).await?;
    super::scratch::may_make(&maintenance).await?;
    let replaced_frame = Frame::of(&maintenance, target).await?;
    if !options.force {
        swap::require_nobody(&maintenance, target).await?;
    }
    drop(maintenance);
    context.stop.or(verify::read_all(context, &manifest)).await?;

    let frame = replaced_frame.as_ref().unwrap_or(&manifest.frame);
    let mut scratch = Scratch::make(context.program, "plinth_restore_", &manifest.frame, target).await?;
    let work = async {
        let checked = fill(context, &scratch.address, &manifest).await?;
        finish(context, &scratch.address, &manifest, &manifest_sha256, checked).await?;
        Ok(checked)
    };
    let checked = match context.stop.or(Box::pin(work)).await {
        Ok(checked) => checked,
        Err(error) => {
            scratch.drop_database().await;
            return Err(error);
        }
    };
    context
        .progress
        .step(format!("{}: becoming {target}", manifest.backup), 0);
    let swapped = async {
        frame
            .apply(&scratch.maintenance, &scratch.address.database)
            .await?;
        scratch.release().await?;
        swap::swap(
            context.program,
            &scratch.maintenance,
            &scratch.address.database,
            target,
            options,
        )
        .await
    };
    // Not to be broken off: it takes a moment, and happens whole or not at all.
    let replaced = match swapped.await {
        Ok(replaced) => replaced,
        Err(error) => {
            scratch.drop_database().await;
            return Err(error);
        }
    };
    Ok(Restored {
        backup: manifest.backup.clone(),
        snapshot_at: manifest.snapshot_at,
        database: target.clone(),
        replaced,
        tables: checked.tables,
        rows: checked.rows,
        secrets: checked.secrets,
        duration_ms: milliseconds(started),
    })
}

/// What a database needs that is to be used: statistics, and a note of where it comes from.
async fn finish(
    context: &Context<'_>,
    address: &DatabaseAddress,
    manifest: &Manifest,
    manifest_sha256: &str,
    checked: Checked,
) -> Result<(), BackupError> {
    context
        .progress
        .step(format!("{}: gathering statistics", manifest.backup), 0);
    let client = server::connect(context.program, address).await?;
    client.batch_execute("ANALYZE").await?;
    let run = runs::begin(&client, Kind::Restore, &manifest.backup, context.store.location()).await?;
    let outcome = Outcome {
        snapshot_at: Some(manifest.snapshot_at),
        size_bytes: manifest.size_bytes,
        manifest_sha256: manifest_sha256.to_owned(),
        details: details(checked),
    };
    run.end(&client, Ok(&outcome)).await
}

pub(super) fn details(checked: Checked) -> serde_json::Value {
    serde_json::json!({
        "tables": checked.tables, "cells": checked.cells, "rows": checked.rows, "secrets": checked.secrets,
    })
}

/// Fills an empty database with the backup, and checks what came of it.
pub(super) async fn fill(
    context: &Context<'_>,
    address: &DatabaseAddress,
    manifest: &Manifest,
) -> Result<Checked, BackupError> {
    let program = context.program;
    let identities = Identities::read(&program.config.backup);
    let census = verify::census(context, manifest, &identities).await?;
    let client = server::connect(program, address).await?;
    let server = Server::of(&client).await?;
    let dump_major = manifest
        .pg_dump_version
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_default();
    if i64::from(server.major()) < i64::from(manifest.server_version_num / 10_000) {
        return Err(BackupError::Failed(format!(
            "the backup {} is from PostgreSQL {}, and the server is the older {}: restore into one at least as new",
            manifest.backup, manifest.server_version, server.version
        )));
    }
    let why = format!("the backup, which pg_dump {} made,", manifest.pg_dump_version);
    let tool = Tool::find(&program.config, "pg_restore", dump_major, &why).await?;
    schema::ensure_roles(&client, manifest).await?;
    let pg_restore = PgRestore {
        tool,
        address,
        server_major: server.major(),
    };
    load(context, &pg_restore, &client, manifest, &identities).await?;
    schema::give_back(&client, manifest).await?;
    // What was granted to a role since the connection was opened counts for a new one.
    let client = server::connect(program, address).await?;
    let owner = Owner::new(
        address,
        db_core::connect_options(&program.config.database, crate::program::NAME),
    )?;
    check::check(context, &client, &owner, manifest, &census).await
}
