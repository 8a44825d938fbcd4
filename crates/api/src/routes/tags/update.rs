//! `PATCH /api/v1/tags/{tag_id}`

use actix_web::{HttpResponse, patch};
use db_core::TagId;
use db_core::models::tag::{TagPatch, check_color, tag_update};
use db_core::rbac::held;
use db_core::text;
use serde::Deserialize;
use utoipa::ToSchema;

use super::TagView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, IfMatch, InTag, Path};
use crate::problem::Problem;

/// What is to change; a field that is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTag {
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// Colour as `#rrggbb`.
    #[schema(pattern = "^#[0-9a-fA-F]{6}$")]
    color: Option<String>,
}

impl Check for UpdateTag {
    fn check(&self, check: &mut Checker) {
        check.optional("name", self.name.as_ref(), |name| text::check_line(name, 100));
        check.optional("color", self.color.as_ref(), |color| check_color(color));
    }
}

/// Changes a tag.
#[utoipa::path(tag = "tags", params(("tag_id" = Uuid, Path), IfMatch), request_body = UpdateTag,
    responses((status = 200, body = TagView)))]
#[patch("/tags/{tag_id}")]
pub(super) async fn update_tag(
    can: Can<held::TagUpdate, InTag>,
    Path((id,)): Path<(TagId,)>,
    IfMatch(version): IfMatch,
    Body(body): Body<UpdateTag>,
) -> Result<HttpResponse, Problem> {
    let patch = TagPatch {
        name: body.name,
        color: body.color,
    };
    let tag = can
        .write("update_tag", async |tx| tag_update(tx, id, version, &patch).await)
        .await?;
    Ok(answer::resource(tag.version, &TagView::from(tag)))
}
