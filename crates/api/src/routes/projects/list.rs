//! `GET /api/v1/projects`, `GET /api/v1/organizations/{organization_id}/projects`

use actix_web::{HttpResponse, get};
use db_core::OrganizationId;
use db_core::models::project::project_list;
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ProjectView;
use crate::extract::{Anywhere, Can, Listing, Params, Path, page};
use crate::problem::Problem;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListProjects {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the projects of an organization that the caller may see, oldest first.
#[utoipa::path(tag = "projects", params(("organization_id" = Uuid, Path), ListProjects),
    responses((status = 200, body = Listing<ProjectView>)))]
#[get("/organizations/{organization_id}/projects")]
pub(super) async fn list_projects_of_organization(
    can: Can<held::ProjectRead, Anywhere>,
    Path((organization,)): Path<(OrganizationId,)>,
    Params(params): Params<ListProjects>,
) -> Result<HttpResponse, Problem> {
    list(can, Some(organization), &params).await
}

/// Lists the projects that the caller may see, oldest first.
#[utoipa::path(tag = "projects", params(ListProjects), responses((status = 200, body = Listing<ProjectView>)))]
#[get("/projects")]
pub(super) async fn list_projects(
    can: Can<held::ProjectRead, Anywhere>,
    Params(params): Params<ListProjects>,
) -> Result<HttpResponse, Problem> {
    list(can, None, &params).await
}

async fn list(
    can: Can<held::ProjectRead, Anywhere>,
    organization: Option<OrganizationId>,
    params: &ListProjects,
) -> Result<HttpResponse, Problem> {
    let page = page("projects", params.limit, params.cursor.as_deref())?;
    let rows = can
        .read("list_projects", async |tx| {
            project_list(tx, organization, &page).await
        })
        .await?;
    Listing::<ProjectView>::answer("projects", rows, |row| row.id.to_string())
}
