//! `GET /api/v1/organizations/{organization_id}`

use actix_web::{HttpResponse, get};
use db_core::OrganizationId;
use db_core::models::organization::organization_get;
use db_core::rbac::held;

use super::OrganizationView;
use crate::answer;
use crate::extract::{Can, InOrganization, Path};
use crate::problem::Problem;

/// Shows an organization.
#[utoipa::path(tag = "organizations", params(("organization_id" = Uuid, Path)), responses((status = 200, body = OrganizationView)))]
#[get("/organizations/{organization_id}")]
pub(super) async fn get_organization(
    can: Can<held::OrganizationRead, InOrganization>,
    Path((id,)): Path<(OrganizationId,)>,
) -> Result<HttpResponse, Problem> {
    let organization = can
        .read_once("get_organization", async |tx| organization_get(tx, id).await)
        .await?;
    Ok(answer::resource(
        organization.version,
        &OrganizationView::from(organization),
    ))
}
