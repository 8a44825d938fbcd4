//! `GET /api/v1/backups/latest`

use actix_web::{HttpResponse, get};
use db_core::models::backup_run::{BackupRun, backup_run_latest};
use db_core::rbac::held;
use serde::Serialize;
use utoipa::ToSchema;

use super::BackupRunView;
use crate::answer;
use crate::extract::{Can, OnPlatform};
use crate::problem::Problem;

/// The newest runs that succeeded.
#[derive(Debug, Serialize, ToSchema)]
pub struct LatestBackups {
    /// The newest backup; null where none was ever made.
    backup: Option<AgedRun>,
    /// The newest proof that a backup can be restored; null where there is none.
    drill: Option<AgedRun>,
    /// The newest restore into this database.
    restore: Option<AgedRun>,
}

/// A run, and how old what it shows is.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgedRun {
    /// The run.
    run: BackupRunView,
    /// Seconds since the moment that the backup shows, by the database clock: what would be lost if it were restored now.
    age_seconds: f64,
}

/// The newest backup and the newest proof, each with its age.
#[utoipa::path(tag = "backups", responses((status = 200, body = LatestBackups)))]
#[get("/backups/latest")]
pub(super) async fn get_latest_backups(
    can: Can<held::BackupRead, OnPlatform>,
) -> Result<HttpResponse, Problem> {
    let runs = can
        .read("get_latest_backups", async |tx| backup_run_latest(tx).await)
        .await?;
    let of = |kind: &str| {
        let newest = runs.iter().find(|(run, _)| run.kind == kind);
        newest.map(|(run, age_seconds): &(BackupRun, f64)| AgedRun {
            run: run.clone().into(),
            age_seconds: *age_seconds,
        })
    };
    Ok(answer::ok(&LatestBackups {
        backup: of("backup"),
        drill: of("drill"),
        restore: of("restore"),
    }))
}
