//! `GET /api/v1/me/sessions`

use actix_web::{HttpResponse, get};
use db_core::models::session::session_list;
use db_core::models::user::user_current;

use super::{ListSessions, SessionView};
use crate::extract::{Listing, Params, SignedIn, page};
use crate::problem::Problem;

/// Lists the caller's own sessions that have not ended, newest first.
#[utoipa::path(tag = "me", params(ListSessions), responses((status = 200, body = Listing<SessionView>)))]
#[get("/me/sessions")]
pub(super) async fn list_own_sessions(
    caller: SignedIn,
    Params(params): Params<ListSessions>,
) -> Result<HttpResponse, Problem> {
    let page = page("sessions", params.limit, params.cursor.as_deref())?;
    let rows = caller
        .read("list_own_sessions", async |tx| {
            let user = user_current(tx).await?;
            session_list(tx, user.id, &page).await
        })
        .await?;
    Listing::<SessionView>::answer("sessions", rows, |row| row.session.id.to_string())
}
