//! `POST /api/v1/projects/{project_id}/tags`

use actix_web::{HttpResponse, post};
use db_core::ProjectId;
use db_core::models::tag::{NewTag, check_color, tag_insert};
use db_core::rbac::held;
use db_core::text;
use serde::Deserialize;
use utoipa::ToSchema;

use super::TagView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, InProject, Path};
use crate::problem::Problem;

/// A tag to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTag {
    /// Name shown to people; unique within the project, whatever its case.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Colour as `#rrggbb`.
    #[schema(pattern = "^#[0-9a-fA-F]{6}$")]
    color: String,
}

impl Check for CreateTag {
    fn check(&self, check: &mut Checker) {
        check.field("name", text::check_line(&self.name, 100));
        check.field("color", check_color(&self.color));
    }
}

/// Makes a tag.
#[utoipa::path(tag = "tags", params(("project_id" = Uuid, Path)), request_body = CreateTag,
    responses((status = 201, body = TagView)))]
#[post("/projects/{project_id}/tags")]
pub(super) async fn create_tag(
    can: Can<held::TagCreate, InProject>,
    Path((project,)): Path<(ProjectId,)>,
    Body(body): Body<CreateTag>,
) -> Result<HttpResponse, Problem> {
    let tag = can
        .write("create_tag", async |tx| {
            let new = NewTag {
                id: tx.new_id(),
                project_id: project,
                name: &body.name,
                color: &body.color,
            };
            tag_insert(tx, &new).await
        })
        .await?;
    let location = format!("/api/v1/tags/{}", tag.id);
    Ok(answer::created(location, tag.version, &TagView::from(tag)))
}
