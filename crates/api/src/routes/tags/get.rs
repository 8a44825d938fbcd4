//! `GET /api/v1/tags/{tag_id}`

use actix_web::{HttpResponse, get};
use db_core::TagId;
use db_core::models::tag::tag_get;
use db_core::rbac::held;

use super::TagView;
use crate::answer;
use crate::extract::{Can, InTag, Path};
use crate::problem::Problem;

/// Shows a tag.
#[utoipa::path(tag = "tags", params(("tag_id" = Uuid, Path)), responses((status = 200, body = TagView)))]
#[get("/tags/{tag_id}")]
pub(super) async fn get_tag(
    can: Can<held::TagRead, InTag>,
    Path((id,)): Path<(TagId,)>,
) -> Result<HttpResponse, Problem> {
    let tag = can.read_once("get_tag", async |tx| tag_get(tx, id).await).await?;
    Ok(answer::resource(tag.version, &TagView::from(tag)))
}
