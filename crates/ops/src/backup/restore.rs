//! `restore`: into a database beside the others, checked there, and only then given its name.

use std::time::Instant;

use app_config::DatabaseAddress;
use db_core::Owner;
use serde::Serialize;
use tokio_postgres::Client;

use super::archive::Identities;
use super::check::{self, Checked};
use super::create::milliseconds;
use super::frame::Frame;
use super::load::{PgRestore, load, load_around};
use super::manifest::{Manifest, Name};
use super::runs::{self, Kind, Outcome};
use super::scratch::Scratch;
use super::server::{self, Server};
use super::tools::Tool;
use super::{BackupError, Context, restore_rows, schema, swap, takeover, verify};

/// What to restore, and where to.
#[derive(Clone, Debug)]
pub struct Options {
    pub backup: Name,
    /// Database; the configured one where it is `None`.
    pub into: Option<String>,
    /// End the sessions of whoever is connected.
    pub force: bool,
    /// Take over a backup of another installation; only with `into`.
    pub of_another_installation: bool,
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
    /// Why the schema's fingerprint was not compared; `None` where it was.
    pub schema_not_compared: Option<&'static str>,
    /// Settings and privileges of the database that could not be set, each with the reason.
    pub not_set: Vec<String>,
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
    takeover::require(context, options, &manifest, &manifest_sha256).await?;
    let maintenance = super::scratch::maintenance(context.program, target).await?;
    super::scratch::may_make(&maintenance).await?;
    let replaced_frame = Frame::of(&maintenance, target).await?;
    if options.force {
        swap::require_endable(&maintenance, target).await?;
    } else {
        swap::require_nobody(&maintenance, target).await?;
    }
    // What is refused is refused now.
    schema::heir(&maintenance, replaced_frame.as_ref(), &manifest).await?;
    drop(maintenance);
    context
        .stop
        .or(verify::read_all(&context.store, context.progress, &manifest))
        .await?;

    let frame = replaced_frame.as_ref().unwrap_or(&manifest.frame);
    let mut scratch = Scratch::make(context.program, "plinth_restore_", &manifest.frame, target).await?;
    let work = async {
        let checked = fill(context, &scratch.address, &manifest, replaced_frame.as_ref()).await?;
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
        let not_set = frame.apply(&scratch.maintenance, &scratch.address.database).await;
        scratch.release().await?;
        let replaced = swap::swap(
            context.program,
            &scratch.maintenance,
            &scratch.address.database,
            target,
            options,
        )
        .await?;
        Ok::<_, BackupError>((replaced, not_set))
    };
    // Not to be broken off: it takes a moment, and happens whole or not at all.
    let (replaced, not_set) = match swapped.await {
        Ok(done) => done,
        Err(error) => {
            scratch.drop_database().await;
            return Err(error);
        }
    };
    for one in &not_set {
        tracing::warn!(not_set = one, "could not be set for the restored database");
    }
    Ok(Restored {
        backup: manifest.backup.clone(),
        snapshot_at: manifest.snapshot_at,
        database: target.clone(),
        replaced,
        tables: checked.tables,
        rows: checked.rows,
        secrets: checked.secrets,
        schema_not_compared: checked.schema_not_compared,
        not_set,
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
        "schema_not_compared": checked.schema_not_compared,
    })
}

/// Fills an empty database with the backup, and checks what came of it. It becomes the property of who owns `replaced`, the database
/// whose place it is to take, or the backup's.
pub(super) async fn fill(
    context: &Context<'_>,
    address: &DatabaseAddress,
    manifest: &Manifest,
    replaced: Option<&Frame>,
) -> Result<Checked, BackupError> {
    let program = context.program;
    let identities = Identities::read(&program.config.backup);
    let census = verify::census(context, manifest, &identities).await?;
    let (client, pg_restore) = prepare(context, address, manifest).await?;
    load(context, &pg_restore, manifest, &identities).await?;
    let heir = schema::heir(&client, replaced, manifest).await?;
    schema::give_back(&client, manifest, &address.database, heir.as_deref()).await?;
    // What was granted to a role since the connection was opened counts for a new one.
    let client = server::connect(program, address).await?;
    let owner = Owner::new(
        address,
        db_core::connect_options(&program.config.database, crate::program::NAME),
    )?;
    check::check(context, address, &client, &owner, manifest, &census).await
}

/// Fills an empty database with the tables of the backup, of which one domain's rows are there, and those that belong to no other
/// domain, and compares these. Of a domain that the backup has not, nothing.
pub(super) async fn fill_domain(
    context: &Context<'_>,
    address: &DatabaseAddress,
    manifest: &Manifest,
    domain: &str,
) -> Result<(), BackupError> {
    // What was cut off is told by its size; the rest by checksums.
    if let Some(problem) = manifest.missing(&context.store).await? {
        return Err(BackupError::damaged(&manifest.backup, problem));
    }
    let identities = Identities::read(&context.program.config.backup);
    let census = verify::census(context, manifest, &identities).await?;
    let chunks = restore_rows::index(context, manifest, &identities).await?;
    let (client, pg_restore) = prepare(context, address, manifest).await?;
    let mut found = None;
    let rows = async {
        let (domains, others): (Vec<_>, Vec<_>) = chunks
            .into_iter()
            .partition(|chunk| chunk.table == "public.domains");
        let platform = db_core::PLATFORM_DOMAIN.uuid();
        restore_rows::of_domain(context, address, manifest, &identities, domains, platform).await?;
        let row = client
            .query_opt(
                "SELECT id FROM public.domains WHERE slug = $1 OR id::text = lower($1) ORDER BY slug <> $1 LIMIT 1",
                &[&domain],
            )
            .await?;
        let Some(row) = row else { return Ok(()) };
        let id = row.get(0);
        found = Some(id);
        restore_rows::of_domain(context, address, manifest, &identities, others, id).await
    };
    load_around(context, &pg_restore, manifest, &identities, rows).await?;
    let Some(id) = found else { return Ok(()) };
    let client = server::connect(context.program, address).await?;
    check::check_domain(context, address, &client, manifest, &census, id).await
}

/// What it takes to restore into a database: a server that is new enough, pg_restore, the roles.
async fn prepare<'a>(
    context: &Context<'_>,
    address: &'a DatabaseAddress,
    manifest: &Manifest,
) -> Result<(Client, PgRestore<'a>), BackupError> {
    let program = context.program;
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
    if dump_major >= 15 && server.major() < 15 {
        schema::shut_public(&client).await?;
    }
    let pg_restore = PgRestore {
        tool,
        address,
        server_major: server.major(),
    };
    Ok((client, pg_restore))
}
