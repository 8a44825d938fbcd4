//! `GET /api/v1/projects/{project_id}/tags`

use actix_web::{HttpResponse, get};
use db_core::ProjectId;
use db_core::models::tag::tag_list;
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::IntoParams;

use super::TagView;
use crate::extract::{Can, InProject, Listing, Params, Path, page};
use crate::problem::Problem;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListTags {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the tags of a project, oldest first.
#[utoipa::path(tag = "tags", params(("project_id" = Uuid, Path), ListTags),
    responses((status = 200, body = Listing<TagView>)))]
#[get("/projects/{project_id}/tags")]
pub(super) async fn list_tags(
    can: Can<held::TagRead, InProject>,
    Path((project,)): Path<(ProjectId,)>,
    Params(params): Params<ListTags>,
) -> Result<HttpResponse, Problem> {
    let page = page("tags", params.limit, params.cursor.as_deref())?;
    let rows = can
        .read("list_tags", async |tx| tag_list(tx, project, &page).await)
        .await?;
    Listing::<TagView>::answer("tags", rows, |row| row.id.to_string())
}
