//! `POST /api/v1/organizations/{organization_id}/projects`

use actix_web::{HttpResponse, post};
use db_core::OrganizationId;
use db_core::models::project::{self, NewProject, project_insert};
use db_core::rbac::held;
use db_core::text;
use serde::Deserialize;
use utoipa::ToSchema;

use super::ProjectView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, InOrganization, Path};
use crate::problem::Problem;

/// A project to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// Two to ten capital letters and digits; stays for ever.
    #[schema(pattern = "^[A-Z][A-Z0-9]{1,9}$")]
    key: String,
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What it is about.
    #[serde(default)]
    #[schema(max_length = 20000)]
    description: String,
}

impl Check for CreateProject {
    fn check(&self, check: &mut Checker) {
        check.field("key", project::check_key(&self.key));
        check.field("name", text::check_name(&self.name));
        check.field("description", text::check_text(&self.description, 0, 20_000));
    }
}

/// Makes a project.
#[utoipa::path(tag = "projects", params(("organization_id" = Uuid, Path)), request_body = CreateProject, responses((status = 201, body = ProjectView)))]
#[post("/organizations/{organization_id}/projects")]
pub(super) async fn create_project(
    can: Can<held::ProjectCreate, InOrganization>,
    Path((parent,)): Path<(OrganizationId,)>,
    Body(body): Body<CreateProject>,
) -> Result<HttpResponse, Problem> {
    let project = can
        .write("create_project", async |tx| {
            project_insert(
                tx,
                &NewProject {
                    id: tx.new_id(),
                    organization_id: parent,
                    key: &body.key,
                    name: &body.name,
                    description: &body.description,
                },
            )
            .await
        })
        .await?;
    let location = format!("/api/v1/projects/{}", project.id);
    Ok(answer::created(
        location,
        project.version,
        &ProjectView::from(project),
    ))
}
