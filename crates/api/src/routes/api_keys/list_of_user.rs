//! `GET /api/v1/users/{user_id}/api-keys`

use actix_web::{HttpResponse, get};
use db_core::UserId;
use db_core::models::api_key::api_key_list;
use db_core::rbac::held;

use super::{ApiKeyView, ListApiKeys};
use crate::extract::{Can, InDomain, Listing, Params, Path, page};
use crate::problem::Problem;

/// Lists the API keys of a user, oldest first.
#[utoipa::path(tag = "api-keys", params(("user_id" = Uuid, Path), ListApiKeys),
    responses((status = 200, body = Listing<ApiKeyView>)))]
#[get("/users/{user_id}/api-keys")]
pub(super) async fn list_api_keys_of_user(
    can: Can<held::ApiKeyRead, InDomain>,
    Path((user,)): Path<(UserId,)>,
    Params(params): Params<ListApiKeys>,
) -> Result<HttpResponse, Problem> {
    let page = page("api_keys", params.limit, params.cursor.as_deref())?;
    let rows = can
        .read("list_api_keys_of_user", async |tx| {
            api_key_list(tx, user, &page).await
        })
        .await?;
    Listing::<ApiKeyView>::answer("api_keys", rows, |row| row.id.to_string())
}
