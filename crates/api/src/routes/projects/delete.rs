//! `DELETE /api/v1/projects/{project_id}`

use actix_web::{HttpResponse, delete};
use db_core::ProjectId;
use db_core::models::project::project_delete;
use db_core::rbac::held;

use crate::answer;
use crate::extract::{Can, IfMatch, InProject, Path};
use crate::problem::Problem;

/// Deletes a project that has no boards and no tags any more.
#[utoipa::path(tag = "projects", params(("project_id" = Uuid, Path), IfMatch), responses((status = 204)))]
#[delete("/projects/{project_id}")]
pub(super) async fn delete_project(
    can: Can<held::ProjectDelete, InProject>,
    Path((id,)): Path<(ProjectId,)>,
    IfMatch(version): IfMatch,
) -> Result<HttpResponse, Problem> {
    can.write("delete_project", async |tx| project_delete(tx, id, version).await)
        .await?;
    Ok(answer::no_content())
}
