//! `GET /api/v1/organizations/{organization_id}/roles`

use actix_web::{HttpResponse, get};
use db_core::OrganizationId;
use db_core::models::user_role::{Assigned, RoleScope, assignment_list};
use db_core::rbac::held;

use super::{AssignmentView, ListAssignments};
use crate::extract::{Can, InOrganization, Listing, Params, Path, page};
use crate::problem::Problem;

/// Lists the roles that are limited to an organization, oldest first.
#[utoipa::path(tag = "roles", params(("organization_id" = Uuid, Path), ListAssignments),
    responses((status = 200, body = Listing<AssignmentView>)))]
#[get("/organizations/{organization_id}/roles")]
pub(super) async fn list_organization_roles(
    can: Can<held::RoleRead, InOrganization>,
    Path((id,)): Path<(OrganizationId,)>,
    Params(params): Params<ListAssignments>,
) -> Result<HttpResponse, Problem> {
    let page = page("organization_roles", params.limit, params.cursor.as_deref())?;
    let assigned = Assigned::In(RoleScope::Organization(id));
    let rows = can
        .read("list_organization_roles", async |tx| {
            assignment_list(tx, assigned, &page).await
        })
        .await?;
    Listing::<AssignmentView>::answer("organization_roles", rows, |row| row.row.id.to_string())
}
