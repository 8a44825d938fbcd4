//! Roles, and the catalogue of permissions that they are made of.

mod create;
mod delete;
mod get;
mod list;
mod permissions;
mod update;

use chrono::{DateTime, Utc};
use db_core::Permission;
use db_core::models::role::{FullRole, Role};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::extract::Checker;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(permissions::list_permissions)
        .service(list::list_roles)
        .service(create::create_role)
        .service(get::get_role)
        .service(update::update_role)
        .service(delete::delete_role);
}

/// A role.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoleView {
    /// Its id.
    id: Uuid,
    /// Name shown to people.
    name: String,
    /// What it is for.
    description: String,
    /// Whether it is one of the roles that every domain has and nobody changes.
    system: bool,
    /// Counts changes; the same as the ETag.
    version: i32,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<Role> for RoleView {
    fn from(row: Role) -> Self {
        Self {
            system: row.is_system(),
            id: row.id.uuid(),
            name: row.name,
            description: row.description,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A role with what it gives.
#[derive(Debug, Serialize, ToSchema)]
pub struct FullRoleView {
    /// The role.
    #[serde(flatten)]
    role: RoleView,
    /// Names of its permissions, in alphabetical order.
    permissions: Vec<String>,
}

impl From<FullRole> for FullRoleView {
    fn from(row: FullRole) -> Self {
        Self {
            role: row.role.into(),
            permissions: row.permissions,
        }
    }
}

/// Most names that one list may have: more than the catalogue ever will.
const MAX_NAMES: usize = 500;

fn check_permissions(names: &[String], check: &mut Checker) {
    if names.len() > MAX_NAMES {
        check.field(
            "permissions",
            Err(format!(
                "must have at most {MAX_NAMES} names, has {}",
                names.len()
            )),
        );
        return;
    }
    for (index, name) in names.iter().enumerate() {
        let rule = match Permission::from_name(name) {
            Some(permission) if permission.is_platform() => {
                Err("takes effect in the platform domain only".to_owned())
            }
            Some(_) => Ok(()),
            None => Err("is no permission of the catalogue; see GET /api/v1/permissions".to_owned()),
        };
        check.field(&format!("permissions[{index}]"), rule);
    }
}

fn permissions(names: &[String]) -> Vec<Permission> {
    names
        .iter()
        .filter_map(|name| Permission::from_name(name))
        .collect()
}
