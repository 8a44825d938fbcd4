//! `DELETE /api/v1/users/{user_id}/api-keys/{api_key_id}`

use actix_web::{HttpResponse, delete};
use db_core::models::api_key::api_key_revoke;
use db_core::rbac::held;
use db_core::{ApiKeyId, UserId};

use crate::answer;
use crate::extract::{Can, InDomain, Path};
use crate::problem::Problem;

/// Revokes an API key of a user, with effect at its very next request.
#[utoipa::path(tag = "api-keys", params(("user_id" = Uuid, Path), ("api_key_id" = Uuid, Path)), responses((status = 204)))]
#[delete("/users/{user_id}/api-keys/{api_key_id}")]
pub(super) async fn revoke_api_key_of_user(
    can: Can<held::ApiKeyRevoke, InDomain>,
    Path((user, id)): Path<(UserId, ApiKeyId)>,
) -> Result<HttpResponse, Problem> {
    can.write("revoke_api_key_of_user", async |tx| {
        api_key_revoke(tx, user, id).await
    })
    .await?;
    Ok(answer::no_content())
}
