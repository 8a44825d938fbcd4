//! `PATCH /api/v1/api-keys/{api_key_id}`

use actix_web::{HttpResponse, patch};
use db_core::ApiKeyId;
use db_core::models::api_key::own_api_key_rename;
use db_core::text::check_name;
use serde::Deserialize;
use utoipa::ToSchema;

use super::ApiKeyView;
use crate::answer;
use crate::extract::{Body, Check, Checker, Own, Path};
use crate::problem::Problem;

/// The name, which is all that can change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateApiKey {
    /// What the key is for.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

impl Check for UpdateApiKey {
    fn check(&self, check: &mut Checker) {
        check.field("name", check_name(&self.name));
    }
}

/// Renames one of the caller's own API keys.
#[utoipa::path(tag = "api-keys", params(("api_key_id" = Uuid, Path)), request_body = UpdateApiKey,
    responses((status = 200, body = ApiKeyView)))]
#[patch("/api-keys/{api_key_id}")]
pub(super) async fn update_api_key(
    own: Own,
    Path((id,)): Path<(ApiKeyId,)>,
    Body(body): Body<UpdateApiKey>,
) -> Result<HttpResponse, Problem> {
    let key = own
        .write("update_api_key", async |tx| {
            own_api_key_rename(tx, id, &body.name).await
        })
        .await?;
    Ok(answer::ok(&ApiKeyView::from(key)))
}
