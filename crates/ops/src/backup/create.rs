//! `backup create`: dump, rows and cells of one snapshot, streamed to the store, the manifest last.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use db_core::Clock;
use db_core::secrets::encrypted::{ENCRYPTED, key_usage};
use db_core::secrets::keyring::Keyring;
use db_core::setup::KeyError;
use tokio_postgres::Client;

use super::archive::Recipients;
use super::bounds::Unpacked;
use super::census::Census;
use super::channel::Received;
use super::frame::Frame;
use super::index::Chunks;
use super::locks;
use super::manifest::{self, Manifest, Name, Part};
use super::outlet::Outlet;
use super::progress::Counter;
use super::runs::{self, Kind, Outcome};
use super::scan::Readers;
use super::server::{self, Server, Sight};
use super::shape::{self, Table};
use super::tools::Tool;
use super::{BackupError, Context, cells, installation, schema, seal};

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
    /// Whose rows are read by ourselves.
    tables: Arc<Vec<Table>>,
    readers: Option<Readers>,
}

/// What is being uploaded: two streams at a time.
struct Outlets<'a> {
    dump: Outlet<'a>,
    rows: Outlet<'a>,
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
    let installation = installation::require(&keeper, &program.owner.address().database).await?;
    let keyring = require_keyring(context)?;
    // Under a key that the installation does not know, nobody could take the backup for its own.
    keyring.check(&keys(&keeper).await?.0).map_err(KeyError::from)?;
    installation::require_own_place(&context.store, installation).await?;
    let tool = Tool::find(
        &program.config,
        "pg_dump",
        server.major(),
        &format!("the server, PostgreSQL {},", server.version),
    )
    .await?;
    lock(&keeper).await?;
    let mut dead = runs::bury(&keeper, Kind::Backup, context.store.location()).await?;
    // A store that went away could not be cleared of what had reached it.
    let there = context.store.names().await?;
    dead.append(&mut runs::failed_backups(&keeper, context.store.location(), &there).await?);
    for dead in dead {
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
    let mut snapshot = Snapshot::take(context).await?;
    let run = runs::begin(&keeper, Kind::Backup, &name, context.store.location()).await?;
    let outlet = || Outlet::new(&context.store, &name, recipients.clone());
    let mut outlets = Outlets {
        dump: outlet(),
        rows: outlet(),
    };
    let started = Instant::now();
    let work = dump(
        context,
        &keeper,
        &server,
        &tool,
        &mut snapshot,
        &name,
        &recipients,
        &mut outlets,
        started,
    );
    match context.stop.or(Box::pin(work)).await {
        Ok(outcome) => {
            run.end(&keeper, Ok(&outcome)).await?;
            Ok(name)
        }
        Err(error) => {
            outlets.dump.abort().await;
            outlets.rows.abort().await;
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
    snapshot: &mut Snapshot,
    name: &Name,
    recipients: &Recipients,
    outlets: &mut Outlets<'_>,
    started: Instant,
) -> Result<Outcome, BackupError> {
    let owner = &context.program.owner;
    let readers = snapshot.readers.take();
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
    let (chunks, received) = Chunks::new();
    let dumped = Counter::default();
    let (first, first_byte) = tokio::sync::oneshot::channel();
    let dumping = run_pg_dump(
        context,
        tool,
        snapshot,
        &mut outlets.dump,
        Counter::clone(&dumped),
        first,
    );
    // pg_dump writes its first byte when it has locked every table and read the whole schema.
    let letting_go = async {
        if first_byte.await.is_ok() {
            keeper
                .execute("SELECT pg_advisory_unlock_shared($1)", &[&locks::MIGRATIONS])
                .await?;
        }
        Ok::<(), BackupError>(())
    };
    let storing = outlets.rows.put(
        Part::Rows,
        "rows.copy",
        Received::new(received),
        Counter::default(),
        None,
    );
    let reading = async {
        let chunks = Arc::new(chunks);
        let census = match readers {
            Some(readers) => readers.read(&snapshot.tables, Some(&chunks), &bytes).await?,
            None => Census::default(),
        };
        let chunks = Arc::into_inner(chunks)
            .ok_or_else(|| BackupError::Failed("a connection still reads".to_owned()))?;
        Ok((census, chunks.into_index(&snapshot.tables)))
    };
    let ((census, index), (), (), ()) = futures_util::try_join!(reading, storing, dumping, letting_go)?;
    let count = context.progress.step(format!("{name}: index and cells"), 0);
    let outlet = &mut outlets.rows;
    let written = cells::write(&census);
    let unpacked = Unpacked {
        dump: dumped.load(Ordering::Relaxed),
        index: index.get_ref().len() as u64,
        cells: written.get_ref().len() as u64,
    };
    outlet
        .put(Part::Index, "index.tsv", index, Counter::clone(&count), None)
        .await?;
    outlet.put(Part::Cells, "cells.tsv", written, count, None).await?;

    let mut files = std::mem::take(&mut outlets.dump.files);
    files.append(&mut outlets.rows.files);
    let size_bytes = files.iter().map(|file| file.size).sum();
    let manifest = Manifest {
        format: Manifest::FORMAT,
        backup: name.clone(),
        installation: installation::require(client, database).await?,
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
        tables: cells::totals(
            &census,
            snapshot.tables.iter().map(|table| (&table.name, &table.shape)),
        ),
        rows: census.rows(),
        cells: census.cells(),
        files,
        size_bytes,
        unpacked,
    };
    let (sealed, manifest_sha256) = seal::seal(&manifest, manifest::FILE, context.store.keyring())
        .map_err(|error| BackupError::Failed(error.to_string()))?;
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
    bytes: Counter,
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
    if snapshot.sight == Sight::ByPolicies {
        command.arg("--enable-row-security");
    }
    for table in shape::with_partitions(&snapshot.client, &snapshot.tables).await? {
        command.arg("--exclude-table-data").arg(table);
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
    /// Begins a transaction and exports its snapshot, for pg_dump and for those who read the rows.
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
        let id: String = row.get(0);
        let tables = shape::read(&client).await?;
        let readers = Readers::connect(context, context.program.owner.address(), &id, &tables).await?;
        Ok(Self {
            id,
            at: row.get(1),
            client,
            sight,
            tables: Arc::new(tables),
            readers: Some(readers),
        })
    }
}

/// One backup at a time: the second would only slow the first one down.
async fn lock(client: &Client) -> Result<(), BackupError> {
    let got: bool = client
        .query_one("SELECT pg_try_advisory_lock($1)", &[&locks::BACKUP])
        .await?
        .get(0);
    if got {
        return Ok(());
    }
    Err(BackupError::Busy(format!(
        "another backup of this database is being made, by {}",
        holder(client, locks::BACKUP).await?
    )))
}

/// Waits for a migration that is running.
pub(super) async fn lock_migrations(client: &Client) -> Result<(), BackupError> {
    let started = Instant::now();
    loop {
        let got: bool = client
            .query_one("SELECT pg_try_advisory_lock_shared($1)", &[&locks::MIGRATIONS])
            .await?
            .get(0);
        if got {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(BackupError::Busy(format!(
                "a migration has been running for {} s, by {}",
                PATIENCE.as_secs(),
                holder(client, locks::MIGRATIONS).await?
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

/// The key that the backup is signed with: without it, nobody could tell it from one that somebody put in its place.
fn require_keyring<'a>(context: &'a Context<'_>) -> Result<&'a Keyring, BackupError> {
    context.store.keyring().ok_or_else(|| {
        BackupError::Config(
            "there is no encryption key here, and a backup is signed with it: set POSTGRES_ENCRYPTION_KEY (or …_FILE) to the key of \
             the installation"
                .to_owned(),
        )
    })
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
