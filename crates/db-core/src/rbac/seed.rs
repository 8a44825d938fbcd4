//! Brings the catalogue of the database in step with the code's: permissions, system roles, what each role gives.
//!
//! Roles that domains made are never touched.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use strum::IntoEnumIterator as _;

use super::{Permission, SystemRole};
use crate::ids::PLATFORM_DOMAIN;
use crate::owner::SystemTx;

/// One difference between the database and the code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// The platform domain is missing.
    AddPlatformDomain,
    /// A permission is missing, or says something else.
    WritePermission {
        /// Its name.
        permission: String,
    },
    /// A system role is missing, or says something else.
    WriteRole {
        /// Its name.
        role: String,
    },
    /// A system role lacks a permission.
    Grant {
        /// The role.
        role: String,
        /// The permission.
        permission: String,
    },
    /// A system role has a permission that it should not have.
    Revoke {
        /// The role.
        role: String,
        /// The permission.
        permission: String,
    },
    /// A permission is no longer in the catalogue.
    RemovePermission {
        /// Its name.
        permission: String,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddPlatformDomain => write!(f, "add the platform domain"),
            Self::WritePermission { permission } => write!(f, "write permission {permission}"),
            Self::WriteRole { role } => write!(f, "write role {role}"),
            Self::Grant { role, permission } => write!(f, "grant {permission} to {role}"),
            Self::Revoke { role, permission } => write!(f, "revoke {permission} from {role}"),
            Self::RemovePermission { permission } => write!(f, "remove permission {permission}"),
        }
    }
}

/// What would have to change. Empty when the database is in step.
///
/// # Errors
/// A statement fails.
pub async fn plan(tx: &SystemTx<'_>) -> Result<Vec<Change>, tokio_postgres::Error> {
    let client = tx.client();
    let platform = PLATFORM_DOMAIN.uuid();
    let mut changes = BTreeSet::new();

    if client
        .query_opt("SELECT FROM domains WHERE id = $1", &[&platform])
        .await?
        .is_none()
    {
        changes.insert(Change::AddPlatformDomain);
    }
    let stored: BTreeSet<(String, String, bool)> = client
        .query("SELECT name, description, platform FROM permissions", &[])
        .await?
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    for permission in Permission::iter() {
        let wanted = (
            permission.name().to_owned(),
            permission.description().to_owned(),
            permission.is_platform(),
        );
        if !stored.contains(&wanted) {
            changes.insert(Change::WritePermission { permission: wanted.0 });
        }
    }
    for (name, ..) in &stored {
        if Permission::from_name(name).is_none() {
            changes.insert(Change::RemovePermission {
                permission: name.clone(),
            });
        }
    }

    let roles: BTreeSet<(uuid::Uuid, String, String)> = client
        .query(
            "SELECT id, name, description FROM roles WHERE domain_id = $1",
            &[&platform],
        )
        .await?
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let granted: BTreeSet<(uuid::Uuid, String)> = client
        .query(
            "SELECT role_id, permission FROM role_permissions WHERE domain_id = $1",
            &[&platform],
        )
        .await?
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    for role in SystemRole::all() {
        let id = role.id().uuid();
        if !roles.contains(&(id, role.name().to_owned(), role.description().to_owned())) {
            changes.insert(Change::WriteRole {
                role: role.name().to_owned(),
            });
        }
        let wanted: BTreeSet<&str> = role.permissions().into_iter().map(Permission::name).collect();
        let has: BTreeSet<&str> = granted
            .iter()
            .filter(|(role, _)| *role == id)
            .map(|(_, name)| name.as_str())
            .collect();
        for permission in wanted.difference(&has) {
            changes.insert(Change::Grant {
                role: role.name().to_owned(),
                permission: (*permission).to_owned(),
            });
        }
        for permission in has.difference(&wanted) {
            changes.insert(Change::Revoke {
                role: role.name().to_owned(),
                permission: (*permission).to_owned(),
            });
        }
    }
    Ok(changes.into_iter().collect())
}

/// Makes the changes of [`plan`], and says which. Seeders that run at once wait for one another.
///
/// # Errors
/// A statement fails; nothing is changed then.
pub async fn apply(tx: &SystemTx<'_>) -> Result<Vec<Change>, tokio_postgres::Error> {
    let client = tx.client();
    client
        .batch_execute("SELECT pg_advisory_xact_lock(hashtext('plinth_seeder'))")
        .await?;
    let changes = plan(tx).await?;
    if changes.is_empty() {
        return Ok(changes);
    }
    let platform = PLATFORM_DOMAIN.uuid();
    client
        .execute(
            "INSERT INTO domains (id, slug, name) VALUES ($1, 'platform', 'Platform') ON CONFLICT (id) DO NOTHING",
            &[&platform],
        )
        .await?;
    for permission in Permission::iter() {
        client
            .execute(
                "INSERT INTO permissions (name, description, platform) VALUES ($1, $2, $3)
                 ON CONFLICT (name) DO UPDATE SET description = excluded.description, platform = excluded.platform",
                &[&permission.name(), &permission.description(), &permission.is_platform()],
            )
            .await?;
    }
    for role in SystemRole::all() {
        let id = role.id().uuid();
        client
            .execute(
                "INSERT INTO roles (domain_id, id, name, name_key, description) VALUES ($1, $2, $3, lower($3), $4)
                 ON CONFLICT (domain_id, id) DO UPDATE
                     SET name = excluded.name, name_key = excluded.name_key, description = excluded.description",
                &[&platform, &id, &role.name(), &role.description()],
            )
            .await?;
        let names: Vec<&str> = role.permissions().into_iter().map(Permission::name).collect();
        client
            .execute(
                "DELETE FROM role_permissions WHERE domain_id = $1 AND role_id = $2 AND NOT permission = ANY ($3)",
                &[&platform, &id, &names],
            )
            .await?;
        client
            .execute(
                "INSERT INTO role_permissions (domain_id, role_id, permission) SELECT $1, $2, unnest($3::text[])
                 ON CONFLICT DO NOTHING",
                &[&platform, &id, &names],
            )
            .await?;
    }
    // Last, when no system role points at them any more; a domain's own role loses the permission with it.
    let names: Vec<&str> = Permission::iter().map(Permission::name).collect();
    client
        .execute(
            "DELETE FROM role_permissions WHERE NOT permission = ANY ($1)",
            &[&names],
        )
        .await?;
    client
        .execute("DELETE FROM permissions WHERE NOT name = ANY ($1)", &[&names])
        .await?;
    Ok(changes)
}
