//! `GET /api/v1/organizations`

use actix_web::{HttpResponse, get};
use db_core::models::organization::organization_list;
use db_core::rbac::held;

use serde::Deserialize;
use utoipa::IntoParams;

use super::OrganizationView;
use crate::extract::{Anywhere, Can, Listing, Params, page};
use crate::problem::Problem;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListOrganizations {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists organizations, oldest first; those that the caller may see.
#[utoipa::path(tag = "organizations", params(ListOrganizations), responses((status = 200, body = Listing<OrganizationView>)))]
#[get("/organizations")]
pub(super) async fn list_organizations(
    can: Can<held::OrganizationRead, Anywhere>,
    Params(params): Params<ListOrganizations>,
) -> Result<HttpResponse, Problem> {
    let page = page("organizations", params.limit, params.cursor.as_deref())?;
    let rows = can
        .read("list_organizations", async |tx| {
            organization_list(tx, &page).await
        })
        .await?;
    Listing::<OrganizationView>::answer("organizations", rows, |row| row.id.to_string())
}
