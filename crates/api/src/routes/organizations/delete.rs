//! `DELETE /api/v1/organizations/{organization_id}`

use actix_web::{HttpResponse, delete};
use db_core::OrganizationId;
use db_core::models::organization::organization_delete;
use db_core::rbac::held;

use crate::answer;
use crate::extract::{Can, IfMatch, InOrganization, Path};
use crate::problem::Problem;

/// Deletes an organization that owns no projects any more.
#[utoipa::path(tag = "organizations", params(("organization_id" = Uuid, Path), IfMatch), responses((status = 204)))]
#[delete("/organizations/{organization_id}")]
pub(super) async fn delete_organization(
    can: Can<held::OrganizationDelete, InOrganization>,
    Path((id,)): Path<(OrganizationId,)>,
    IfMatch(version): IfMatch,
) -> Result<HttpResponse, Problem> {
    can.write("delete_organization", async |tx| {
        organization_delete(tx, id, version).await
    })
    .await?;
    Ok(answer::no_content())
}
