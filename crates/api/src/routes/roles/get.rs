//! `GET /api/v1/roles/{role_id}`

use actix_web::{HttpResponse, get};
use db_core::RoleId;
use db_core::models::role::role_get;
use db_core::rbac::held;

use super::FullRoleView;
use crate::answer;
use crate::extract::{Anywhere, Can, Path};
use crate::problem::Problem;

/// Shows a role, with what it gives.
#[utoipa::path(tag = "roles", params(("role_id" = Uuid, Path)), responses((status = 200, body = FullRoleView)))]
#[get("/roles/{role_id}")]
pub(super) async fn get_role(
    can: Can<held::RoleRead, Anywhere>,
    Path((id,)): Path<(RoleId,)>,
) -> Result<HttpResponse, Problem> {
    let role = can.read("get_role", async |tx| role_get(tx, id).await).await?;
    Ok(answer::resource(role.role.version, &FullRoleView::from(role)))
}
