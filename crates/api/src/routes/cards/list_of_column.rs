//! `GET /api/v1/columns/{column_id}/cards`

use actix_web::{HttpResponse, get};
use db_core::models::board_column::column_get;
use db_core::models::card::card_list_of_column;
use db_core::rbac::held;
use db_core::{ColumnId, PageRequest};
use serde::Deserialize;
use utoipa::IntoParams;

use super::CardView;
use crate::extract::{Can, InColumn, Listing, Params, Path, page};
use crate::problem::Problem;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListCardsOfColumn {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the cards of a column, top to bottom.
#[utoipa::path(tag = "cards", params(("column_id" = Uuid, Path), ListCardsOfColumn),
    responses((status = 200, body = Listing<CardView>)))]
#[get("/columns/{column_id}/cards")]
pub(super) async fn list_cards_of_column(
    can: Can<held::CardRead, InColumn>,
    Path((column,)): Path<(ColumnId,)>,
    Params(params): Params<ListCardsOfColumn>,
) -> Result<HttpResponse, Problem> {
    let page: PageRequest<String> = page("cards_of_column", params.limit, params.cursor.as_deref())?;
    let page = PageRequest {
        limit: page.limit,
        after: page.after.as_deref(),
    };
    let rows = can
        .read_once("list_cards_of_column", async |tx| {
            card_list_of_column(tx, column, &page).await
        })
        .await?;
    if rows.rows.is_empty() {
        can.read("check_column", async |tx| column_get(tx, column).await)
            .await?;
    }
    Listing::<CardView>::answer("cards_of_column", rows, |row| row.rank.clone())
}
