//! `GET /api/v1/cards/{card_id}`

use actix_web::{HttpResponse, get};
use db_core::CardId;
use db_core::models::card::card_get;
use db_core::rbac::held;

use super::CardView;
use crate::answer;
use crate::extract::{Can, InCard, Path};
use crate::problem::Problem;

/// Shows a card.
#[utoipa::path(tag = "cards", params(("card_id" = Uuid, Path)), responses((status = 200, body = CardView)))]
#[get("/cards/{card_id}")]
pub(super) async fn get_card(
    can: Can<held::CardRead, InCard>,
    Path((id,)): Path<(CardId,)>,
) -> Result<HttpResponse, Problem> {
    let card = can
        .read_once("get_card", async |tx| card_get(tx, id).await)
        .await?;
    Ok(answer::resource(card.version, &CardView::from(card)))
}
