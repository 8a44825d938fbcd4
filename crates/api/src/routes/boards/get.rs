//! `GET /api/v1/boards/{board_id}`

use actix_web::{HttpResponse, get};
use db_core::BoardId;
use db_core::models::board::board_get;
use db_core::rbac::held;

use super::BoardView;
use crate::answer;
use crate::extract::{Can, InBoard, Path};
use crate::problem::Problem;

/// Shows a board.
#[utoipa::path(tag = "boards", params(("board_id" = Uuid, Path)), responses((status = 200, body = BoardView)))]
#[get("/boards/{board_id}")]
pub(super) async fn get_board(
    can: Can<held::BoardRead, InBoard>,
    Path((id,)): Path<(BoardId,)>,
) -> Result<HttpResponse, Problem> {
    let board = can
        .read_once("get_board", async |tx| board_get(tx, id).await)
        .await?;
    Ok(answer::resource(board.version, &BoardView::from(board)))
}
