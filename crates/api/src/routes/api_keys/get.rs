//! `GET /api/v1/api-keys/{api_key_id}`

use actix_web::{HttpResponse, get};
use db_core::ApiKeyId;
use db_core::models::api_key::own_api_key_get;

use super::ApiKeyView;
use crate::answer;
use crate::extract::{Own, Path};
use crate::problem::Problem;

/// Shows one of the caller's own API keys.
#[utoipa::path(tag = "api-keys", params(("api_key_id" = Uuid, Path)), responses((status = 200, body = ApiKeyView)))]
#[get("/api-keys/{api_key_id}")]
pub(super) async fn get_api_key(own: Own, Path((id,)): Path<(ApiKeyId,)>) -> Result<HttpResponse, Problem> {
    let key = own
        .read_once("get_api_key", async |tx| own_api_key_get(tx, id).await)
        .await?;
    Ok(answer::ok(&ApiKeyView::from(key)))
}
