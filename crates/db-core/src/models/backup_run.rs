//! `backup_runs`: what `plinth-ops` did with backups. Platform operators see it; `plinth-ops` writes it, as the installation.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use metrics::gauge;
use serde_json::Value;

use crate::error::Result;
use crate::ids::{BackupRunId, DomainId};
use crate::owner::{Owner, SystemError};
use crate::page::{Page, PageRequest};
use crate::schema::backup_runs;
use crate::tx::Tx;

/// A backup, a drill or a restore, as it was run.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = backup_runs, check_for_backend(diesel::pg::Pg))]
pub struct BackupRun {
    /// The platform domain.
    pub domain_id: DomainId,
    /// UUIDv7; newest is largest.
    pub id: BackupRunId,
    /// `backup`, `drill` or `restore`.
    pub kind: String,
    /// `running`, `succeeded` or `failed`.
    pub state: String,
    /// Name of the backup.
    pub backup: String,
    /// Where it is.
    pub location: String,
    /// Moment that the backup shows.
    pub snapshot_at: Option<DateTime<Utc>>,
    /// When the run began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Bytes of all its files.
    pub size_bytes: Option<i64>,
    /// SHA-256 of its manifest.
    pub manifest_sha256: Option<String>,
    /// What was compared: tables, cells, rows, secrets.
    pub details: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
    /// Version of Plinth that ran it.
    pub plinth_version: String,
}

/// What was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupRunKind {
    /// A backup was made.
    Backup,
    /// One was proved by restoring it.
    Drill,
    /// One was restored into this database.
    Restore,
}

impl BackupRunKind {
    /// As the column has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Drill => "drill",
            Self::Restore => "restore",
        }
    }
}

/// Which runs are wanted; `None` for any.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackupRunFilter {
    /// What was run.
    pub kind: Option<BackupRunKind>,
}

/// Newest first.
///
/// # Errors
/// A database error.
pub async fn backup_run_list(
    tx: &Tx<'_>,
    filter: BackupRunFilter,
    page: &PageRequest<BackupRunId>,
) -> Result<Page<BackupRun>> {
    let mut query = backup_runs::table
        .select(BackupRun::as_select())
        .order(backup_runs::id.desc())
        .limit(page.fetch())
        .into_boxed();
    if let Some(kind) = filter.kind {
        query = query.filter(backup_runs::kind.eq(kind.name()));
    }
    if let Some(after) = page.after {
        query = query.filter(backup_runs::id.lt(after));
    }
    Ok(page.cut(query.load(&mut tx.conn()).await?))
}

/// The newest run of each kind that succeeded, with its age in seconds by the database clock.
///
/// # Errors
/// A database error.
pub async fn backup_run_latest(tx: &Tx<'_>) -> Result<Vec<(BackupRun, f64)>> {
    let age = diesel::dsl::sql::<diesel::sql_types::Double>(
        "extract(epoch FROM now() - coalesce(snapshot_at, started_at))::float8",
    );
    Ok(backup_runs::table
        .filter(backup_runs::state.eq("succeeded"))
        .distinct_on(backup_runs::kind)
        .order((backup_runs::kind, backup_runs::started_at.desc()))
        .select((BackupRun::as_select(), age))
        .load(&mut tx.conn())
        .await?)
}

/// How long an answer is good for.
const AGE: Duration = Duration::from_secs(10);
/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// How old the last backup and the last proof are, for the metrics: asked of the database when somebody reads them.
#[derive(Debug, Default)]
pub struct BackupMetrics(Mutex<Option<Instant>>);

impl BackupMetrics {
    /// Sets the gauges `plinth_backup_age_seconds` (of the moment that the newest backup shows), `plinth_backup_proof_age_seconds` (of
    /// the newest drill that succeeded), `plinth_backup_proved_age_seconds` (of the moment that the newest proved backup shows) and
    /// `plinth_backup_size_bytes`, at most once in ten seconds; and `plinth_backup_last_failed` (kind), 1 where the last run failed.
    /// What there is not, and what the database does not say, is NaN.
    pub async fn refresh(&self, owner: &Owner) {
        {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|begun| begun.elapsed() < AGE) {
                return;
            }
            *last = Some(Instant::now());
        }
        let measured = match tokio::time::timeout(PATIENCE, measure(owner)).await {
            Ok(Ok(measured)) => measured,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the backups could not be measured");
                Measured::default()
            }
            Err(_elapsed) => Measured::default(),
        };
        let set = |name: &'static str, value: Option<f64>| gauge!(name).set(value.unwrap_or(f64::NAN));
        set("plinth_backup_age_seconds", measured.backup_age);
        set("plinth_backup_proof_age_seconds", measured.proof_age);
        set("plinth_backup_proved_age_seconds", measured.proved_age);
        set("plinth_backup_size_bytes", measured.size);
        for (kind, failed) in [
            ("backup", measured.backup_failed),
            ("drill", measured.drill_failed),
        ] {
            let failed = failed.map_or(f64::NAN, |failed| f64::from(u8::from(failed)));
            gauge!("plinth_backup_last_failed", "kind" => kind).set(failed);
        }
    }
}

#[derive(Default)]
struct Measured {
    backup_age: Option<f64>,
    proof_age: Option<f64>,
    proved_age: Option<f64>,
    size: Option<f64>,
    backup_failed: Option<bool>,
    drill_failed: Option<bool>,
}

async fn measure(owner: &Owner) -> Result<Measured, SystemError> {
    owner
        .system(async |tx| {
            let row = tx
                .client()
                .query_one(
                    "WITH good AS (
                         SELECT DISTINCT ON (kind) kind, snapshot_at, finished_at, size_bytes FROM backup_runs
                          WHERE domain_id = platform_domain_id() AND state = 'succeeded' ORDER BY kind, started_at DESC),
                     last AS (
                         SELECT DISTINCT ON (kind) kind, state FROM backup_runs
                          WHERE domain_id = platform_domain_id() AND state <> 'running' ORDER BY kind, id DESC)
                     SELECT (SELECT extract(epoch FROM now() - snapshot_at)::float8 FROM good WHERE kind = 'backup'),
                            (SELECT extract(epoch FROM now() - finished_at)::float8 FROM good WHERE kind = 'drill'),
                            (SELECT extract(epoch FROM now() - max(snapshot_at))::float8 FROM backup_runs
                              WHERE domain_id = platform_domain_id() AND state = 'succeeded' AND kind = 'drill'),
                            (SELECT size_bytes::float8 FROM good WHERE kind = 'backup'),
                            (SELECT state = 'failed' FROM last WHERE kind = 'backup'),
                            (SELECT state = 'failed' FROM last WHERE kind = 'drill')",
                    &[],
                )
                .await?;
            Ok(Measured {
                backup_age: row.get(0),
                proof_age: row.get(1),
                proved_age: row.get(2),
                size: row.get(3),
                backup_failed: row.get(4),
                drill_failed: row.get(5),
            })
        })
        .await
}
