//! Accounts of the domain.

mod create;
mod deactivate;
mod get;
mod list;
mod reactivate;
mod update;

use chrono::{DateTime, Utc};
use db_core::models::user::User;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(list::list_users)
        .service(create::create_user)
        .service(get::get_user)
        .service(update::update_user)
        .service(deactivate::deactivate_user)
        .service(reactivate::reactivate_user);
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    /// Its id.
    id: Uuid,
    /// E-mail address in lower case; unique within the domain.
    email: String,
    /// Name shown to people.
    name: String,
    /// `active`, or `deactivated`: no credential of the account counts.
    #[schema(pattern = "^(active|deactivated)$")]
    status: String,
    /// Counts changes; the same as the ETag.
    version: i32,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<User> for UserView {
    fn from(row: User) -> Self {
        Self {
            id: row.id.uuid(),
            email: row.email,
            name: row.name,
            status: row.status,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
