//! Columns of a board.

mod create;
mod delete;
mod get;
mod list;
mod move_column;
mod update;

use chrono::{DateTime, Utc};
use db_core::models::board_column::BoardColumn;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(list::list_columns)
        .service(create::create_column)
        .service(get::get_column)
        .service(update::update_column)
        .service(move_column::move_column)
        .service(delete::delete_column);
}

/// A column.
#[derive(Debug, Serialize, ToSchema)]
pub struct ColumnView {
    /// Its id.
    id: Uuid,
    /// Project of the board.
    project_id: Uuid,
    /// Board that it stands on.
    board_id: Uuid,
    /// Name shown to people.
    name: String,
    /// How many cards may stand in it; null for any number.
    wip_limit: Option<i32>,
    /// What happens above the limit.
    #[schema(value_type = WipPolicy)]
    wip_policy: String,
    /// Counts changes; the same as the ETag.
    version: i32,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<BoardColumn> for ColumnView {
    fn from(row: BoardColumn) -> Self {
        Self {
            id: row.id.uuid(),
            project_id: row.project_id.uuid(),
            board_id: row.board_id.uuid(),
            name: row.name,
            wip_limit: row.wip_limit,
            wip_policy: row.wip_policy,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// What happens when a column holds more cards than its limit.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WipPolicy {
    /// Nothing.
    #[default]
    Off,
    /// The answer says so.
    Warn,
    /// The card is refused with 409.
    Block,
}

impl WipPolicy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Block => "block",
        }
    }
}

fn check_limit(limit: i32) -> Result<(), String> {
    if (1..=100_000).contains(&limit) {
        Ok(())
    } else {
        Err(format!("must be 1 to 100000, is {limit}"))
    }
}
