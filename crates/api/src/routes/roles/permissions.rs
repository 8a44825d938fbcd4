//! `GET /api/v1/permissions`

use actix_web::{HttpResponse, get};
use db_core::PageRequest;
use db_core::models::role::{CatalogueEntry, permission_list};
use db_core::rbac::held;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::extract::{Anywhere, Can, Listing, Params, page};
use crate::problem::Problem;

/// A permission.
#[derive(Debug, Serialize, ToSchema)]
pub struct PermissionView {
    /// `resource:action`.
    name: String,
    /// What the right allows, for people.
    description: String,
    /// Whether it takes effect in the platform domain only; no role that a domain makes can hold such a one.
    platform: bool,
}

impl From<CatalogueEntry> for PermissionView {
    fn from(row: CatalogueEntry) -> Self {
        Self {
            name: row.name,
            description: row.description,
            platform: row.platform,
        }
    }
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListPermissions {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the catalogue of permissions, in alphabetical order.
#[utoipa::path(tag = "roles", params(ListPermissions), responses((status = 200, body = Listing<PermissionView>)))]
#[get("/permissions")]
pub(super) async fn list_permissions(
    can: Can<held::RoleRead, Anywhere>,
    Params(params): Params<ListPermissions>,
) -> Result<HttpResponse, Problem> {
    let page: PageRequest<String> = page("permissions", params.limit, params.cursor.as_deref())?;
    let page = PageRequest {
        limit: page.limit,
        after: page.after.as_deref(),
    };
    let rows = can
        .read("list_permissions", async |tx| permission_list(tx, &page).await)
        .await?;
    Listing::<PermissionView>::answer("permissions", rows, |row| row.name.clone())
}
