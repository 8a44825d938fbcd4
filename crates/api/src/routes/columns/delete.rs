//! `DELETE /api/v1/columns/{column_id}`

use actix_web::{HttpResponse, delete};
use db_core::ColumnId;
use db_core::models::board_column::column_delete;
use db_core::rbac::held;

use crate::answer;
use crate::extract::{Can, IfMatch, InColumn, Path};
use crate::problem::Problem;

/// Deletes a column that holds no cards any more.
#[utoipa::path(tag = "columns", params(("column_id" = Uuid, Path), IfMatch), responses((status = 204)))]
#[delete("/columns/{column_id}")]
pub(super) async fn delete_column(
    can: Can<held::BoardUpdate, InColumn>,
    Path((id,)): Path<(ColumnId,)>,
    IfMatch(version): IfMatch,
) -> Result<HttpResponse, Problem> {
    can.write("delete_column", async |tx| column_delete(tx, id, version).await)
        .await?;
    Ok(answer::no_content())
}
