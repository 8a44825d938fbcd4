//! `GET /api/v1/projects/{project_id}/roles`

use actix_web::{HttpResponse, get};
use db_core::ProjectId;
use db_core::models::user_role::{Assigned, RoleScope, assignment_list};
use db_core::rbac::held;

use super::{AssignmentView, ListAssignments};
use crate::extract::{Can, InProject, Listing, Params, Path, page};
use crate::problem::Problem;

/// Lists the roles that are limited to a project, oldest first.
#[utoipa::path(tag = "roles", params(("project_id" = Uuid, Path), ListAssignments),
    responses((status = 200, body = Listing<AssignmentView>)))]
#[get("/projects/{project_id}/roles")]
pub(super) async fn list_project_roles(
    can: Can<held::RoleRead, InProject>,
    Path((id,)): Path<(ProjectId,)>,
    Params(params): Params<ListAssignments>,
) -> Result<HttpResponse, Problem> {
    let page = page("project_roles", params.limit, params.cursor.as_deref())?;
    let assigned = Assigned::In(RoleScope::Project(id));
    let rows = can
        .read("list_project_roles", async |tx| {
            assignment_list(tx, assigned, &page).await
        })
        .await?;
    Listing::<AssignmentView>::answer("project_roles", rows, |row| row.row.id.to_string())
}
