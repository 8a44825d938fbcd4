//! `PATCH /api/v1/roles/{role_id}`

use actix_web::{HttpResponse, patch};
use db_core::RoleId;
use db_core::models::role::{RolePatch, role_update};
use db_core::rbac::held;
use db_core::text;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{FullRoleView, check_permissions, permissions};
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, IfMatch, InDomain, Path};
use crate::problem::Problem;

/// What is to change; a field that is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRole {
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// What it is for.
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// All that it gives from now on. The caller must hold, in the whole domain, what it held and what it will hold.
    permissions: Option<Vec<String>>,
}

impl Check for UpdateRole {
    fn check(&self, check: &mut Checker) {
        check.optional("name", self.name.as_ref(), |name| text::check_line(name, 100));
        check.optional("description", self.description.as_ref(), |text| {
            text::check_text(text, 0, 2000)
        });
        if let Some(names) = &self.permissions {
            check_permissions(names, check);
        }
    }
}

/// Changes a role of the domain's own, for everyone who has it.
#[utoipa::path(tag = "roles", params(("role_id" = Uuid, Path), IfMatch), request_body = UpdateRole,
    responses((status = 200, body = FullRoleView)))]
#[patch("/roles/{role_id}")]
pub(super) async fn update_role(
    can: Can<held::RoleUpdate, InDomain>,
    Path((id,)): Path<(RoleId,)>,
    IfMatch(version): IfMatch,
    Body(body): Body<UpdateRole>,
) -> Result<HttpResponse, Problem> {
    let patch = RolePatch {
        name: body.name,
        description: body.description,
        permissions: body.permissions.as_deref().map(permissions),
    };
    let role = can
        .write("update_role", async |tx| {
            role_update(tx, id, version, &patch).await
        })
        .await?;
    Ok(answer::resource(role.role.version, &FullRoleView::from(role)))
}
