//! `GET /api/v1/cards/{card_id}/tags`

use actix_web::{HttpResponse, get};
use db_core::CardId;
use db_core::models::tag::card_tag_list;
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::IntoParams;

use super::TagView;
use crate::extract::{Can, InCard, Listing, Params, Path, page};
use crate::problem::Problem;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListTagsOfCard {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the tags that a card carries, oldest first.
#[utoipa::path(tag = "tags", params(("card_id" = Uuid, Path), ListTagsOfCard),
    responses((status = 200, body = Listing<TagView>)))]
#[get("/cards/{card_id}/tags")]
pub(super) async fn list_tags_of_card(
    can: Can<held::CardRead, InCard>,
    Path((card,)): Path<(CardId,)>,
    Params(params): Params<ListTagsOfCard>,
) -> Result<HttpResponse, Problem> {
    let page = page("tags_of_card", params.limit, params.cursor.as_deref())?;
    let rows = can
        .read("list_tags_of_card", async |tx| {
            card_tag_list(tx, card, &page).await
        })
        .await?;
    Listing::<TagView>::answer("tags_of_card", rows, |row| row.id.to_string())
}
