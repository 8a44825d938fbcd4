//! `POST /api/v1/users/{user_id}/roles`

use actix_web::{HttpResponse, post};
use chrono::{DateTime, Utc};
use db_core::models::user::user_get;
use db_core::models::user_role::{NewAssignment, RoleScope, assignment_insert};
use db_core::rbac::held;
use db_core::text;
use db_core::{OrganizationId, ProjectId, RoleId, UserId};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::AssignmentView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, InDomain, Path};
use crate::problem::Problem;

/// A role to give: for the whole domain, or where one of the two scopes says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignRole {
    /// The role.
    role_id: Uuid,
    /// Organization that it is to be limited to.
    organization_id: Option<Uuid>,
    /// Project that it is to be limited to.
    project_id: Option<Uuid>,
    /// When it is to end by itself; absent or null for never.
    expires_at: Option<DateTime<Utc>>,
}

impl AssignRole {
    fn scope(&self) -> RoleScope {
        match (self.organization_id, self.project_id) {
            (Some(organization), _) => RoleScope::Organization(OrganizationId::new(organization)),
            (None, Some(project)) => RoleScope::Project(ProjectId::new(project)),
            (None, None) => RoleScope::Domain,
        }
    }
}

impl Check for AssignRole {
    fn check(&self, check: &mut Checker) {
        if self.organization_id.is_some() && self.project_id.is_some() {
            check.field(
                "project_id",
                Err("give at most one of organization_id and project_id".to_owned()),
            );
        }
        check.optional("expires_at", self.expires_at.as_ref(), |time| {
            text::check_time(*time)
        });
    }
}

/// Gives a user a role. The caller must hold all of it there, and for as long.
#[utoipa::path(tag = "roles", params(("user_id" = Uuid, Path)), request_body = AssignRole,
    responses((status = 201, body = AssignmentView)))]
#[post("/users/{user_id}/roles")]
pub(super) async fn assign_role(
    can: Can<held::RoleAssign, InDomain>,
    Path((user,)): Path<(UserId,)>,
    Body(body): Body<AssignRole>,
) -> Result<HttpResponse, Problem> {
    let new = NewAssignment {
        user_id: user,
        role_id: RoleId::new(body.role_id),
        scope: body.scope(),
        expires_at: body.expires_at,
    };
    let assignment = can
        .write("assign_role", async |tx| {
            user_get(tx, user).await?;
            assignment_insert(tx, &new).await
        })
        .await?;
    let location = format!("/api/v1/users/{user}/roles/{}", assignment.row.id);
    Ok(answer::created_unversioned(
        location,
        &AssignmentView::from(assignment),
    ))
}
