//! `GET /api/v1/projects/{project_id}/boards`

use actix_web::{HttpResponse, get};
use db_core::ProjectId;
use db_core::models::board::board_list;
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::IntoParams;

use super::BoardView;
use crate::extract::{Can, InProject, Listing, Params, Path, page};
use crate::problem::Problem;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListBoards {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists boards, oldest first.
#[utoipa::path(tag = "boards", params(("project_id" = Uuid, Path), ListBoards), responses((status = 200, body = Listing<BoardView>)))]
#[get("/projects/{project_id}/boards")]
pub(super) async fn list_boards(
    can: Can<held::BoardRead, InProject>,
    Path((parent,)): Path<(ProjectId,)>,
    Params(params): Params<ListBoards>,
) -> Result<HttpResponse, Problem> {
    let page = page("boards", params.limit, params.cursor.as_deref())?;
    let rows = can
        .read("list_boards", async |tx| board_list(tx, parent, &page).await)
        .await?;
    Listing::<BoardView>::answer("boards", rows, |row| row.id.to_string())
}
