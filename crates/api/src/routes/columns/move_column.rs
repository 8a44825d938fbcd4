//! `POST /api/v1/columns/{column_id}/move`

use actix_web::{HttpResponse, post};
use db_core::ColumnId;
use db_core::models::board_column::column_move;
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ColumnView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, IfMatch, InColumn, Path};
use crate::problem::Problem;

/// Where a column goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveColumn {
    /// Column of the same board that it will stand left of; null or absent for the right end.
    before: Option<Uuid>,
}

impl Check for MoveColumn {
    fn check(&self, _: &mut Checker) {}
}

/// Moves a column to another place on its board.
#[utoipa::path(tag = "columns", params(("column_id" = Uuid, Path), IfMatch), request_body = MoveColumn,
    responses((status = 200, body = ColumnView)))]
#[post("/columns/{column_id}/move")]
pub(super) async fn move_column(
    can: Can<held::BoardUpdate, InColumn>,
    Path((id,)): Path<(ColumnId,)>,
    IfMatch(version): IfMatch,
    Body(body): Body<MoveColumn>,
) -> Result<HttpResponse, Problem> {
    let before = body.before.map(ColumnId::new);
    let column = can
        .write("move_column", async |tx| {
            column_move(tx, id, version, before).await
        })
        .await?;
    Ok(answer::resource(column.version, &ColumnView::from(column)))
}
