//! `DELETE /api/v1/cards/{card_id}/tags/{tag_id}`

use actix_web::{HttpResponse, delete};
use db_core::models::tag::card_tag_remove;
use db_core::rbac::held;
use db_core::{CardId, TagId};

use crate::answer;
use crate::extract::{Can, InCard, Path};
use crate::problem::Problem;

/// Takes a tag off a card; 404 when the card does not carry it.
#[utoipa::path(tag = "tags", params(("card_id" = Uuid, Path), ("tag_id" = Uuid, Path)), responses((status = 204)))]
#[delete("/cards/{card_id}/tags/{tag_id}")]
pub(super) async fn untag_card(
    can: Can<held::CardUpdate, InCard>,
    Path((card, tag)): Path<(CardId, TagId)>,
) -> Result<HttpResponse, Problem> {
    can.write("untag_card", async |tx| card_tag_remove(tx, card, tag).await)
        .await?;
    Ok(answer::no_content())
}
