//! `PUT /api/v1/cards/{card_id}/tags/{tag_id}`

use actix_web::{HttpResponse, put};
use db_core::models::tag::card_tag_add;
use db_core::rbac::held;
use db_core::{CardId, TagId};

use crate::answer;
use crate::extract::{Can, InCard, Path};
use crate::problem::Problem;

/// Puts a tag of its project on a card. Once more is no error.
#[utoipa::path(tag = "tags", params(("card_id" = Uuid, Path), ("tag_id" = Uuid, Path)), responses((status = 204)))]
#[put("/cards/{card_id}/tags/{tag_id}")]
pub(super) async fn tag_card(
    can: Can<held::CardUpdate, InCard>,
    Path((card, tag)): Path<(CardId, TagId)>,
) -> Result<HttpResponse, Problem> {
    can.write("tag_card", async |tx| card_tag_add(tx, card, tag).await)
        .await?;
    Ok(answer::no_content())
}
