//! `GET /api/v1/boards/{board_id}/cards`

use actix_web::{HttpResponse, get};
use db_core::BoardId;
use db_core::models::card::{CardFilter, card_list, card_list_check};
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::CardView;
use crate::extract::{Can, InBoard, Listing, Params, Path, page};
use crate::problem::Problem;

/// Which cards, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListCards {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only cards of this column.
    column_id: Option<Uuid>,
    /// Only cards of this assignee.
    assignee_id: Option<Uuid>,
    /// Only cards with this tag.
    tag_id: Option<Uuid>,
}

/// Lists the cards of a board, oldest first.
#[utoipa::path(tag = "cards", params(("board_id" = Uuid, Path), ListCards),
    responses((status = 200, body = Listing<CardView>)))]
#[get("/boards/{board_id}/cards")]
pub(super) async fn list_cards(
    can: Can<held::CardRead, InBoard>,
    Path((board,)): Path<(BoardId,)>,
    Params(params): Params<ListCards>,
) -> Result<HttpResponse, Problem> {
    let page = page("cards", params.limit, params.cursor.as_deref())?;
    let filter = CardFilter {
        column: params.column_id.map(Into::into),
        assignee: params.assignee_id.map(Into::into),
        tag: params.tag_id.map(Into::into),
    };
    let rows = can
        .read_once("list_cards", async |tx| {
            card_list(tx, board, &filter, &page).await
        })
        .await?;
    if rows.rows.is_empty() {
        can.read("check_card_list", async |tx| {
            card_list_check(tx, board, &filter).await
        })
        .await?;
    }
    Listing::<CardView>::answer("cards", rows, |row| row.id.to_string())
}
