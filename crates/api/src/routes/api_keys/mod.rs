//! API keys: the caller's own, and those of others for whoever may see and revoke them.

mod create;
mod delete;
mod get;
mod list;
mod list_of_user;
mod revoke_of_user;
mod update;

use chrono::{DateTime, Utc};
use db_core::models::api_key::ApiKey;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(list::list_api_keys)
        .service(create::create_api_key)
        .service(get::get_api_key)
        .service(update::update_api_key)
        .service(delete::delete_api_key)
        .service(list_of_user::list_api_keys_of_user)
        .service(revoke_of_user::revoke_api_key_of_user);
}

/// Which page of API keys.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListApiKeys {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// An API key that was not revoked. The key itself is shown to its maker once.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyView {
    /// Its id.
    id: Uuid,
    /// User that it acts as.
    user_id: Uuid,
    /// What it is for.
    name: String,
    /// Last four characters, to recognise it by.
    last_four: String,
    /// The permissions that it is limited to; null for all of its user's.
    permissions: Option<Vec<String>>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// Last use, to the minute.
    last_used_at: Option<DateTime<Utc>>,
    /// When it ends by itself; null for never.
    expires_at: Option<DateTime<Utc>>,
}

impl From<ApiKey> for ApiKeyView {
    fn from(row: ApiKey) -> Self {
        Self {
            id: row.id.uuid(),
            user_id: row.user_id.uuid(),
            name: row.name,
            last_four: row.last_four,
            permissions: row.permissions,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
        }
    }
}
