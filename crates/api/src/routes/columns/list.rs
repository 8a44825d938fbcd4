//! `GET /api/v1/boards/{board_id}/columns`

use actix_web::{HttpResponse, get};
use db_core::BoardId;
use db_core::models::board_column::column_list;
use db_core::rbac::held;

use super::ColumnView;
use crate::answer;
use crate::extract::{Can, InBoard, Listing, Path};
use crate::problem::Problem;

/// Lists the columns of a board, left to right. A board has at most 100, so that there are no pages.
#[utoipa::path(tag = "columns", params(("board_id" = Uuid, Path)),
    responses((status = 200, body = Listing<ColumnView>)))]
#[get("/boards/{board_id}/columns")]
pub(super) async fn list_columns(
    can: Can<held::BoardRead, InBoard>,
    Path((board,)): Path<(BoardId,)>,
) -> Result<HttpResponse, Problem> {
    let columns = can
        .read("list_columns", async |tx| column_list(tx, board).await)
        .await?;
    let items: Vec<ColumnView> = columns.into_iter().map(ColumnView::from).collect();
    Ok(answer::ok(&Listing {
        items,
        next_cursor: None,
    }))
}
