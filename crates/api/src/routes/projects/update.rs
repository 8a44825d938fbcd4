//! `PATCH /api/v1/projects/{project_id}`

use actix_web::{HttpResponse, patch};
use db_core::ProjectId;
use db_core::models::project::{ProjectPatch, project_update};
use db_core::rbac::held;
use db_core::text;
use serde::Deserialize;
use utoipa::ToSchema;

use super::ProjectView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, IfMatch, InProject, Path};
use crate::problem::Problem;

/// What is to change; a field that is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateProject {
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// What it is about.
    #[schema(max_length = 20000)]
    description: Option<String>,
}

impl Check for UpdateProject {
    fn check(&self, check: &mut Checker) {
        check.optional("name", self.name.as_ref(), |v| text::check_name(v));
        check.optional("description", self.description.as_ref(), |v| {
            text::check_text(v, 0, 20_000)
        });
    }
}

/// Changes a project.
#[utoipa::path(tag = "projects", params(("project_id" = Uuid, Path), IfMatch), request_body = UpdateProject,
    responses((status = 200, body = ProjectView)))]
#[patch("/projects/{project_id}")]
pub(super) async fn update_project(
    can: Can<held::ProjectUpdate, InProject>,
    Path((id,)): Path<(ProjectId,)>,
    IfMatch(version): IfMatch,
    Body(body): Body<UpdateProject>,
) -> Result<HttpResponse, Problem> {
    let patch = ProjectPatch {
        name: body.name,
        description: body.description,
    };
    let project = can
        .write("update_project", async |tx| {
            project_update(tx, id, version, &patch).await
        })
        .await?;
    Ok(answer::resource(project.version, &ProjectView::from(project)))
}
