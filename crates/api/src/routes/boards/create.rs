//! `POST /api/v1/projects/{project_id}/boards`

use actix_web::{HttpResponse, post};
use db_core::ProjectId;
use db_core::models::board::{NewBoard, board_insert};
use db_core::rbac::held;
use db_core::text;
use serde::Deserialize;
use utoipa::ToSchema;

use super::BoardView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, InProject, Path};
use crate::problem::Problem;

/// A board to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBoard {
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

impl Check for CreateBoard {
    fn check(&self, check: &mut Checker) {
        check.field("name", text::check_name(&self.name));
    }
}

/// Makes a board.
#[utoipa::path(tag = "boards", params(("project_id" = Uuid, Path)), request_body = CreateBoard, responses((status = 201, body = BoardView)))]
#[post("/projects/{project_id}/boards")]
pub(super) async fn create_board(
    can: Can<held::BoardCreate, InProject>,
    Path((parent,)): Path<(ProjectId,)>,
    Body(body): Body<CreateBoard>,
) -> Result<HttpResponse, Problem> {
    let board = can
        .write("create_board", async |tx| {
            board_insert(
                tx,
                &NewBoard {
                    id: tx.new_id(),
                    project_id: parent,
                    name: &body.name,
                },
            )
            .await
        })
        .await?;
    let location = format!("/api/v1/boards/{}", board.id);
    Ok(answer::created(location, board.version, &BoardView::from(board)))
}
