//! `domain erase`: first nobody gets in any more, then the rows go in batches, then the domain itself, and then it is proved.
//!
//! Whenever it is killed, the domain stays shut, and the next run goes on.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Client;
use uuid::Uuid;

use super::catalogue::{Table, Tables};
use super::export::require_tenant;
use super::manifest::{self, DomainName};
use super::proof::{self, Proof};
use super::{DomainError, Task, restore, session};
use crate::backup::create::milliseconds;

/// Rows of one transaction.
const BATCH: u64 = 10_000;

/// How long transactions are waited for that had begun when the domain went.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is to be erased.
#[derive(Clone, Debug)]
pub enum Erasure {
    /// A domain that is there, perhaps half erased already.
    There { domain: DomainName, begun: bool },
    /// One that was erased before: what is left of it, if anything, is to go, and it is proved once more. `None` where nothing says
    /// that it was ever there.
    Gone { id: Uuid, at: Option<DateTime<Utc>> },
}

impl Erasure {
    fn id(&self) -> Uuid {
        match self {
            Self::There { domain, .. } => domain.id,
            Self::Gone { id, .. } => *id,
        }
    }
}

/// What was erased.
#[derive(Clone, Debug, Serialize)]
pub struct Erased {
    /// `None` when it was not there any more.
    pub domain: Option<DomainName>,
    /// When it was erased before; `None` when it was there, or when nothing says so.
    pub erased_before: Option<DateTime<Utc>>,
    /// Rows that this run deleted, by table.
    pub tables: Vec<(String, u64)>,
    pub rows: u64,
    pub proof: Proof,
    pub duration_ms: u64,
}

/// Finds out what a slug or an id means.
///
/// # Errors
/// There is no such domain, and none was erased; or it is the platform domain.
pub async fn erasure(task: Task<'_>, slug_or_id: &str) -> Result<Erasure, DomainError> {
    let client = session::reading(task, task.program.owner.address()).await?;
    client.batch_execute("BEGIN READ ONLY").await?;
    client.batch_execute(session::AS_SYSTEM).await?;
    if let Some((domain, status)) = manifest::find(&client, slug_or_id).await? {
        require_tenant(&domain)?;
        let begun = status == "erasing";
        return Ok(Erasure::There { domain, begun });
    }
    let noted = client
        .query_opt(
            "SELECT target_id, occurred_at FROM public.activity_stream
              WHERE domain_id = $1 AND action = 'domain.erase' AND after ->> 'state' = 'erased'
                AND (after ->> 'slug' = $2 OR target_id::text = lower($2))
              ORDER BY id DESC LIMIT 1",
            &[&db_core::PLATFORM_DOMAIN.uuid(), &slug_or_id],
        )
        .await?;
    match (noted, slug_or_id.parse()) {
        (Some(row), _) => Ok(Erasure::Gone {
            id: row.get(0),
            at: Some(row.get(1)),
        }),
        // Nobody noted it, as after a restore of the installation to an earlier time: an id can be looked for all the same.
        (None, Ok(id)) => Ok(Erasure::Gone { id, at: None }),
        (None, Err(_)) => Err(DomainError::NoDomain(format!(
            "there is no domain {slug_or_id:?}, and none was erased that was called so"
        ))),
    }
}

/// Erases a domain with all its rows, and proves it.
///
/// # Errors
/// [`DomainError::NotErased`] says what is left; see [`DomainError`] for the rest. Where a batch fails, those before it are gone,
/// and the domain stays shut.
pub async fn erase(task: Task<'_>, erasure: &Erasure) -> Result<Erased, DomainError> {
    task.or_stop(Box::pin(run(task, erasure))).await
}

async fn run(task: Task<'_>, erasure: &Erasure) -> Result<Erased, DomainError> {
    let started = Instant::now();
    let client = session::writing(task).await?;
    let id = erasure.id();
    let tables = Tables::read(&client).await?;
    // Before anything is shut.
    client.batch_execute("BEGIN READ ONLY").await?;
    session::act_as_system(&client, &tables).await?;
    client.batch_execute("COMMIT").await?;
    let mut deleted: Vec<(String, u64)> = Vec::new();
    let mut named = None;
    if let Erasure::There { domain, .. } = erasure {
        named = Some(domain.clone());
        shut(&client, domain).await?;
        task.progress.step(format!("{}: erasing", domain.slug), 0);
        for table in tables.tables.iter().rev().filter(|table| !table.is_domains()) {
            let rows = empty(&client, table, id).await?;
            if rows > 0 {
                deleted.push((table.name.clone(), rows));
            }
        }
        let before = deleted.iter().map(|(_, rows)| rows).sum();
        deleted.extend(end(&client, &tables, domain, before).await?);
    }
    task.progress.step(format!("{id}: looking for what is left"), 0);
    // A refused sign-in may have been on its way, which writes a row that no foreign key holds.
    settle(&client).await?;
    for table in tables.tables.iter().rev() {
        let rows = empty(&client, table, id).await?;
        if rows > 0 {
            deleted.push((table.name.clone(), rows));
        }
    }
    let proof = proof::prove(&client, id).await?;
    if !proof.left.is_empty() {
        return Err(DomainError::NotErased {
            domain: id.to_string(),
            left: proof.left.iter().map(ToString::to_string).collect(),
        });
    }
    let erased_before = match erasure {
        Erasure::Gone { at, .. } => *at,
        Erasure::There { .. } => None,
    };
    if named.is_none() && erased_before.is_none() && deleted.is_empty() {
        return Err(DomainError::NoDomain(format!(
            "there is no domain {id}, and nothing says that there ever was: in {} tables no row is of it",
            proof.tables
        )));
    }
    Ok(Erased {
        domain: named,
        erased_before,
        rows: deleted.iter().map(|(_, rows)| rows).sum(),
        tables: deleted,
        proof,
        duration_ms: milliseconds(started),
    })
}

/// From here on nobody signs in, no credential counts, and nobody opens the domain again.
async fn shut(client: &Client, domain: &DomainName) -> Result<(), DomainError> {
    client.batch_execute("BEGIN").await?;
    client.batch_execute(session::AS_SYSTEM).await?;
    let shut = client
        .execute(
            "UPDATE public.domains SET status = 'erasing', version = version + 1, updated_at = now()
              WHERE id = $1 AND status <> 'erasing'",
            &[&domain.id],
        )
        .await?;
    if shut > 0 {
        let note = serde_json::json!({ "slug": domain.slug, "name": domain.name, "state": "begun" });
        session::note(client, "domain.erase", domain.id, note).await?;
    }
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// Deletes a domain's rows of one table; how many.
async fn empty(client: &Client, table: &Table, domain: Uuid) -> Result<u64, DomainError> {
    let (from, of) = (table.from(), table.of(domain));
    // Rows that refer to each other go in one statement: in batches, one could come before those that need it.
    let own = table
        .references
        .iter()
        .any(|reference| reference.to == table.name);
    // By place, not by key: with statistics that are out of date, a join by key may take for ever.
    let sql = if own {
        format!("DELETE FROM {from} WHERE {of}")
    } else if table.partitioned {
        format!(
            "DELETE FROM {from} t USING (SELECT tableoid AS part, ctid AS place FROM {from} WHERE {of} LIMIT {BATCH}) gone
              WHERE t.ctid = gone.place AND t.tableoid = gone.part"
        )
    } else {
        format!(
            "DELETE FROM {from} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {from} WHERE {of} LIMIT {BATCH}))"
        )
    };
    let (mut rows, mut failures) = (0, 0);
    loop {
        match batch(client, &sql).await {
            Ok(done) => {
                rows += done;
                if done < BATCH || own {
                    return Ok(rows);
                }
            }
            Err(error) if error.is_transient() && failures < session::ATTEMPTS => {
                session::roll_back(client).await;
                failures += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn batch(client: &Client, sql: &str) -> Result<u64, DomainError> {
    client.batch_execute("BEGIN").await?;
    client.batch_execute(session::AS_SYSTEM).await?;
    let rows = client.execute(sql, &[]).await?;
    client.batch_execute("COMMIT").await?;
    Ok(rows)
}

/// What came in meanwhile, and the domain itself, with a note of who did it.
async fn end(
    client: &Client,
    tables: &Tables,
    domain: &DomainName,
    before: u64,
) -> Result<Option<(String, u64)>, DomainError> {
    for attempt in 1.. {
        let work = async {
            client.batch_execute("BEGIN").await?;
            client.batch_execute(session::AS_SYSTEM).await?;
            restore::lock(client, tables, domain.id).await?;
            let rows = restore::delete(client, tables, domain.id).await?;
            let note = serde_json::json!({
                "slug": domain.slug, "name": domain.name, "state": "erased", "rows": before + rows,
            });
            session::note(client, "domain.erase", domain.id, note).await?;
            client.batch_execute("COMMIT").await?;
            Ok::<u64, DomainError>(rows)
        };
        match work.await {
            Ok(rows) => return Ok((rows > 0).then(|| ("the rest, and the domain".to_owned(), rows))),
            Err(error) if error.is_transient() && attempt < session::ATTEMPTS => {
                session::roll_back(client).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Waits for transactions that had begun when the domain went, as far as the login may see them, and not for long: a backup takes
/// its time, and writes nothing.
async fn settle(client: &Client) -> Result<(), DomainError> {
    let started = Instant::now();
    let now: DateTime<Utc> = client.query_one("SELECT clock_timestamp()", &[]).await?.get(0);
    while started.elapsed() < PATIENCE {
        let open: bool = client
            .query_one(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                                   AND backend_type = 'client backend' AND xact_start < $1)",
                &[&now],
            )
            .await?
            .get(0);
        if !open {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tracing::info!(
        "a transaction from before is still open; should it write into the domain, run this again"
    );
    Ok(())
}
