//! `DELETE /api/v1/projects/{project_id}/roles/{assignment_id}`

use actix_web::{HttpResponse, delete};
use db_core::models::user_role::{Assigned, RoleScope, assignment_delete};
use db_core::rbac::held;
use db_core::{AssignmentId, ProjectId};

use crate::answer;
use crate::extract::{Can, InProject, Path};
use crate::problem::Problem;

/// Takes away a role that is limited to a project, with effect at the user's next request.
#[utoipa::path(tag = "roles", params(("project_id" = Uuid, Path), ("assignment_id" = Uuid, Path)),
    responses((status = 204)))]
#[delete("/projects/{project_id}/roles/{assignment_id}")]
pub(super) async fn revoke_project_role(
    can: Can<held::RoleAssign, InProject>,
    Path((id, assignment)): Path<(ProjectId, AssignmentId)>,
) -> Result<HttpResponse, Problem> {
    let assigned = Assigned::In(RoleScope::Project(id));
    can.write("revoke_project_role", async |tx| {
        assignment_delete(tx, assigned, assignment).await
    })
    .await?;
    Ok(answer::no_content())
}
