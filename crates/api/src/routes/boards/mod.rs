//! Boards.

mod create;
mod delete;
mod get;
mod list;
mod update;

use chrono::{DateTime, Utc};
use db_core::models::board::Board;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(list::list_boards)
        .service(create::create_board)
        .service(get::get_board)
        .service(update::update_board)
        .service(delete::delete_board);
}

/// A board.
#[derive(Debug, Serialize, ToSchema)]
pub struct BoardView {
    /// Its id.
    id: Uuid,
    /// Project that owns it.
    project_id: Uuid,
    /// Name shown to people.
    name: String,
    /// Counts changes; the same as the ETag.
    version: i32,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<Board> for BoardView {
    fn from(row: Board) -> Self {
        Self {
            id: row.id.uuid(),
            project_id: row.project_id.uuid(),
            name: row.name,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
