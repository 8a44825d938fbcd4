//! `GET /api/v1/api-keys`

use actix_web::{HttpResponse, get};
use db_core::models::api_key::own_api_key_list;

use super::{ApiKeyView, ListApiKeys};
use crate::extract::{Listing, Own, Params, page};
use crate::problem::Problem;

/// Lists the caller's own API keys, oldest first. A key that is limited to some permissions sees only itself.
#[utoipa::path(tag = "api-keys", params(ListApiKeys), responses((status = 200, body = Listing<ApiKeyView>)))]
#[get("/api-keys")]
pub(super) async fn list_api_keys(
    own: Own,
    Params(params): Params<ListApiKeys>,
) -> Result<HttpResponse, Problem> {
    let page = page("api_keys", params.limit, params.cursor.as_deref())?;
    let rows = own
        .read("list_api_keys", async |tx| own_api_key_list(tx, &page).await)
        .await?;
    Listing::<ApiKeyView>::answer("api_keys", rows, |row| row.id.to_string())
}
