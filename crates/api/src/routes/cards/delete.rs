//! `DELETE /api/v1/cards/{card_id}`

use actix_web::{HttpResponse, delete};
use db_core::CardId;
use db_core::models::card::card_delete;
use db_core::rbac::held;

use crate::answer;
use crate::extract::{Can, IfMatch, InCard, Path};
use crate::problem::Problem;

/// Deletes a card. Its number is not given out again.
#[utoipa::path(tag = "cards", params(("card_id" = Uuid, Path), IfMatch), responses((status = 204)))]
#[delete("/cards/{card_id}")]
pub(super) async fn delete_card(
    can: Can<held::CardDelete, InCard>,
    Path((id,)): Path<(CardId,)>,
    IfMatch(version): IfMatch,
) -> Result<HttpResponse, Problem> {
    can.write("delete_card", async |tx| card_delete(tx, id, version).await)
        .await?;
    Ok(answer::no_content())
}
