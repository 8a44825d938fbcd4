//! `domain restore`: an archive's rows into a database that is in use, in one transaction, touching no other domain.

use std::collections::BTreeSet;
use std::time::Instant;

use db_core::setup::{KeyError, KeySource};
use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::catalogue::{Table, Tables};
use super::export::require_tenant;
use super::manifest::{self, DomainName, Installation};
use super::{Archive, DomainError, Task, rows, session, stage};
use crate::backup::create::milliseconds;

/// What was restored.
#[derive(Clone, Debug, Serialize)]
pub struct RestoredDomain {
    pub domain: DomainName,
    pub snapshot_at: chrono::DateTime<chrono::Utc>,
    /// How many rows the domain had before; `None` when it was not there.
    pub replaced_rows: Option<u64>,
    /// Status that it had before, and has again, where the archive's is another; `None` where it has the archive's.
    pub kept_status: Option<String>,
    /// Tables with rows.
    pub tables: usize,
    pub rows: u64,
    /// Whether the archive comes from another installation, where other passwords would count.
    pub other_installation: bool,
    pub duration_ms: u64,
}

/// Restores a domain with its ids. `replace` takes the place of the one that is there. Nobody sees anything of it before it is
/// whole; whatever fails on the way, nothing is changed.
///
/// # Errors
/// See [`DomainError`].
pub async fn restore(
    task: Task<'_>,
    archive: &Archive,
    replace: bool,
) -> Result<RestoredDomain, DomainError> {
    task.or_stop(Box::pin(try_restore(task, archive, replace))).await
}

async fn try_restore(
    task: Task<'_>,
    archive: &Archive,
    replace: bool,
) -> Result<RestoredDomain, DomainError> {
    require_tenant(&archive.manifest.domain)?;
    let client = session::writing(task).await?;
    for attempt in 1.. {
        match attempt_restore(task, &client, archive, replace).await {
            // Somebody who works in the domain had a row that is to go, and waited for one of ours.
            Err(error) if error.is_transient() && attempt < session::ATTEMPTS => {
                session::roll_back(&client).await;
                tracing::info!(%error, "the domain was in use; trying again");
            }
            result => return result,
        }
    }
    Err(DomainError::failed("it was not tried"))
}

async fn attempt_restore(
    task: Task<'_>,
    client: &Client,
    archive: &Archive,
    replace: bool,
) -> Result<RestoredDomain, DomainError> {
    let started = Instant::now();
    let manifest = &archive.manifest;
    let domain = &manifest.domain;
    client.batch_execute("BEGIN").await?;
    let installation = Installation::read(client).await?;
    let tables = fitting_tables(client, archive, &installation).await?;
    require_keys(task, archive)?;
    let all = Tables::read(client).await?;
    // What is there is asked for twice: before all the reading, and again when nobody else can change it.
    let there = existing(client, domain, replace).await?;
    stage::make(client, &tables).await?;
    stage::fill(task, client, &tables, archive).await?;
    session::act_as_system(client, &all).await?;
    task.progress.step(format!("{}: restoring", domain.slug), 0);
    if there.is_some() {
        lock(client, &all, domain.id).await?;
    }
    let there = existing(client, domain, replace).await?;
    let mut replaced_rows = None;
    if there.is_some() {
        replaced_rows = Some(delete(client, &all, domain.id).await?);
    }
    let mut differences = Vec::new();
    for (index, (table, listed)) in tables.tables.iter().zip(&manifest.tables).enumerate() {
        insert(client, archive, index, table).await?;
        let census = rows::census(client, table, domain.id).await?;
        if census.rows != listed.rows || census.hash != listed.hash {
            differences.push(format!(
                "table {}: {} rows instead of {}, or others",
                table.name, census.rows, listed.rows
            ));
        }
    }
    if !differences.is_empty() {
        return Err(DomainError::Differs {
            archive: archive.name().to_owned(),
            differences,
        });
    }
    let kept_status = keep_status(client, domain, there).await?;
    let note = serde_json::json!({
        "slug": domain.slug, "kept_status": kept_status, "archive_sha256": archive.sha256, "snapshot_at": manifest.snapshot_at, "backup": manifest.backup,
        "rows": manifest.rows, "replaced_rows": replaced_rows,
    });
    session::note(client, "domain.restore", domain.id, note).await?;
    client.batch_execute("RESET ROLE").await?;
    stage::advance_sequences(client, tables.tables.iter().enumerate()).await?;
    client.batch_execute("COMMIT").await?;
    Ok(RestoredDomain {
        domain: domain.clone(),
        snapshot_at: manifest.snapshot_at,
        replaced_rows,
        kept_status,
        tables: manifest
            .tables
            .iter()
            .filter(|table| table.file.is_some())
            .count(),
        rows: manifest.rows,
        other_installation: manifest.installation != installation.set_up_at,
        duration_ms: milliseconds(started),
    })
}

/// The tables that the archive has rows of, as they are here: they have to be the same.
pub(super) async fn fitting_tables(
    client: &Client,
    archive: &Archive,
    installation: &Installation,
) -> Result<Tables, DomainError> {
    let manifest = &archive.manifest;
    let name = archive.name();
    let unknown = |version: &&String| {
        !db_migrate::MIGRATIONS
            .iter()
            .any(|known| known.version == **version)
    };
    if let Some(version) = manifest.migrations.iter().find(unknown) {
        return Err(DomainError::OtherSchema(format!(
            "the archive {name} has migration {version}, which this version of Plinth does not know; use the newer one"
        )));
    }
    let mut tables = Tables::read(client).await?;
    tables.leave_out(|table| manifest.left_out.contains(&table.name));
    let mut differences = Vec::new();
    for table in &tables.tables {
        match manifest.tables.iter().find(|listed| listed.name == table.name) {
            None => differences.push(format!("{} is new", table.name)),
            Some(listed) if listed.columns != table.column_names() => {
                differences.push(format!("{} has other columns", table.name));
            }
            Some(_) => {}
        }
    }
    for listed in &manifest.tables {
        if !tables.tables.iter().any(|table| table.name == listed.name) {
            differences.push(format!("{} is not there", listed.name));
        }
    }
    if differences.is_empty() && tables.fingerprint != manifest.fingerprint {
        differences.push("keys, types or foreign keys are others".to_owned());
    }
    if manifest.migrations != installation.migrations {
        let there = installation.migrations.last().map_or("none", String::as_str);
        let was = manifest.migrations.last().map_or("none", String::as_str);
        differences.push(format!("the last migration is {there}, and was {was}"));
    }
    let in_order = tables
        .tables
        .iter()
        .zip(&manifest.tables)
        .all(|(table, listed)| table.name == listed.name);
    if differences.is_empty() && !in_order {
        differences.push("the tables are in another order".to_owned());
    }
    if differences.is_empty() {
        return Ok(tables);
    }
    Err(DomainError::OtherSchema(format!(
        "the archive {name} was made with another schema: {}; restore the backup of that time into a database beside this one, \
         migrate that, and export the domain from it (docs/DOMAINS.md)",
        differences.join(", ")
    )))
}

/// Better now than when somebody wants to read a secret.
pub(super) fn require_keys(task: Task<'_>, archive: &Archive) -> Result<(), DomainError> {
    let manifest = &archive.manifest;
    if manifest.key_ids.is_empty() {
        return Ok(());
    }
    match KeySource::from_config(&task.program.config).load() {
        Ok(keyring) => keyring.check(&manifest.key_fingerprints).map_err(|error| {
            DomainError::failed(format!(
                "the archive {} has secrets that could not be read here: {error}",
                archive.name()
            ))
        }),
        Err(KeyError::Missing(_)) => {
            tracing::warn!(
                "there is no encryption key here: whether the secrets in the archive can be read is not known"
            );
            Ok(())
        }
        Err(error) => Err(crate::backup::BackupError::from(error).into()),
    }
}

/// Status of the domain, if it is there; it may be replaced then.
async fn existing(
    client: &Client,
    domain: &DomainName,
    replace: bool,
) -> Result<Option<String>, DomainError> {
    let others = client
        .query_opt(
            "SELECT id FROM public.domains WHERE slug = $1 AND id <> $2",
            &[&domain.slug, &domain.id],
        )
        .await?;
    if let Some(other) = others {
        return Err(DomainError::There(format!(
            "the slug {} belongs to another domain here, {}, and the archive's is {}: copy the archive under a new slug \
             (`domain copy`), or rename that domain first",
            domain.slug,
            other.get::<_, Uuid>(0),
            domain.id
        )));
    }
    let there = manifest::find(client, &domain.id.to_string()).await?;
    match there {
        None => Ok(None),
        Some((_, status)) if replace => Ok(Some(status)),
        Some((there, _)) => Err(DomainError::There(format!(
            "the domain {} is there: --replace puts the archive in its place",
            there.slug
        ))),
    }
}

/// Whether a domain is suspended was decided by somebody here, after the moment of the archive: it stays as it is. What was half erased
/// is as the archive has it.
async fn keep_status(
    client: &Client,
    domain: &DomainName,
    was: Option<String>,
) -> Result<Option<String>, DomainError> {
    let Some(status) = was.filter(|status| status != "erasing") else {
        return Ok(None);
    };
    let changed = client
        .execute(
            "UPDATE public.domains SET status = $2, version = version + 1, updated_at = now() WHERE id = $1 AND status <> $2",
            &[&domain.id, &status],
        )
        .await?;
    Ok((changed > 0).then_some(status))
}

/// Lets nobody add rows that refer to the domain, or to what it has, until the transaction ends. From above to below: what was
/// added before is seen by the next statement, and below what is locked nothing can be added.
pub(super) async fn lock(client: &Client, tables: &Tables, domain: Uuid) -> Result<(), DomainError> {
    let referred: BTreeSet<&String> = tables
        .tables
        .iter()
        .flat_map(|table| table.references.iter().map(|reference| &reference.to))
        .collect();
    for table in tables
        .tables
        .iter()
        .filter(|table| table.is_domains() || referred.contains(&table.name))
    {
        let sql = format!(
            "SELECT count(*) FROM (SELECT FROM {} WHERE {} FOR UPDATE) locked",
            table.from(),
            table.of(domain)
        );
        client.query_one(&sql, &[]).await?;
    }
    Ok(())
}

/// Deletes everything that a domain has, itself last; how many rows.
pub(super) async fn delete(client: &Client, tables: &Tables, domain: Uuid) -> Result<u64, DomainError> {
    let mut rows = 0;
    for table in tables.tables.iter().rev() {
        let sql = format!("DELETE FROM {} WHERE {}", table.from(), table.of(domain));
        rows += client.execute(&sql, &[]).await?;
    }
    Ok(rows)
}

async fn insert(client: &Client, archive: &Archive, index: usize, table: &Table) -> Result<(), DomainError> {
    let columns = table.column_list();
    let sql = format!(
        "INSERT INTO {} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {}",
        table.name,
        stage::name(index)
    );
    client
        .execute(&sql, &[])
        .await
        .map_err(|error| match error.code() {
            // Of what is unique in the installation, host names are all there is.
            Some(&SqlState::UNIQUE_VIOLATION) => DomainError::There(format!(
                "something that the archive {} has belongs to another domain here: {}",
                archive.name(),
                pg_connect::describe(&error)
            )),
            Some(code) if code.code().starts_with("23") => DomainError::damaged(
                &archive.name(),
                format!("rows of {}: {}", table.name, pg_connect::describe(&error)),
            ),
            _ => error.into(),
        })?;
    Ok(())
}
