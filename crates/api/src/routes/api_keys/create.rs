//! `POST /api/v1/api-keys`

use actix_web::http::header;
use actix_web::{HttpResponse, post};
use chrono::{DateTime, Utc};
use db_core::Permission;
use db_core::models::api_key::{NewApiKey, api_key_insert};
use db_core::rbac::held;
use db_core::text::{check_name, check_time};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiKeyView;
use crate::extract::{Anywhere, Body, Can, Check, Checker};
use crate::problem::Problem;

/// An API key to make for oneself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    /// What it is for.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Permissions that it is to be limited to, such as `card:read`; absent or null for all of the caller's.
    permissions: Option<Vec<String>>,
    /// When it is to end by itself; absent or null for never.
    expires_at: Option<DateTime<Utc>>,
}

impl Check for CreateApiKey {
    fn check(&self, check: &mut Checker) {
        check.field("name", check_name(&self.name));
        for (index, name) in self.permissions.iter().flatten().enumerate() {
            if Permission::from_name(name).is_none() {
                check.field(
                    &format!("permissions[{index}]"),
                    Err("is not a permission of the catalogue".to_owned()),
                );
            }
        }
        if self.permissions.as_ref().is_some_and(Vec::is_empty) {
            let message = "must name at least one permission; leave it out for all that you hold";
            check.field("permissions", Err(message.to_owned()));
        }
        check.optional("expires_at", self.expires_at.as_ref(), |time| check_time(*time));
    }
}

/// A new API key.
#[derive(Serialize, ToSchema)]
pub struct ApiKeyCreated {
    /// What everybody may see of it.
    #[serde(flatten)]
    view: ApiKeyView,
    /// The whole key, shown only here. It goes into `Authorization: Bearer`.
    key: String,
}

/// Makes an API key for the caller; made with an API key, it is never more than that key.
#[utoipa::path(tag = "api-keys", request_body = CreateApiKey, responses((status = 201, body = ApiKeyCreated)))]
#[post("/api-keys")]
pub(super) async fn create_api_key(
    can: Can<held::ApiKeyCreate, Anywhere>,
    Body(body): Body<CreateApiKey>,
) -> Result<HttpResponse, Problem> {
    let permissions: Option<Vec<Permission>> = body.permissions.map(|names| {
        names
            .iter()
            .filter_map(|name| Permission::from_name(name))
            .collect()
    });
    let new = NewApiKey {
        name: &body.name,
        permissions: permissions.as_deref(),
        expires_at: body.expires_at,
    };
    let made = can
        .write("create_api_key", async |tx| api_key_insert(tx, &new).await)
        .await?;
    Ok(HttpResponse::Created()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::LOCATION, format!("/api/v1/api-keys/{}", made.row.id)))
        .json(ApiKeyCreated {
            view: made.row.into(),
            key: made.key.expose_secret().to_owned(),
        }))
}
