//! `PATCH /api/v1/boards/{board_id}`

use actix_web::{HttpResponse, patch};
use db_core::BoardId;
use db_core::models::board::{BoardPatch, board_update};
use db_core::rbac::held;
use db_core::text;
use serde::Deserialize;
use utoipa::ToSchema;

use super::BoardView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, IfMatch, InBoard, Path};
use crate::problem::Problem;

/// What is to change; a field that is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateBoard {
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
}

impl Check for UpdateBoard {
    fn check(&self, check: &mut Checker) {
        check.optional("name", self.name.as_ref(), |v| text::check_name(v));
    }
}

/// Changes a board.
#[utoipa::path(tag = "boards", params(("board_id" = Uuid, Path), IfMatch), request_body = UpdateBoard,
    responses((status = 200, body = BoardView)))]
#[patch("/boards/{board_id}")]
pub(super) async fn update_board(
    can: Can<held::BoardUpdate, InBoard>,
    Path((id,)): Path<(BoardId,)>,
    IfMatch(version): IfMatch,
    Body(body): Body<UpdateBoard>,
) -> Result<HttpResponse, Problem> {
    let patch = BoardPatch { name: body.name };
    let board = can
        .write("update_board", async |tx| {
            board_update(tx, id, version, &patch).await
        })
        .await?;
    Ok(answer::resource(board.version, &BoardView::from(board)))
}
