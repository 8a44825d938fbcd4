//! `GET /api/v1/projects/{project_id}`

use actix_web::{HttpResponse, get};
use db_core::ProjectId;
use db_core::models::project::project_get;
use db_core::rbac::held;

use super::ProjectView;
use crate::answer;
use crate::extract::{Can, InProject, Path};
use crate::problem::Problem;

/// Shows a project.
#[utoipa::path(tag = "projects", params(("project_id" = Uuid, Path)), responses((status = 200, body = ProjectView)))]
#[get("/projects/{project_id}")]
pub(super) async fn get_project(
    can: Can<held::ProjectRead, InProject>,
    Path((id,)): Path<(ProjectId,)>,
) -> Result<HttpResponse, Problem> {
    let project = can
        .read_once("get_project", async |tx| project_get(tx, id).await)
        .await?;
    Ok(answer::resource(project.version, &ProjectView::from(project)))
}
