//! `PATCH /api/v1/columns/{column_id}`

use actix_web::{HttpResponse, patch};
use db_core::ColumnId;
use db_core::models::board_column::{ColumnPatch, column_update};
use db_core::rbac::held;
use db_core::text;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ColumnView, WipPolicy, check_limit};
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, IfMatch, InColumn, Path, nullable};
use crate::problem::Problem;

/// What is to change; a field that is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateColumn {
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// How many cards may stand in it; null for any number.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(minimum = 1, maximum = 100000)]
    wip_limit: Option<Option<i32>>,
    /// What happens above the limit.
    wip_policy: Option<WipPolicy>,
}

impl Check for UpdateColumn {
    fn check(&self, check: &mut Checker) {
        check.optional("name", self.name.as_ref(), |name| text::check_name(name));
        check.optional("wip_limit", self.wip_limit.flatten().as_ref(), |limit| {
            check_limit(*limit)
        });
    }
}

/// Changes a column.
#[utoipa::path(tag = "columns", params(("column_id" = Uuid, Path), IfMatch), request_body = UpdateColumn,
    responses((status = 200, body = ColumnView)))]
#[patch("/columns/{column_id}")]
pub(super) async fn update_column(
    can: Can<held::BoardUpdate, InColumn>,
    Path((id,)): Path<(ColumnId,)>,
    IfMatch(version): IfMatch,
    Body(body): Body<UpdateColumn>,
) -> Result<HttpResponse, Problem> {
    let patch = ColumnPatch {
        name: body.name,
        wip_limit: body.wip_limit,
        wip_policy: body.wip_policy.map(|policy| policy.as_str().to_owned()),
    };
    let column = can
        .write("update_column", async |tx| {
            column_update(tx, id, version, &patch).await
        })
        .await?;
    Ok(answer::resource(column.version, &ColumnView::from(column)))
}
