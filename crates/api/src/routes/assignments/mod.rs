//! Who has which role, and where: for the whole domain under a user, else under the organization or project.

mod create;
mod create_in_organization;
mod create_in_project;
mod delete;
mod delete_in_organization;
mod delete_in_project;
mod list;
mod list_in_organization;
mod list_in_project;

use chrono::{DateTime, Utc};
use db_core::models::user_role::Assignment;
use db_core::text;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::extract::{Check, Checker};

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(list::list_role_assignments)
        .service(create::assign_role)
        .service(delete::revoke_role)
        .service(list_in_organization::list_organization_roles)
        .service(create_in_organization::assign_organization_role)
        .service(delete_in_organization::revoke_organization_role)
        .service(list_in_project::list_project_roles)
        .service(create_in_project::assign_project_role)
        .service(delete_in_project::revoke_project_role);
}

/// A role that was given to a user.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssignmentView {
    /// Its id.
    id: Uuid,
    /// Who has the role.
    user_id: Uuid,
    /// The role.
    role_id: Uuid,
    /// Name of the role.
    role: String,
    /// Organization that it is limited to.
    organization_id: Option<Uuid>,
    /// Project that it is limited to.
    project_id: Option<Uuid>,
    /// Who gave it; null for the system.
    granted_by: Option<Uuid>,
    /// When it ends by itself; null for never. Past that time it gives nothing any more.
    expires_at: Option<DateTime<Utc>>,
    /// When it was given.
    created_at: DateTime<Utc>,
}

impl From<Assignment> for AssignmentView {
    fn from(Assignment { row, role_name }: Assignment) -> Self {
        Self {
            id: row.id.uuid(),
            user_id: row.user_id.uuid(),
            role_id: row.role_id.uuid(),
            role: role_name,
            organization_id: row.organization_id.map(Into::into),
            project_id: row.project_id.map(Into::into),
            granted_by: row.granted_by.map(Into::into),
            expires_at: row.expires_at,
            created_at: row.created_at,
        }
    }
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAssignments {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A role to give where the path says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignScopedRole {
    /// Who is to have it.
    user_id: Uuid,
    /// The role.
    role_id: Uuid,
    /// When it is to end by itself; absent or null for never.
    expires_at: Option<DateTime<Utc>>,
}

impl Check for AssignScopedRole {
    fn check(&self, check: &mut Checker) {
        check.optional("expires_at", self.expires_at.as_ref(), |time| {
            text::check_time(*time)
        });
    }
}
