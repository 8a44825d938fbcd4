//! `GET /api/v1/organizations/{organization_id}/members`

use actix_web::{HttpResponse, get};
use db_core::OrganizationId;
use db_core::models::organization_member::member_list;
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::IntoParams;

use super::MemberView;
use crate::extract::{Can, InOrganization, Listing, Params, Path, page};
use crate::problem::Problem;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListMembers {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the members of an organization, by the age of their accounts.
#[utoipa::path(tag = "members", params(("organization_id" = Uuid, Path), ListMembers),
    responses((status = 200, body = Listing<MemberView>)))]
#[get("/organizations/{organization_id}/members")]
pub(super) async fn list_members(
    can: Can<held::MemberRead, InOrganization>,
    Path((organization,)): Path<(OrganizationId,)>,
    Params(params): Params<ListMembers>,
) -> Result<HttpResponse, Problem> {
    let page = page("members", params.limit, params.cursor.as_deref())?;
    let rows = can
        .read("list_members", async |tx| {
            member_list(tx, organization, &page).await
        })
        .await?;
    Listing::<MemberView>::answer("members", rows, |row| row.user_id.to_string())
}
