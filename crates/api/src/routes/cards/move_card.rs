//! `POST /api/v1/cards/{card_id}/move`

use actix_web::{HttpResponse, post};
use db_core::models::card::{Place, card_move};
use db_core::rbac::held;
use db_core::{CardId, ColumnId};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{CardView, PlacedCard};
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, IfMatch, InCard, Path};
use crate::problem::Problem;

/// Where a card goes: to the bottom of the column, or to the place that one of the other fields says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveCard {
    /// Column of the same project that it will stand in.
    column_id: Uuid,
    /// Card of that column that it will stand right above.
    before: Option<Uuid>,
    /// Card of that column that it will stand right below.
    after: Option<Uuid>,
    /// To the top of the column.
    #[serde(default)]
    top: bool,
}

impl MoveCard {
    fn place(&self) -> Place {
        match (self.before, self.after, self.top) {
            (Some(card), ..) => Place::Before(CardId::new(card)),
            (_, Some(card), _) => Place::After(CardId::new(card)),
            (_, _, true) => Place::Top,
            _ => Place::Bottom,
        }
    }
}

impl Check for MoveCard {
    fn check(&self, check: &mut Checker) {
        let said = [self.before.is_some(), self.after.is_some(), self.top];
        if said.into_iter().filter(|&said| said).count() > 1 {
            check.field(
                "before",
                Err("give at most one of before, after and top".to_owned()),
            );
        }
    }
}

/// Moves a card to a place in a column of the same project.
#[utoipa::path(tag = "cards", params(("card_id" = Uuid, Path), IfMatch), request_body = MoveCard,
    responses((status = 200, body = PlacedCard)))]
#[post("/cards/{card_id}/move")]
pub(super) async fn move_card(
    can: Can<held::CardUpdate, InCard>,
    Path((id,)): Path<(CardId,)>,
    IfMatch(version): IfMatch,
    Body(body): Body<MoveCard>,
) -> Result<HttpResponse, Problem> {
    let (to, place) = (ColumnId::new(body.column_id), body.place());
    let (card, limit) = can
        .write("move_card", async |tx| {
            card_move(tx, id, version, to, place).await
        })
        .await?;
    let version = card.version;
    let placed = PlacedCard {
        card: CardView::from(card),
        wip_limit_exceeded: limit.exceeded,
    };
    Ok(answer::resource(version, &placed))
}
