//! `GET /api/v1/users/{user_id}/roles`

use actix_web::{HttpResponse, get};
use db_core::UserId;
use db_core::models::user_role::{Assigned, assignment_list};
use db_core::rbac::held;

use super::{AssignmentView, ListAssignments};
use crate::extract::{Can, InDomain, Listing, Params, Path, page};
use crate::problem::Problem;

/// Lists all roles of a user, oldest first, wherever they count.
#[utoipa::path(tag = "roles", params(("user_id" = Uuid, Path), ListAssignments),
    responses((status = 200, body = Listing<AssignmentView>)))]
#[get("/users/{user_id}/roles")]
pub(super) async fn list_role_assignments(
    can: Can<held::RoleRead, InDomain>,
    Path((user,)): Path<(UserId,)>,
    Params(params): Params<ListAssignments>,
) -> Result<HttpResponse, Problem> {
    let page = page("role_assignments", params.limit, params.cursor.as_deref())?;
    let rows = can
        .read("list_role_assignments", async |tx| {
            assignment_list(tx, Assigned::To(user), &page).await
        })
        .await?;
    Listing::<AssignmentView>::answer("role_assignments", rows, |row| row.row.id.to_string())
}
