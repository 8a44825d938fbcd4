//! `GET /api/v1/roles`

use actix_web::{HttpResponse, get};
use db_core::models::role::role_list;
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::IntoParams;

use super::RoleView;
use crate::extract::{Anywhere, Can, Listing, Params, page};
use crate::problem::Problem;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListRoles {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the system roles, then the domain's own, oldest first.
#[utoipa::path(tag = "roles", params(ListRoles), responses((status = 200, body = Listing<RoleView>)))]
#[get("/roles")]
pub(super) async fn list_roles(
    can: Can<held::RoleRead, Anywhere>,
    Params(params): Params<ListRoles>,
) -> Result<HttpResponse, Problem> {
    let page = page("roles", params.limit, params.cursor.as_deref())?;
    let rows = can
        .read("list_roles", async |tx| role_list(tx, &page).await)
        .await?;
    Listing::<RoleView>::answer("roles", rows, |row| row.id.to_string())
}
