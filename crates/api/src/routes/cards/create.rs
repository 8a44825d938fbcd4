//! `POST /api/v1/columns/{column_id}/cards`

use actix_web::{HttpResponse, post};
use chrono::{DateTime, Utc};
use db_core::models::card::{NewCard, card_insert};
use db_core::rbac::held;
use db_core::text;
use db_core::{ColumnId, UserId};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{CardView, PlacedCard};
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, InColumn, Path};
use crate::problem::Problem;

/// A card to make, at the bottom of the column.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCard {
    /// What is to be done, in a line.
    #[schema(min_length = 1, max_length = 500)]
    title: String,
    /// What is to be done, at length.
    #[serde(default)]
    #[schema(max_length = 20000)]
    description: String,
    /// Who does it.
    assignee_id: Option<Uuid>,
    /// When it is to be done.
    due_at: Option<DateTime<Utc>>,
}

impl Check for CreateCard {
    fn check(&self, check: &mut Checker) {
        check.field("title", text::check_line(&self.title, 500));
        check.field("description", text::check_text(&self.description, 0, 20_000));
        check.optional("due_at", self.due_at.as_ref(), |time| text::check_time(*time));
    }
}

/// Makes a card.
#[utoipa::path(tag = "cards", params(("column_id" = Uuid, Path)), request_body = CreateCard,
    responses((status = 201, body = PlacedCard)))]
#[post("/columns/{column_id}/cards")]
pub(super) async fn create_card(
    can: Can<held::CardCreate, InColumn>,
    Path((column,)): Path<(ColumnId,)>,
    Body(body): Body<CreateCard>,
) -> Result<HttpResponse, Problem> {
    let (card, limit) = can
        .write("create_card", async |tx| {
            let new = NewCard {
                id: tx.new_id(),
                column_id: column,
                title: &body.title,
                description: &body.description,
                assignee_id: body.assignee_id.map(UserId::new),
                due_at: body.due_at,
            };
            card_insert(tx, &new).await
        })
        .await?;
    let location = format!("/api/v1/cards/{}", card.id);
    let version = card.version;
    let placed = PlacedCard {
        card: CardView::from(card),
        wip_limit_exceeded: limit.exceeded,
    };
    Ok(answer::created(location, version, &placed))
}
