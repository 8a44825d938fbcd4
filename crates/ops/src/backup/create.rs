//! `backup create`: dump and cells of one snapshot, streamed to the store, the manifest last.

use std::process::Stdio;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use db_core::Clock;
use db_core::secrets::encrypted::{ENCRYPTED, key_usage};
use tokio_postgres::Client;

use super::archive::Recipients;
use super::census::Census;
use super::frame::Frame;
use super::manifest::{self, Manifest, Name, Part};
use super::outlet::Outlet;
use super::runs::{self, Kind, Outcome};
use super::server::{self, Server, Sight};
use super::tools::Tool;
use super::{BackupError, Context, cells, census, rooted, schema, seal};

/// Advisory lock that a backup holds: one at a time. Advisory locks are per database.
const LOCK: i64 = 0x506c_696e_7468_426b; // "PlinthBk"

/// That of migrations (db-core, `migrate/lock.rs`), taken shared until pg_dump has locked the tables.
const MIGRATION_LOCK: i64 = 0x506c_696e_7468_4d69; // "PlinthMi"

/// How long a running migration is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clocks that are further apart would give backups false names, and the pruning false days.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// How long pg_dump waits for a table that somebody has locked.
const LOCK_WAIT: &str = "60000";

/// What is read of the snapshot.
struct Snapshot {
    client: Client,
    id: String,
    at: DateTime<Utc>,
    sight: Sight,
}

/// Makes a backup. Whatever fails on the way, nothing that could be taken for a backup is left.
///
/// # Errors
/// See [`BackupError`].
pub async fn create(context: &Context<'_>) -> Result<Name, BackupError> {
    let program = context.program;
    let recipients = Recipients::read(&program.config.backup)?;
    // Holds the locks, and writes the run down.
    let keeper = server::connect(program, program.owner.address()).await?;
    let server = Server::of(&keeper).await?;
    server::sight(&keeper).await?;
    check_clock(server.now)?;
    let tool = Tool::find(
        &program.config,
        "pg_dump",
        server.major(),
        &format!("the server, PostgreSQL {},", server.version),
    )
    .await?;
    lock(&keeper).await?;
    for dead in runs::bury(&keeper, Kind::Backup, context.store.location()).await? {
        discard(context, &dead).await;
    }
    let name = Name::new(server.now);
    if let Some(newest) = context.store.names().await?.last()
        && newest.at() > name.at() + CLOCK_SKEW
    {
        return Err(BackupError::Failed(format!(
            "the clock says {}, and there is a backup {newest} already: one of the two times is wrong; see to the clock, or \
             move that backup elsewhere",
            name.at()
        )));
    }
    lock_migrations(&keeper).await?;
    let snapshot = Snapshot::take(context).await?;
    let run = runs::begin(&keeper, Kind::Backup, &name, context.store.location()).await?;
    let mut outlet = Outlet::new(&context.store, &name, recipients.clone());
    let started = Instant::now();
    let work = dump(
        context,
        &keeper,
        &server,
        &tool,
        &snapshot,
        &name,
        &recipients,
        &mut outlet,
        started,
    );
    match context.stop.or(Box::pin(work)).await {
        Ok(outcome) => {
            run.end(&keeper, Ok(&outcome)).await?;
            Ok(name)
        }
        Err(error) => {
            outlet.abort().await;
            discard(context, &name).await;
            run.failed(&keeper, &error).await;
            Err(error)
        }
    }
}

/// Removes what a failed or killed backup left; never one that is finished.
async fn discard(context: &Context<'_>, name: &Name) {
    let removed = async {
        if context.store.read(name, manifest::FILE).await?.is_none() {
            context.store.delete(name, manifest::FILE).await?;
        }
        Ok::<(), BackupError>(())
    };
    if let Err(error) = removed.await {
        tracing::warn!(%error, backup = %name, "an unfinished backup could not be removed; `backup prune` tries again");
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "one step, taken apart for the sake of cleaning up"
)]
async fn dump(
    context: &Context<'_>,
    keeper: &Client,
    server: &Server,
    tool: &Tool,
    snapshot: &Snapshot,
    name: &Name,
    recipients: &Recipients,
    outlet: &mut Outlet<'_>,
    started: Instant,
) -> Result<Outcome, BackupError> {
    let owner = &context.program.owner;
    let client = &snapshot.client;
    // Before the rows: definitions are printed from the newest catalogue, and the migrations' lock holds only for now.
    let schema = schema::read(client, owner).await?;
    let database = &owner.address().database;
    let frame = Frame::of(client, database)
        .await?
        .ok_or_else(|| BackupError::Failed(format!("the database {database} is not in pg_database")))?;
    let roles = schema::roles(client).await?;
    let others_objects = schema::others_objects(client).await?;
    let (key_fingerprints, key_ids) = keys(client).await?;

    let bytes = context.progress.step(format!("{name}: dumping"), 0);
    let census = {
        let (first, first_byte) = tokio::sync::oneshot::channel();
        let dumping = run_pg_dump(context, tool, snapshot, outlet, bytes, first);
        // pg_dump writes its first byte when it has locked every table and read the whole schema.
        let letting_go = async {
            if first_byte.await.is_ok() {
                keeper
                    .execute("SELECT pg_advisory_unlock_shared($1)", &[&MIGRATION_LOCK])
                    .await?;
            }
            Ok::<(), BackupError>(())
        };
        let tables = super::progress::Counter::default();
        let (census, (), ()) = futures_util::try_join!(census::take(client, &tables), dumping, letting_go)?;
        census
    };
    let bytes = context
        .progress
        .step(format!("{name}: partitioned tables and cells"), 0);
    rooted::store(client, snapshot.sight.rooted(), outlet, &bytes).await?;
    outlet
        .put(Part::Cells, "cells.tsv", cells::write(&census), bytes, None)
        .await?;

    let files = std::mem::take(&mut outlet.files);
    let size_bytes = files.iter().map(|file| file.size).sum();
    let manifest = Manifest {
        format: Manifest::FORMAT,
        backup: name.clone(),
        plinth_version: env!("CARGO_PKG_VERSION").to_owned(),
        snapshot_at: snapshot.at,
        finished_at: Server::of(client).await?.now,
        duration_ms: milliseconds(started),
        database: database.clone(),
        owner: owner.address().user.clone(),
        server_version: server.version.clone(),
        server_version_num: server.version_num,
        pg_dump_version: tool.version.clone(),
        schema,
        frame,
        roles,
        others_objects,
        key_fingerprints,
        key_ids,
        recipients: recipients.names(),
        rooted: snapshot.sight.rooted().to_vec(),
        tables: cells::totals(&census),
        rows: census.rows(),
        cells: census.cells(),
        files,
        size_bytes,
    };
    let (sealed, manifest_sha256) =
        seal::seal(&manifest).map_err(|error| BackupError::Failed(error.to_string()))?;
    context.store.write(name, manifest::FILE, sealed).await?;
    // Somebody's lifecycle rule, or a pruning that took it for dead, may have been at work all the while.
    if let Some(problem) = manifest.missing(&context.store).await? {
        return Err(BackupError::damaged(name, problem));
    }
    Ok(Outcome {
        snapshot_at: Some(manifest.snapshot_at),
        size_bytes,
        manifest_sha256,
        details: details(&census),
    })
}

fn details(census: &Census) -> serde_json::Value {
    serde_json::json!({ "tables": census.tables.len(), "cells": census.cells(), "rows": census.rows() })
}

async fn run_pg_dump(
    context: &Context<'_>,
    tool: &Tool,
    snapshot: &Snapshot,
    outlet: &mut Outlet<'_>,
    bytes: super::progress::Counter,
    first: tokio::sync::oneshot::Sender<()>,
) -> Result<(), BackupError> {
    let io = |source| BackupError::Io {
        doing: "cannot make a pipe".to_owned(),
        source,
    };
    let (reader, writer) = std::io::pipe().map_err(io)?;
    let mut command = tool.command(context.program.owner.address(), "plinth-ops pg_dump");
    command
        .args([
            "--format=custom",
            "--compress=0",
            "--lock-wait-timeout",
            LOCK_WAIT,
            "--snapshot",
            &snapshot.id,
        ])
        .stdout(Stdio::from(writer));
    if snapshot.sight.by_policies() {
        command.arg("--enable-row-security");
        for leaf in rooted::leaves(&snapshot.client, snapshot.sight.rooted()).await? {
            command.arg("--exclude-table-data").arg(leaf);
        }
    }
    // `start` takes the command, and with it our end of the pipe that pg_dump writes to.
    let mut running = tool.start(command)?;
    let (stored, ended) = futures_util::join!(
        outlet.put(Part::Dump, "database.dump", reader, bytes, Some(first)),
        running.end()
    );
    // What pg_dump says is the cause, when both fail.
    match ended?.check() {
        Err(error) if stored.is_ok() => Err(error),
        Err(error) => {
            tracing::debug!(%error);
            stored.and(Err(error))
        }
        Ok(()) => stored,
    }
}

impl Snapshot {
    /// Begins a transaction and exports its snapshot, for pg_dump and for the cells.
    async fn take(context: &Context<'_>) -> Result<Self, BackupError> {
        let client = server::connect(context.program, context.program.owner.address()).await?;
        let sight = server::sight(&client).await?;
        client
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        // The first query takes the snapshot.
        let row = client
            .query_one("SELECT pg_export_snapshot(), clock_timestamp()", &[])
            .await?;
        Ok(Self {
            id: row.get(0),
            at: row.get(1),
            client,
            sight,
        })
    }
}

/// One backup at a time: the second would only slow the first one down.
async fn lock(client: &Client) -> Result<(), BackupError> {
    let got: bool = client
        .query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])
        .await?
        .get(0);
    if got {
        return Ok(());
    }
    Err(BackupError::Busy(format!(
        "another backup of this database is being made, by {}",
        holder(client, LOCK).await?
    )))
}

/// Waits for a migration that is running.
pub(super) async fn lock_migrations(client: &Client) -> Result<(), BackupError> {
    let started = Instant::now();
    loop {
        let got: bool = client
            .query_one("SELECT pg_try_advisory_lock_shared($1)", &[&MIGRATION_LOCK])
            .await?
            .get(0);
        if got {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(BackupError::Busy(format!(
                "a migration has been running for {} s, by {}",
                PATIENCE.as_secs(),
                holder(client, MIGRATION_LOCK).await?
            )));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Who has an advisory lock of this database.
pub(super) async fn holder(client: &Client, key: i64) -> Result<String, BackupError> {
    let row = client
        .query_opt(
            "SELECT format('pid %s, role %s, since %s', a.pid, a.usename, a.backend_start)
               FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
              WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND (l.classid::bigint << 32) | l.objid::bigint = $1",
            &[&key],
        )
        .await?;
    Ok(row.map_or_else(|| "somebody who has just finished".to_owned(), |row| row.get(0)))
}

fn check_clock(server_now: DateTime<Utc>) -> Result<(), BackupError> {
    let ours = Clock::System.now();
    if (ours - server_now).abs() <= CLOCK_SKEW {
        return Ok(());
    }
    Err(BackupError::Failed(format!(
        "this machine's clock says {}, and the database server's {}: one of them is wrong, and backups are named, and kept, by \
         their time",
        ours.format("%Y-%m-%d %H:%M:%SZ"),
        server_now.format("%Y-%m-%d %H:%M:%SZ")
    )))
}

/// Fingerprints of the keys that the installation remembers, and ids of those that rows name.
async fn keys(client: &Client) -> Result<(Vec<String>, Vec<String>), BackupError> {
    let there: bool = client
        .query_one("SELECT to_regclass('public.installation') IS NOT NULL", &[])
        .await?
        .get(0);
    let fingerprints = if there {
        client
            .query_opt("SELECT key_fingerprints FROM public.installation", &[])
            .await?
            .map(|row| row.get(0))
            .unwrap_or_default()
    } else {
        Vec::new()
    };
    let usage = key_usage(client, ENCRYPTED).await?;
    let ids: std::collections::BTreeSet<String> = usage.into_iter().map(|(_, key, _)| key).collect();
    Ok((fingerprints, ids.into_iter().collect()))
}

pub(super) fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_are_apart_are_told_with_both_times() {
        let now = Clock::System.now();
        for apart in [
            TimeDelta::minutes(6),
            -TimeDelta::minutes(6),
            TimeDelta::days(400),
        ] {
            let problem = check_clock(now + apart).unwrap_err().to_string();
            assert!(
                problem.contains(&(now + apart).format("%Y-%m-%d %H:%M").to_string()),
                "{problem}"
            );
        }
        check_clock(now - TimeDelta::minutes(4)).unwrap();
    }
}
