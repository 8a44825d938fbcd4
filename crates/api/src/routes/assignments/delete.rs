//! `DELETE /api/v1/users/{user_id}/roles/{assignment_id}`

use actix_web::{HttpResponse, delete};
use db_core::models::user_role::{Assigned, assignment_delete};
use db_core::rbac::held;
use db_core::{AssignmentId, UserId};

use crate::answer;
use crate::extract::{Can, InDomain, Path};
use crate::problem::Problem;

/// Takes a role away from a user, with effect at their next request.
#[utoipa::path(tag = "roles", params(("user_id" = Uuid, Path), ("assignment_id" = Uuid, Path)),
    responses((status = 204)))]
#[delete("/users/{user_id}/roles/{assignment_id}")]
pub(super) async fn revoke_role(
    can: Can<held::RoleAssign, InDomain>,
    Path((user, id)): Path<(UserId, AssignmentId)>,
) -> Result<HttpResponse, Problem> {
    can.write("revoke_role", async |tx| {
        assignment_delete(tx, Assigned::To(user), id).await
    })
    .await?;
    Ok(answer::no_content())
}
