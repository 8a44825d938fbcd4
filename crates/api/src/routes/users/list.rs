//! `GET /api/v1/users`

use actix_web::{HttpResponse, get};
use db_core::models::user::{check_email, user_list};
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::IntoParams;

use super::UserView;
use crate::extract::{Can, InDomain, Listing, Params, page};
use crate::problem::Problem;

/// Which accounts, and which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListUsers {
    /// The one with this e-mail address.
    email: Option<String>,
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists accounts, oldest first; deactivated ones among them.
#[utoipa::path(tag = "users", params(ListUsers), responses((status = 200, body = Listing<UserView>)))]
#[get("/users")]
pub(super) async fn list_users(
    can: Can<held::UserRead, InDomain>,
    Params(params): Params<ListUsers>,
) -> Result<HttpResponse, Problem> {
    let page = page("users", params.limit, params.cursor.as_deref())?;
    if let Some(Err(message)) = params.email.as_deref().map(check_email) {
        let problem = Problem::bad_request("invalid_query", "a query parameter does not fit; see errors");
        return Err(problem.field("email", message));
    }
    let rows = can
        .read("list_users", async |tx| {
            user_list(tx, params.email.as_deref(), &page).await
        })
        .await?;
    Listing::<UserView>::answer("users", rows, |row| row.id.to_string())
}
