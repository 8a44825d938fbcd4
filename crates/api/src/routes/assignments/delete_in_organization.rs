//! `DELETE /api/v1/organizations/{organization_id}/roles/{assignment_id}`

use actix_web::{HttpResponse, delete};
use db_core::models::user_role::{Assigned, RoleScope, assignment_delete};
use db_core::rbac::held;
use db_core::{AssignmentId, OrganizationId};

use crate::answer;
use crate::extract::{Can, InOrganization, Path};
use crate::problem::Problem;

/// Takes away a role that is limited to an organization, with effect at the user's next request.
#[utoipa::path(tag = "roles", params(("organization_id" = Uuid, Path), ("assignment_id" = Uuid, Path)),
    responses((status = 204)))]
#[delete("/organizations/{organization_id}/roles/{assignment_id}")]
pub(super) async fn revoke_organization_role(
    can: Can<held::RoleAssign, InOrganization>,
    Path((id, assignment)): Path<(OrganizationId, AssignmentId)>,
) -> Result<HttpResponse, Problem> {
    let assigned = Assigned::In(RoleScope::Organization(id));
    can.write("revoke_organization_role", async |tx| {
        assignment_delete(tx, assigned, assignment).await
    })
    .await?;
    Ok(answer::no_content())
}
