//! `POST /api/v1/boards/{board_id}/columns`

use actix_web::{HttpResponse, post};
use db_core::BoardId;
use db_core::models::board_column::{NewColumn, column_insert};
use db_core::rbac::held;
use db_core::text;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ColumnView, WipPolicy, check_limit};
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, InBoard, Path};
use crate::problem::Problem;

/// A column to make, at the right end of the board.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateColumn {
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// How many cards may stand in it.
    #[schema(minimum = 1, maximum = 100000)]
    wip_limit: Option<i32>,
    /// What happens above the limit.
    #[serde(default)]
    wip_policy: WipPolicy,
}

impl Check for CreateColumn {
    fn check(&self, check: &mut Checker) {
        check.field("name", text::check_name(&self.name));
        check.optional("wip_limit", self.wip_limit.as_ref(), |limit| check_limit(*limit));
    }
}

/// Makes a column.
#[utoipa::path(tag = "columns", params(("board_id" = Uuid, Path)), request_body = CreateColumn,
    responses((status = 201, body = ColumnView)))]
#[post("/boards/{board_id}/columns")]
pub(super) async fn create_column(
    can: Can<held::BoardUpdate, InBoard>,
    Path((board,)): Path<(BoardId,)>,
    Body(body): Body<CreateColumn>,
) -> Result<HttpResponse, Problem> {
    let column = can
        .write("create_column", async |tx| {
            let new = NewColumn {
                id: tx.new_id(),
                board_id: board,
                name: &body.name,
                wip_limit: body.wip_limit,
                wip_policy: body.wip_policy.as_str(),
            };
            column_insert(tx, &new).await
        })
        .await?;
    let location = format!("/api/v1/columns/{}", column.id);
    Ok(answer::created(
        location,
        column.version,
        &ColumnView::from(column),
    ))
}
