//! Projects.

mod create;
mod delete;
mod get;
mod list;
mod update;

use chrono::{DateTime, Utc};
use db_core::models::project::Project;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(list::list_projects)
        .service(list::list_projects_of_organization)
        .service(create::create_project)
        .service(get::get_project)
        .service(update::update_project)
        .service(delete::delete_project);
}

/// A project.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectView {
    /// Its id.
    id: Uuid,
    /// Organization that owns it.
    organization_id: Uuid,
    /// Begins the numbers of its cards, such as `OPS` in `OPS-1`.
    key: String,
    /// Name shown to people.
    name: String,
    /// What it is about.
    description: String,
    /// Counts changes; the same as the ETag.
    version: i32,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<Project> for ProjectView {
    fn from(row: Project) -> Self {
        Self {
            id: row.id.uuid(),
            organization_id: row.organization_id.uuid(),
            key: row.key,
            name: row.name,
            description: row.description,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
