//! `POST /api/v1/projects/{project_id}/roles`

use actix_web::{HttpResponse, post};
use db_core::models::project::project_get;
use db_core::models::user_role::{NewAssignment, RoleScope, assignment_insert};
use db_core::rbac::held;
use db_core::{ProjectId, RoleId, UserId};

use super::{AssignScopedRole, AssignmentView};
use crate::answer;
use crate::extract::{Body, Can, InProject, Path};
use crate::problem::Problem;

/// Gives a user a role that is limited to a project. The caller must hold all of it there, and for as long.
#[utoipa::path(tag = "roles", params(("project_id" = Uuid, Path)), request_body = AssignScopedRole,
    responses((status = 201, body = AssignmentView)))]
#[post("/projects/{project_id}/roles")]
pub(super) async fn assign_project_role(
    can: Can<held::RoleAssign, InProject>,
    Path((id,)): Path<(ProjectId,)>,
    Body(body): Body<AssignScopedRole>,
) -> Result<HttpResponse, Problem> {
    let new = NewAssignment {
        user_id: UserId::new(body.user_id),
        role_id: RoleId::new(body.role_id),
        scope: RoleScope::Project(id),
        expires_at: body.expires_at,
    };
    let assignment = can
        .write("assign_project_role", async |tx| {
            project_get(tx, id).await?;
            assignment_insert(tx, &new).await
        })
        .await?;
    let location = format!("/api/v1/projects/{id}/roles/{}", assignment.row.id);
    Ok(answer::created_unversioned(
        location,
        &AssignmentView::from(assignment),
    ))
}
