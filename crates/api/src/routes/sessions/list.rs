//! `GET /api/v1/users/{user_id}/sessions`

use actix_web::{HttpResponse, get};
use db_core::UserId;
use db_core::models::session::session_list;
use db_core::rbac::held;

use super::{ListSessions, SessionView};
use crate::extract::{Can, InDomain, Listing, Params, Path, page};
use crate::problem::Problem;

/// Lists the sessions of a user that have not ended, newest first.
#[utoipa::path(tag = "sessions", params(("user_id" = Uuid, Path), ListSessions),
    responses((status = 200, body = Listing<SessionView>)))]
#[get("/users/{user_id}/sessions")]
pub(super) async fn list_sessions(
    can: Can<held::SessionRead, InDomain>,
    Path((user,)): Path<(UserId,)>,
    Params(params): Params<ListSessions>,
) -> Result<HttpResponse, Problem> {
    let page = page("sessions", params.limit, params.cursor.as_deref())?;
    let rows = can
        .read("list_sessions", async |tx| session_list(tx, user, &page).await)
        .await?;
    Listing::<SessionView>::answer("sessions", rows, |row| row.session.id.to_string())
}
