//! Backups, for platform operators: what `plinth-ops` has run.

mod latest;
mod list;

use chrono::{DateTime, Utc};
use db_core::models::backup_run::BackupRun;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(list::list_backup_runs)
        .service(latest::get_latest_backups);
}

/// A backup, a drill or a restore, as it was run.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackupRunView {
    /// Its id; newest is largest.
    id: Uuid,
    /// `backup`, `drill` (a proof that the backup can be restored) or `restore` (of the backup into this database).
    #[schema(pattern = "^(backup|drill|restore)$")]
    kind: String,
    /// `running`, `succeeded` or `failed`. A run that was killed says running until the next one finds it.
    #[schema(pattern = "^(running|succeeded|failed)$")]
    state: String,
    /// Name of the backup.
    backup: String,
    /// Where it is: a directory, or `s3://bucket/prefix`.
    location: String,
    /// Moment that the backup shows.
    snapshot_at: Option<DateTime<Utc>>,
    /// When the run began.
    started_at: DateTime<Utc>,
    /// When it ended; null while it runs.
    finished_at: Option<DateTime<Utc>>,
    /// Bytes of all files of the backup.
    size_bytes: Option<i64>,
    /// SHA-256 of the backup's manifest: a proof is of these bytes.
    manifest_sha256: Option<String>,
    /// What was compared: tables, cells, rows, secrets.
    #[schema(value_type = Option<Object>)]
    details: Option<Value>,
    /// Why it failed.
    error: Option<String>,
    /// Version of Plinth that ran it.
    plinth_version: String,
}

impl From<BackupRun> for BackupRunView {
    fn from(row: BackupRun) -> Self {
        Self {
            id: row.id.uuid(),
            kind: row.kind,
            state: row.state,
            backup: row.backup,
            location: row.location,
            snapshot_at: row.snapshot_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            size_bytes: row.size_bytes,
            manifest_sha256: row.manifest_sha256,
            details: row.details,
            error: row.error,
            plinth_version: row.plinth_version,
        }
    }
}
