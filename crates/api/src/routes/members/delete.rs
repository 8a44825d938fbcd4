//! `DELETE /api/v1/organizations/{organization_id}/members/{user_id}`

use actix_web::{HttpResponse, delete};
use db_core::models::organization_member::member_delete;
use db_core::rbac::held;
use db_core::{OrganizationId, UserId};

use crate::answer;
use crate::extract::{Can, InOrganization, Path};
use crate::problem::Problem;

/// Removes a member, with every role that is limited to the organization or its projects.
///
/// Their access there ends with their next request. The caller must hold all that the roles hold.
#[utoipa::path(tag = "members", params(("organization_id" = Uuid, Path), ("user_id" = Uuid, Path)),
    responses((status = 204)))]
#[delete("/organizations/{organization_id}/members/{user_id}")]
pub(super) async fn remove_member(
    can: Can<held::MemberDelete, InOrganization>,
    Path((organization, user)): Path<(OrganizationId, UserId)>,
) -> Result<HttpResponse, Problem> {
    can.write("remove_member", async |tx| {
        member_delete(tx, organization, user).await
    })
    .await?;
    Ok(answer::no_content())
}
