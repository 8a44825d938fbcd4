//! Members of organizations.

mod create;
mod delete;
mod list;

use chrono::{DateTime, Utc};
use db_core::models::organization_member::Member;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(list::list_members)
        .service(create::add_member)
        .service(delete::remove_member);
}

/// A member of an organization.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberView {
    /// The account.
    user_id: Uuid,
    /// Its name.
    name: String,
    /// Its e-mail address.
    email: String,
    /// When it became a member.
    created_at: DateTime<Utc>,
}

impl From<Member> for MemberView {
    fn from(row: Member) -> Self {
        Self {
            user_id: row.user_id.uuid(),
            name: row.name,
            email: row.email,
            created_at: row.created_at,
        }
    }
}
