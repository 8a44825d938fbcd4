//! `DELETE /api/v1/boards/{board_id}`

use actix_web::{HttpResponse, delete};
use db_core::BoardId;
use db_core::models::board::board_delete;
use db_core::rbac::held;

use crate::answer;
use crate::extract::{Can, IfMatch, InBoard, Path};
use crate::problem::Problem;

/// Deletes a board that has no cards any more; its columns go with it.
#[utoipa::path(tag = "boards", params(("board_id" = Uuid, Path), IfMatch), responses((status = 204)))]
#[delete("/boards/{board_id}")]
pub(super) async fn delete_board(
    can: Can<held::BoardDelete, InBoard>,
    Path((id,)): Path<(BoardId,)>,
    IfMatch(version): IfMatch,
) -> Result<HttpResponse, Problem> {
    can.write("delete_board", async |tx| board_delete(tx, id, version).await)
        .await?;
    Ok(answer::no_content())
}
