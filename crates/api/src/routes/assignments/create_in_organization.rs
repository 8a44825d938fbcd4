//! `POST /api/v1/organizations/{organization_id}/roles`

use actix_web::{HttpResponse, post};
use db_core::models::organization::organization_get;
use db_core::models::user_role::{NewAssignment, RoleScope, assignment_insert};
use db_core::rbac::held;
use db_core::{OrganizationId, RoleId, UserId};

use super::{AssignScopedRole, AssignmentView};
use crate::answer;
use crate::extract::{Body, Can, InOrganization, Path};
use crate::problem::Problem;

/// Gives a user a role that is limited to an organization. The caller must hold all of it there, and for as long.
#[utoipa::path(tag = "roles", params(("organization_id" = Uuid, Path)), request_body = AssignScopedRole,
    responses((status = 201, body = AssignmentView)))]
#[post("/organizations/{organization_id}/roles")]
pub(super) async fn assign_organization_role(
    can: Can<held::RoleAssign, InOrganization>,
    Path((id,)): Path<(OrganizationId,)>,
    Body(body): Body<AssignScopedRole>,
) -> Result<HttpResponse, Problem> {
    let new = NewAssignment {
        user_id: UserId::new(body.user_id),
        role_id: RoleId::new(body.role_id),
        scope: RoleScope::Organization(id),
        expires_at: body.expires_at,
    };
    let assignment = can
        .write("assign_organization_role", async |tx| {
            organization_get(tx, id).await?;
            assignment_insert(tx, &new).await
        })
        .await?;
    let location = format!("/api/v1/organizations/{id}/roles/{}", assignment.row.id);
    Ok(answer::created_unversioned(
        location,
        &AssignmentView::from(assignment),
    ))
}
