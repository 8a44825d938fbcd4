//! `domain copy`: all that people have made in a domain, under a new slug and with fresh ids.

use std::collections::BTreeSet;
use std::time::Instant;

use db_core::Clock;
use db_core::models::domain::{check_name, check_slug};
use db_core::secrets::encrypted::ENCRYPTED;
use db_core::setup::KeySource;
use serde::Serialize;
use tokio_postgres::Client;
use uuid::Uuid;

use super::catalogue::{Table, Tables};
use super::export::require_tenant;
use super::manifest::{self, DomainName, Installation};
use super::remap::{Renamed, Staged};
use super::restore::{fitting_tables, require_keys};
use super::{Archive, DomainError, Task, remap, secrets, session, stage};
use crate::backup::BackupError;
use crate::backup::create::milliseconds;

/// What is copied.
#[derive(Clone, Copy, Debug)]
pub enum Original<'a> {
    /// A domain of this installation, by slug or id.
    Domain(&'a str),
    Archive(&'a Archive),
}

/// What was copied.
#[derive(Clone, Debug, Serialize)]
pub struct Copied {
    pub original: DomainName,
    pub domain: DomainName,
    pub rows: u64,
    /// Secrets that were encrypted anew.
    pub secrets: u64,
    /// Tables of which nothing was copied.
    pub left_out: Vec<String>,
    pub duration_ms: u64,
}

/// What lets somebody in, what happens by itself, and what was done in the original stay there.
fn stays(table: &Table) -> bool {
    const NAMED: [&str; 5] = [
        // A host name leads to one domain.
        "public.domain_hosts",
        "public.activity_stream",
        "public.queue_jobs",
        "public.queue_job_batches",
        "public.queue_schedules",
    ];
    // Sessions, API keys, invitations.
    let credential = |name| table.column(name).is_some();
    NAMED.contains(&table.name.as_str()) || credential("token_hash") || credential("secret_hash")
}

/// Copies a domain under a new slug, in one transaction.
///
/// # Errors
/// See [`DomainError`].
pub async fn copy(
    task: Task<'_>,
    original: Original<'_>,
    slug: &str,
    name: Option<&str>,
) -> Result<Copied, DomainError> {
    let refused = |field: &'static str| move |message| DomainError::Refused(format!("{field}: {message}"));
    check_slug(slug).map_err(refused("slug"))?;
    if let Some(name) = name {
        check_name(name).map_err(refused("name"))?;
    }
    let work = async {
        let client = session::writing(task).await?;
        for attempt in 1.. {
            match attempt_copy(task, &client, original, slug, name).await {
                Err(error) if error.is_transient() && attempt < session::ATTEMPTS => {
                    session::roll_back(&client).await;
                    tracing::info!(%error, "trying again");
                }
                result => return result,
            }
        }
        Err(DomainError::failed("it was not tried"))
    };
    task.or_stop(Box::pin(work)).await
}

async fn attempt_copy(
    task: Task<'_>,
    client: &Client,
    original: Original<'_>,
    slug: &str,
    name: Option<&str>,
) -> Result<Copied, DomainError> {
    let started = Instant::now();
    // One moment of the original.
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await?;
    let taken = client
        .query_opt("SELECT FROM public.domains WHERE slug = $1", &[&slug])
        .await?;
    if taken.is_some() {
        return Err(taken_slug(slug));
    }
    let (from, tables, mut left_out) = staged(task, client, original).await?;
    let mut copied = tables.clone();
    left_out.extend(copied.leave_out(stays));
    let staged: Vec<Staged> = copied
        .tables
        .into_iter()
        .filter_map(|table| {
            let index = tables.tables.iter().position(|one| one.name == table.name)?;
            Some((index, table))
        })
        .collect();
    task.progress.step(format!("{}: becoming {slug}", from.slug), 0);
    let to = DomainName {
        id: Clock::System.uuid(),
        slug: slug.to_owned(),
        name: name.unwrap_or(&from.name).to_owned(),
    };
    remap::fill(client, &staged, from.id, to.id).await?;
    let encrypted = encrypt_anew(task, client, &staged, (from.id, to.id)).await?;
    let rows = insert(client, &staged, &to).await?;
    let left = remap::left_over(client, &staged, to.id).await?;
    if !left.is_empty() {
        return Err(DomainError::failed(format!(
            "the copy would refer to the original: {}",
            left.join(", ")
        )));
    }
    let note = serde_json::json!({
        "slug": slug, "rows": rows, "original": from,
        "archive_sha256": match original { Original::Archive(archive) => Some(&archive.sha256), Original::Domain(_) => None },
    });
    session::note_in(client, to.id, "domain.copy", to.id, &note).await?;
    session::note(client, "domain.copy", to.id, note).await?;
    client.batch_execute("RESET ROLE").await?;
    let numbered = staged.iter().map(|(index, table)| (*index, table));
    stage::advance_sequences(client, numbered).await?;
    client.batch_execute("COMMIT").await?;
    Ok(Copied {
        original: from,
        domain: to,
        rows,
        secrets: encrypted,
        left_out: left_out.into_iter().collect(),
        duration_ms: milliseconds(started),
    })
}

fn taken_slug(slug: &str) -> DomainError {
    DomainError::There(format!("there is a domain {slug:?} already"))
}

/// Stages the original's rows; also, what is left out of them. From here on the transaction acts as plinth_system.
async fn staged(
    task: Task<'_>,
    client: &Client,
    original: Original<'_>,
) -> Result<(DomainName, Tables, BTreeSet<String>), DomainError> {
    match original {
        Original::Archive(archive) => {
            let from = archive.manifest.domain.clone();
            require_tenant(&from)?;
            let installation = Installation::read(client).await?;
            let tables = fitting_tables(client, archive, &installation).await?;
            require_keys(task, archive)?;
            remap::make(client).await?;
            stage::make(client, &tables).await?;
            stage::fill(task, client, &tables, archive).await?;
            session::act_as_system(client, &tables).await?;
            let left_out = archive.manifest.left_out.iter().cloned().collect();
            Ok((from, tables, left_out))
        }
        Original::Domain(slug_or_id) => {
            let mut tables = Tables::read(client).await?;
            let left_out = tables.leave_out(stays);
            remap::make(client).await?;
            stage::make(client, &tables).await?;
            session::act_as_system(client, &tables).await?;
            let (from, _) = manifest::find(client, slug_or_id)
                .await?
                .filter(|(_, status)| status != "erasing")
                .ok_or_else(|| DomainError::NoDomain(format!("there is no domain {slug_or_id:?}")))?;
            require_tenant(&from)?;
            task.progress.step(format!("{}: reading", from.slug), 0);
            for (index, table) in tables.tables.iter().enumerate() {
                let sql = format!(
                    "INSERT INTO {} ({}) SELECT {} FROM {} WHERE {}",
                    stage::name(index),
                    table.column_list(),
                    table.values(),
                    table.from(),
                    table.of(from.id)
                );
                client.execute(&sql, &[]).await?;
            }
            Ok((from, tables, left_out))
        }
    }
}

async fn encrypt_anew(
    task: Task<'_>,
    client: &Client,
    staged: &[Staged],
    domains: (Uuid, Uuid),
) -> Result<u64, DomainError> {
    if !secrets::are_there(client, staged, ENCRYPTED).await? {
        return Ok(0);
    }
    let keyring = KeySource::from_config(&task.program.config)
        .load()
        .map_err(BackupError::from)?;
    secrets::encrypt_anew(client, staged, ENCRYPTED, &keyring, domains).await
}

async fn insert(client: &Client, staged: &[Staged], to: &DomainName) -> Result<u64, DomainError> {
    let renamed = Renamed {
        slug: &to.slug,
        name: &to.name,
    };
    let mut rows = 0;
    for one in staged {
        rows += remap::insert(client, one, renamed)
            .await
            .map_err(|error| match &error {
                DomainError::Backup(BackupError::Statement(statement))
                    if statement
                        .as_db_error()
                        .is_some_and(|error| error.constraint() == Some("domains_slug_key")) =>
                {
                    taken_slug(&to.slug)
                }
                _ => error,
            })?;
    }
    Ok(rows)
}
