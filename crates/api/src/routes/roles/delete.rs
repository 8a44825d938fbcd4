//! `DELETE /api/v1/roles/{role_id}`

use actix_web::{HttpResponse, delete};
use db_core::RoleId;
use db_core::models::role::role_delete;
use db_core::rbac::held;

use crate::answer;
use crate::extract::{Can, IfMatch, InDomain, Path};
use crate::problem::Problem;

/// Deletes a role of the domain's own that nobody has any more.
#[utoipa::path(tag = "roles", params(("role_id" = Uuid, Path), IfMatch), responses((status = 204)))]
#[delete("/roles/{role_id}")]
pub(super) async fn delete_role(
    can: Can<held::RoleDelete, InDomain>,
    Path((id,)): Path<(RoleId,)>,
    IfMatch(version): IfMatch,
) -> Result<HttpResponse, Problem> {
    can.write("delete_role", async |tx| role_delete(tx, id, version).await)
        .await?;
    Ok(answer::no_content())
}
