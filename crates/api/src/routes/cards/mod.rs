//! Cards.

mod create;
mod delete;
mod get;
mod list;
mod list_of_column;
mod move_card;
mod update;

use chrono::{DateTime, Utc};
use db_core::models::card::Card;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(list::list_cards)
        .service(list_of_column::list_cards_of_column)
        .service(create::create_card)
        .service(get::get_card)
        .service(update::update_card)
        .service(move_card::move_card)
        .service(delete::delete_card);
}

/// A card.
#[derive(Debug, Serialize, ToSchema)]
pub struct CardView {
    /// Its id.
    id: Uuid,
    /// Project of its board.
    project_id: Uuid,
    /// Board that it stands on.
    board_id: Uuid,
    /// Column that it stands in.
    column_id: Uuid,
    /// Number within the project; with the project's key it makes `OPS-1`.
    number: i32,
    /// Place in the column: compare as text, byte by byte.
    rank: String,
    /// What is to be done, in a line.
    title: String,
    /// What is to be done, at length.
    description: String,
    /// Who does it.
    assignee_id: Option<Uuid>,
    /// Who made the card.
    created_by: Option<Uuid>,
    /// When it is to be done.
    due_at: Option<DateTime<Utc>>,
    /// Counts changes; the same as the ETag.
    version: i32,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<Card> for CardView {
    fn from(row: Card) -> Self {
        Self {
            id: row.id.uuid(),
            project_id: row.project_id.uuid(),
            board_id: row.board_id.uuid(),
            column_id: row.column_id.uuid(),
            number: row.number,
            rank: row.rank,
            title: row.title,
            description: row.description,
            assignee_id: row.assignee_id.map(Into::into),
            created_by: row.created_by.map(Into::into),
            due_at: row.due_at,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A card that came into a column.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlacedCard {
    /// The card.
    #[serde(flatten)]
    card: CardView,
    /// Whether the column now holds more cards than its limit; only under the policy `warn`.
    wip_limit_exceeded: bool,
}
