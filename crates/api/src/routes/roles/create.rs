//! `POST /api/v1/roles`

use actix_web::{HttpResponse, post};
use db_core::models::role::{NewRole, role_insert};
use db_core::rbac::held;
use db_core::text;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{FullRoleView, check_permissions, permissions};
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, InDomain};
use crate::problem::Problem;

/// A role to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRole {
    /// Name shown to people; unique within the domain, whatever its case, and no system role's.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What it is for.
    #[serde(default)]
    #[schema(max_length = 2000)]
    description: String,
    /// What it gives: names of the catalogue, each held by the caller in the whole domain.
    permissions: Vec<String>,
}

impl Check for CreateRole {
    fn check(&self, check: &mut Checker) {
        check.field("name", text::check_line(&self.name, 100));
        check.field("description", text::check_text(&self.description, 0, 2000));
        check_permissions(&self.permissions, check);
    }
}

/// Makes a role of the domain's own.
#[utoipa::path(tag = "roles", request_body = CreateRole, responses((status = 201, body = FullRoleView)))]
#[post("/roles")]
pub(super) async fn create_role(
    can: Can<held::RoleCreate, InDomain>,
    Body(body): Body<CreateRole>,
) -> Result<HttpResponse, Problem> {
    let permissions = permissions(&body.permissions);
    let role = can
        .write("create_role", async |tx| {
            let new = NewRole {
                id: tx.new_id(),
                name: &body.name,
                description: &body.description,
                permissions: &permissions,
            };
            role_insert(tx, &new).await
        })
        .await?;
    let location = format!("/api/v1/roles/{}", role.role.id);
    Ok(answer::created(
        location,
        role.role.version,
        &FullRoleView::from(role),
    ))
}
