//! `GET /api/v1/backups`

use actix_web::{HttpResponse, get};
use db_core::models::backup_run::{BackupRunFilter, BackupRunKind, backup_run_list};
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::BackupRunView;
use crate::extract::{Can, Listing, OnPlatform, Params, page};
use crate::problem::Problem;

/// What was run.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// A backup was made.
    Backup,
    /// One was proved by restoring it.
    Drill,
    /// One was restored into this database.
    Restore,
}

/// Which runs, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListBackupRuns {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only runs of this kind.
    #[param(inline)]
    kind: Option<RunKind>,
}

/// Lists backups, drills and restores as they were run, newest first. Which backups there still are is told by `plinth-ops backup list`.
#[utoipa::path(tag = "backups", params(ListBackupRuns), responses((status = 200, body = Listing<BackupRunView>)))]
#[get("/backups")]
pub(super) async fn list_backup_runs(
    can: Can<held::BackupRead, OnPlatform>,
    Params(params): Params<ListBackupRuns>,
) -> Result<HttpResponse, Problem> {
    let page = page("backups", params.limit, params.cursor.as_deref())?;
    let filter = BackupRunFilter {
        kind: params.kind.map(|kind| match kind {
            RunKind::Backup => BackupRunKind::Backup,
            RunKind::Drill => BackupRunKind::Drill,
            RunKind::Restore => BackupRunKind::Restore,
        }),
    };
    let rows = can
        .read("list_backup_runs", async |tx| {
            backup_run_list(tx, filter, &page).await
        })
        .await?;
    Listing::<BackupRunView>::answer("backups", rows, |row| row.id.to_string())
}
