//! Domains, for platform operators.

mod create;
mod get;
mod host_delete;
mod host_put;
mod list;
mod resume;
mod suspend;
mod update;

use chrono::{DateTime, Utc};
use db_core::models::domain::Domain;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(list::list_domains)
        .service(create::create_domain)
        .service(get::get_domain)
        .service(update::update_domain)
        .service(suspend::suspend_domain)
        .service(resume::resume_domain)
        .service(host_put::put_domain_host)
        .service(host_delete::delete_domain_host);
}

/// A domain.
#[derive(Debug, Serialize, ToSchema)]
pub struct DomainView {
    /// Its id.
    id: Uuid,
    /// Short name used at sign-in.
    slug: String,
    /// Name shown to people.
    name: String,
    /// `active`; `suspended`: no credential of the domain counts; `erasing`: the same, and it is on its way out.
    #[schema(pattern = "^(active|suspended|erasing)$")]
    status: String,
    /// Counts changes; the same as the ETag.
    version: i32,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<Domain> for DomainView {
    fn from(row: Domain) -> Self {
        Self {
            id: row.id.uuid(),
            slug: row.slug,
            name: row.name,
            status: row.status,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
