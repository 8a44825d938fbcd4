//! `DELETE /api/v1/tags/{tag_id}`

use actix_web::{HttpResponse, delete};
use db_core::TagId;
use db_core::models::tag::tag_delete;
use db_core::rbac::held;

use crate::answer;
use crate::extract::{Can, IfMatch, InTag, Path};
use crate::problem::Problem;

/// Deletes a tag; no card carries it any more.
#[utoipa::path(tag = "tags", params(("tag_id" = Uuid, Path), IfMatch), responses((status = 204)))]
#[delete("/tags/{tag_id}")]
pub(super) async fn delete_tag(
    can: Can<held::TagDelete, InTag>,
    Path((id,)): Path<(TagId,)>,
    IfMatch(version): IfMatch,
) -> Result<HttpResponse, Problem> {
    can.write("delete_tag", async |tx| tag_delete(tx, id, version).await)
        .await?;
    Ok(answer::no_content())
}
