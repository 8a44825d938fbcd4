//! `DELETE /api/v1/api-keys/{api_key_id}`

use actix_web::{HttpResponse, delete};
use db_core::ApiKeyId;
use db_core::models::api_key::own_api_key_revoke;

use crate::answer;
use crate::extract::{Own, Path};
use crate::problem::Problem;

/// Revokes one of the caller's own API keys, with effect at its very next request.
#[utoipa::path(tag = "api-keys", params(("api_key_id" = Uuid, Path)), responses((status = 204)))]
#[delete("/api-keys/{api_key_id}")]
pub(super) async fn delete_api_key(
    own: Own,
    Path((id,)): Path<(ApiKeyId,)>,
) -> Result<HttpResponse, Problem> {
    own.write("delete_api_key", async |tx| own_api_key_revoke(tx, id).await)
        .await?;
    Ok(answer::no_content())
}
