//! `domain export`: a domain's rows of one moment, table by table, into an archive.

use std::path::{Path, PathBuf};
use std::time::Instant;

use app_config::DatabaseAddress;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Client;

use super::catalogue::{Table, Tables};
use super::file::Writer;
use super::manifest::{self, DomainName, Installation, Manifest, TableRows};
use super::{DomainError, Task, rows, session};
use crate::backup::archive::Recipients;
use crate::backup::create::milliseconds;
use crate::backup::server::Server;

/// Sessions end where a domain is restored, and their tokens' hashes are nobody's business: they are not carried.
fn is_left_out(table: &Table) -> bool {
    table.name == "public.sessions"
}

/// What was exported.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    pub archive: PathBuf,
    pub domain: DomainName,
    pub snapshot_at: DateTime<Utc>,
    /// The backup that it was taken from; `None` for the living database.
    pub backup: Option<String>,
    /// Tables with rows.
    pub tables: usize,
    pub rows: u64,
    pub size_bytes: u64,
    /// Of everything but the archive's last line, which holds it.
    pub sha256: String,
    pub duration_ms: u64,
    /// Bytes of the backup that were read for it, out of how many.
    pub read: Option<(u64, u64)>,
}

/// Writes a domain of the configured database into an archive; `to` is a file that is not there yet, by default one in the
/// working directory that is called after the domain.
///
/// # Errors
/// See [`DomainError`].
pub async fn export(task: Task<'_>, domain: &str, to: Option<&Path>) -> Result<Exported, DomainError> {
    let address = task.program.owner.address();
    let work = export_from(task, address, None, domain, to);
    task.or_stop(Box::pin(work)).await
}

/// The same from another database of the server: a restored backup, which is named in the archive.
pub(super) async fn export_from(
    task: Task<'_>,
    address: &DatabaseAddress,
    backup: Option<(String, DateTime<Utc>)>,
    domain: &str,
    to: Option<&Path>,
) -> Result<Exported, DomainError> {
    let started = Instant::now();
    let recipients = Recipients::read(&task.program.config.backup)?;
    let client = session::reading(task, address).await?;
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    let installation = Installation::read(&client).await?;
    let server = Server::of(&client).await?;
    let mut tables = Tables::read(&client).await?;
    let left_out = tables.leave_out(is_left_out);
    session::act_as_system(&client, &tables).await?;
    let (domain, status) = manifest::find(&client, domain)
        .await?
        .ok_or_else(|| DomainError::NoDomain(format!("there is no domain {domain:?}")))?;
    require_tenant(&domain)?;
    if status == "erasing" {
        return Err(DomainError::NoDomain(format!(
            "the domain {} is being erased: what is left of it is no domain any more",
            domain.slug
        )));
    }
    let snapshot_at = backup.as_ref().map_or(server.now, |(_, at)| *at);
    let path = to.map_or_else(
        || {
            PathBuf::from(format!(
                "{}-{}.domain.tar",
                domain.slug,
                snapshot_at.format("%Y%m%dT%H%M%SZ")
            ))
        },
        Path::to_owned,
    );
    let writer = Writer::begin(&path)?;
    let (writer, written) = write_rows(task, &client, writer, &tables, &domain, &recipients).await?;
    let manifest = Manifest {
        format: Manifest::FORMAT,
        key_ids: manifest::key_ids(&client, &tables, domain.id).await?,
        domain,
        plinth_version: env!("CARGO_PKG_VERSION").to_owned(),
        snapshot_at,
        backup: backup.map(|(name, _)| name),
        server_version: server.version,
        migrations: installation.migrations,
        fingerprint: tables.fingerprint,
        installation: installation.set_up_at,
        key_fingerprints: installation.key_fingerprints,
        recipients: recipients.names(),
        left_out: left_out.into_iter().collect(),
        rows: written.iter().map(|table| table.rows).sum(),
        tables: written,
    };
    client.batch_execute("COMMIT").await?;
    let (sha256, size_bytes) = writer.finish(&manifest)?;
    Ok(Exported {
        archive: path,
        snapshot_at,
        backup: manifest.backup,
        tables: manifest
            .tables
            .iter()
            .filter(|table| table.file.is_some())
            .count(),
        rows: manifest.rows,
        domain: manifest.domain,
        size_bytes,
        sha256,
        duration_ms: milliseconds(started),
        read: None,
    })
}

/// The platform domain is the installation itself: it is in backups, and goes with nothing less.
pub(super) fn require_tenant(domain: &DomainName) -> Result<(), DomainError> {
    if domain.id == db_core::PLATFORM_DOMAIN.uuid() {
        return Err(DomainError::Refused(
            "the platform domain is the installation itself: it cannot be exported, restored, copied or erased".to_owned(),
        ));
    }
    Ok(())
}

async fn write_rows(
    task: Task<'_>,
    client: &Client,
    mut writer: Writer,
    tables: &Tables,
    domain: &DomainName,
    recipients: &Recipients,
) -> Result<(Writer, Vec<TableRows>), DomainError> {
    let done = task.progress.step(format!("{}: exporting", domain.slug), 0);
    let mut written = Vec::new();
    for (index, table) in tables.tables.iter().enumerate() {
        let census = rows::census(client, table, domain.id).await?;
        let mut file = None;
        if census.rows > 0 {
            let sealed = if recipients.names().is_empty() { "" } else { ".age" };
            let name = format!("{index:04}.copy.zst{sealed}");
            let (put, recipients) = (name.clone(), recipients.clone());
            writer = rows::read(client, table, domain.id, done.clone(), move |rows| {
                writer.put(&put, rows, &recipients)?;
                Ok(writer)
            })
            .await?;
            file = Some(name);
        }
        written.push(TableRows {
            name: table.name.clone(),
            columns: table.column_names(),
            rows: census.rows,
            hash: census.hash,
            file,
        });
    }
    Ok((writer, written))
}
