//! `POST /api/v1/organizations`

use actix_web::{HttpResponse, post};
use db_core::models::organization::{NewOrganization, organization_insert};
use db_core::rbac::held;
use db_core::text;

use serde::Deserialize;
use utoipa::ToSchema;

use super::OrganizationView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, InDomain};
use crate::problem::Problem;

/// An organization to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateOrganization {
    /// Short name: lower-case letters, digits and hyphens.
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    slug: String,
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

impl Check for CreateOrganization {
    fn check(&self, check: &mut Checker) {
        check.field("slug", text::check_slug(&self.slug));
        check.field("name", text::check_name(&self.name));
    }
}

/// Makes an organization.
#[utoipa::path(tag = "organizations", request_body = CreateOrganization, responses((status = 201, body = OrganizationView)))]
#[post("/organizations")]
pub(super) async fn create_organization(
    can: Can<held::OrganizationCreate, InDomain>,
    Body(body): Body<CreateOrganization>,
) -> Result<HttpResponse, Problem> {
    let organization = can
        .write("create_organization", async |tx| {
            organization_insert(
                tx,
                &NewOrganization {
                    id: tx.new_id(),
                    slug: &body.slug,
                    name: &body.name,
                },
            )
            .await
        })
        .await?;
    let location = format!("/api/v1/organizations/{}", organization.id);
    Ok(answer::created(
        location,
        organization.version,
        &OrganizationView::from(organization),
    ))
}
