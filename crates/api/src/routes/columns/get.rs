//! `GET /api/v1/columns/{column_id}`

use actix_web::{HttpResponse, get};
use db_core::ColumnId;
use db_core::models::board_column::column_get;
use db_core::rbac::held;

use super::ColumnView;
use crate::answer;
use crate::extract::{Can, InColumn, Path};
use crate::problem::Problem;

/// Shows a column.
#[utoipa::path(tag = "columns", params(("column_id" = Uuid, Path)), responses((status = 200, body = ColumnView)))]
#[get("/columns/{column_id}")]
pub(super) async fn get_column(
    can: Can<held::BoardRead, InColumn>,
    Path((id,)): Path<(ColumnId,)>,
) -> Result<HttpResponse, Problem> {
    let column = can
        .read_once("get_column", async |tx| column_get(tx, id).await)
        .await?;
    Ok(answer::resource(column.version, &ColumnView::from(column)))
}
