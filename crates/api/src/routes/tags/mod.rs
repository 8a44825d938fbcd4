//! Tags of a project, and those that a card carries.

mod add_to_card;
mod create;
mod delete;
mod get;
mod list;
mod list_of_card;
mod remove_from_card;
mod update;

use chrono::{DateTime, Utc};
use db_core::models::tag::Tag;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(list::list_tags)
        .service(create::create_tag)
        .service(get::get_tag)
        .service(update::update_tag)
        .service(delete::delete_tag)
        .service(list_of_card::list_tags_of_card)
        .service(add_to_card::tag_card)
        .service(remove_from_card::untag_card);
}

/// A tag.
#[derive(Debug, Serialize, ToSchema)]
pub struct TagView {
    /// Its id.
    id: Uuid,
    /// Project that owns it.
    project_id: Uuid,
    /// Name shown to people; unique within the project, whatever its case.
    name: String,
    /// Colour as `#rrggbb` in lower case.
    color: String,
    /// Counts changes; the same as the ETag.
    version: i32,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<Tag> for TagView {
    fn from(row: Tag) -> Self {
        Self {
            id: row.id.uuid(),
            project_id: row.project_id.uuid(),
            name: row.name,
            color: row.color,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
