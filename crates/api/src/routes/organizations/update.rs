//! `PATCH /api/v1/organizations/{organization_id}`

use actix_web::{HttpResponse, patch};
use db_core::OrganizationId;
use db_core::models::organization::{OrganizationPatch, organization_update};
use db_core::rbac::held;
use db_core::text;
use serde::Deserialize;
use utoipa::ToSchema;

use super::OrganizationView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, IfMatch, InOrganization, Path};
use crate::problem::Problem;

/// What is to change; a field that is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateOrganization {
    /// Short name.
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    slug: Option<String>,
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
}

impl Check for UpdateOrganization {
    fn check(&self, check: &mut Checker) {
        check.optional("slug", self.slug.as_ref(), |v| text::check_slug(v));
        check.optional("name", self.name.as_ref(), |v| text::check_name(v));
    }
}

/// Changes an organization.
#[utoipa::path(tag = "organizations", params(("organization_id" = Uuid, Path), IfMatch), request_body = UpdateOrganization,
    responses((status = 200, body = OrganizationView)))]
#[patch("/organizations/{organization_id}")]
pub(super) async fn update_organization(
    can: Can<held::OrganizationUpdate, InOrganization>,
    Path((id,)): Path<(OrganizationId,)>,
    IfMatch(version): IfMatch,
    Body(body): Body<UpdateOrganization>,
) -> Result<HttpResponse, Problem> {
    let patch = OrganizationPatch {
        slug: body.slug,
        name: body.name,
    };
    let organization = can
        .write("update_organization", async |tx| {
            organization_update(tx, id, version, &patch).await
        })
        .await?;
    Ok(answer::resource(
        organization.version,
        &OrganizationView::from(organization),
    ))
}
