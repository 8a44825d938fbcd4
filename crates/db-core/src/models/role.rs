//! `roles` and `role_permissions`: the system roles of the platform domain, and those that a domain made for itself.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use futures_util::future::join;
use serde::Serialize;

use crate::cached::Cached;
use crate::error::{Error, Meaning as _, Result};
use crate::ids::{DomainId, PLATFORM_DOMAIN, RoleId};
use crate::models::activity::Activity;
use crate::models::ceiling::{Lasting, RoleScope, require_held};
use crate::models::{check_version, lower};
use crate::page::{Page, PageRequest};
use crate::rbac::{Permission, SystemRole};
use crate::schema::{permissions, role_permissions, roles};
use crate::tx::{Tx, WriteTx};

/// A role.
#[derive(Clone, Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = roles, check_for_backend(diesel::pg::Pg))]
pub struct Role {
    /// Domain that it belongs to: the actor's own, or the platform domain.
    #[serde(skip)]
    pub domain_id: DomainId,
    /// Its id.
    pub id: RoleId,
    /// Name shown to people.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Counts changes.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Role {
    /// Whether it is one of the roles that every domain has and nobody changes.
    pub fn is_system(&self) -> bool {
        self.domain_id == PLATFORM_DOMAIN
    }
}

/// A role with what it gives.
#[derive(Clone, Debug, Serialize)]
pub struct FullRole {
    /// The role.
    #[serde(flatten)]
    pub role: Role,
    /// Names of its permissions, in alphabetical order.
    pub permissions: Vec<String>,
}

impl FullRole {
    pub(super) fn permission_names(&self) -> Vec<&str> {
        self.permissions.iter().map(String::as_str).collect()
    }
}

/// A role to make.
#[derive(Clone, Copy, Debug)]
pub struct NewRole<'a> {
    /// Its id.
    pub id: RoleId,
    /// Name shown to people.
    pub name: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// What it gives.
    pub permissions: &'a [Permission],
}

/// What may change; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct RolePatch {
    /// Name shown to people.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// All that it gives from now on.
    pub permissions: Option<Vec<Permission>>,
}

/// A permission of the catalogue, as the seeder wrote it.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = permissions, check_for_backend(diesel::pg::Pg))]
pub struct CatalogueEntry {
    /// `resource:action`.
    pub name: String,
    /// What the right allows, for people.
    pub description: String,
    /// Whether the right takes effect in the platform domain only.
    pub platform: bool,
}

/// The catalogue, in alphabetical order.
///
/// # Errors
/// A database error.
pub async fn permission_list(tx: &Tx<'_>, page: &PageRequest<&str>) -> Result<Page<CatalogueEntry>> {
    let mut query = permissions::table
        .select(CatalogueEntry::as_select())
        .order(permissions::name)
        .limit(page.fetch())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(permissions::name.gt(after));
    }
    Ok(page.cut(query.load(&mut tx.conn()).await?))
}

/// The system roles, then the domain's own, oldest first.
///
/// # Errors
/// A database error.
pub async fn role_list(tx: &Tx<'_>, page: &PageRequest<RoleId>) -> Result<Page<Role>> {
    // The policies show the domain's own rows and the platform's; ids of system roles are the smallest there are.
    let mut query = roles::table
        .select(Role::as_select())
        .order(roles::id)
        .limit(page.fetch())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(roles::id.gt(after));
    }
    Ok(page.cut(query.load(&mut tx.conn()).await?))
}

/// One role, with what it gives.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn role_get(tx: &Tx<'_>, id: RoleId) -> Result<FullRole> {
    let mut conn = tx.conn();
    let (role, permissions) = join(
        roles::table
            .select(Role::as_select())
            .filter(roles::id.eq(id))
            .first(&mut conn),
        permissions_of(tx, id),
    )
    .await;
    Ok(FullRole {
        role: role.or_not_found("role")?,
        permissions: permissions?,
    })
}

/// Makes a role of the domain's own.
///
/// # Errors
/// `Forbidden` when the actor lacks one of its permissions, a conflict when the name is taken.
pub async fn role_insert(tx: &WriteTx<'_>, new: &NewRole<'_>) -> Result<FullRole> {
    check_name_free(new.name)?;
    let names = names_of(new.permissions)?;
    require_held(tx, &names, RoleScope::Domain, Lasting::Now).await?;
    let on_platform: bool = diesel::select(diesel::dsl::sql::<diesel::sql_types::Bool>(
        "current_domain_id() = platform_domain_id()",
    ))
    .get_result(&mut tx.conn())
    .await?;
    if on_platform {
        return Err(Error::conflict(
            "platform_roles_fixed",
            "the platform domain has the system roles alone: every domain would see and could use another one",
        ));
    }
    let role: Role = Cached(
        diesel::insert_into(roles::table)
            .values((
                roles::id.eq(new.id),
                roles::name.eq(new.name),
                roles::name_key.eq(lower(new.name)),
                roles::description.eq(new.description),
            ))
            .returning(Role::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await
    .or_conflict(
        "roles_name_key",
        "name_taken",
        format!("there is a role {:?} already", new.name),
    )?;
    permissions_add(tx, new.id, &names).await?;
    let role = FullRole {
        role,
        permissions: permissions_of(tx, new.id).await?,
    };
    tx.record(Activity::new("role.create", "role", new.id).after(&role));
    Ok(role)
}

/// Changes a role of the domain's own. Whoever has it has what it gives from then on, at their next request.
///
/// # Errors
/// `NotFound`, `StaleVersion`, a conflict for a system role or a name that is taken, `Forbidden` when the actor lacks a
/// permission that the role held or would hold.
pub async fn role_update(
    tx: &WriteTx<'_>,
    id: RoleId,
    expected: Option<i32>,
    patch: &RolePatch,
) -> Result<FullRole> {
    let before = role_lock(tx, id).await?;
    check_version(expected, before.role.version)?;
    if let Some(name) = &patch.name {
        check_name_free(name)?;
    }
    if let Some(permissions) = &patch.permissions {
        let names = names_of(permissions)?;
        if !same(&names, &before.permissions) {
            permissions_replace(tx, &before, &names).await?;
        }
    }
    let role: Role = Cached(
        diesel::update(roles::table.filter(roles::id.eq(id)))
            .set((
                patch.name.as_ref().map(|name| roles::name.eq(name)),
                patch.name.as_ref().map(|name| roles::name_key.eq(lower(name))),
                patch
                    .description
                    .as_ref()
                    .map(|description| roles::description.eq(description)),
                roles::version.eq(roles::version + 1),
                roles::updated_at.eq(diesel::dsl::now),
            ))
            .returning(Role::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await
    .or_conflict(
        "roles_name_key",
        "name_taken",
        "there is a role of this name already",
    )?;
    let after = FullRole {
        role,
        permissions: permissions_of(tx, id).await?,
    };
    tx.record(
        Activity::new("role.update", "role", id)
            .before(&before)
            .after(&after),
    );
    Ok(after)
}

/// Deletes a role of the domain's own that nobody has any more.
///
/// # Errors
/// `NotFound`, `StaleVersion`, a conflict for a system role or while somebody has it.
pub async fn role_delete(tx: &WriteTx<'_>, id: RoleId, expected: Option<i32>) -> Result<()> {
    let before = role_lock(tx, id).await?;
    check_version(expected, before.role.version)?;
    // What has expired gives nothing any more, and must not stand in the way.
    Cached(
        diesel::sql_query("DELETE FROM user_roles WHERE role_id = $1 AND expires_at <= now()")
            .bind::<SqlUuid, _>(id),
    )
    .execute(&mut tx.conn())
    .await?;
    diesel::delete(roles::table.filter(roles::id.eq(id)))
        .execute(&mut tx.conn())
        .await
        .or_conflict(
            "user_roles_role_domain_id_role_id_fkey",
            "role_in_use",
            "somebody has the role still",
        )?;
    tx.record(Activity::new("role.delete", "role", id).before(&before));
    Ok(())
}

async fn permissions_of(tx: &Tx<'_>, id: RoleId) -> Result<Vec<String>> {
    Ok(role_permissions::table
        .select(role_permissions::permission)
        .filter(role_permissions::role_id.eq(id))
        .order(role_permissions::permission)
        .load(&mut tx.conn())
        .await?)
}

async fn permissions_add(tx: &WriteTx<'_>, id: RoleId, names: &[&str]) -> Result<()> {
    Cached(
        diesel::sql_query("INSERT INTO role_permissions (role_id, permission) SELECT $1, unnest($2)")
            .bind::<SqlUuid, _>(id)
            .bind::<Array<Text>, _>(names),
    )
    .execute(&mut tx.conn())
    .await
    .or_invalid(
        "role_permissions_permission_fkey",
        "permissions",
        "holds a permission that was never seeded",
    )?;
    Ok(())
}

/// Both what the role gave and what it will give must be the actor's: the one is taken from its holders, the other is
/// given to them, without an end.
async fn permissions_replace(tx: &WriteTx<'_>, before: &FullRole, names: &[&str]) -> Result<()> {
    let had = before.permission_names();
    let added: Vec<&str> = names.iter().copied().filter(|name| !had.contains(name)).collect();
    let kept_or_removed: Vec<&str> = had.into_iter().filter(|name| !added.contains(name)).collect();
    require_held(tx, &kept_or_removed, RoleScope::Domain, Lasting::Now).await?;
    require_held(tx, &added, RoleScope::Domain, Lasting::Until(None)).await?;
    Cached(
        diesel::sql_query("DELETE FROM role_permissions WHERE role_id = $1 AND NOT permission = ANY ($2)")
            .bind::<SqlUuid, _>(before.role.id)
            .bind::<Array<Text>, _>(names),
    )
    .execute(&mut tx.conn())
    .await?;
    permissions_add(tx, before.role.id, &added).await
}

/// Locks a role of the domain's own against other changes.
async fn role_lock(tx: &WriteTx<'_>, id: RoleId) -> Result<FullRole> {
    // Not yet a lock: a system role is no row that this domain may change, and is to be told from one that is not there.
    let role = role_get(tx, id).await?;
    if role.role.is_system() {
        return Err(Error::conflict(
            "system_role",
            "system roles are the same in every domain and cannot be changed",
        ));
    }
    let locked: Role = roles::table
        .select(Role::as_select())
        .filter(roles::id.eq(id))
        .for_no_key_update()
        .first(&mut tx.conn())
        .await
        .or_not_found("role")?;
    Ok(FullRole {
        role: locked,
        permissions: permissions_of(tx, id).await?,
    })
}

/// Nobody is to take a role of the domain's own for the system role of that name.
fn check_name_free(name: &str) -> Result<()> {
    match SystemRole::all().find(|role| role.name().eq_ignore_ascii_case(name.trim())) {
        Some(role) => Err(Error::conflict(
            "name_taken",
            format!("{:?} is the name of a system role", role.name()),
        )),
        None => Ok(()),
    }
}

/// Names without repetition; a platform permission belongs to no role that a domain makes.
fn names_of(permissions: &[Permission]) -> Result<Vec<&'static str>> {
    if let Some(permission) = permissions.iter().find(|permission| permission.is_platform()) {
        let message = format!("{} takes effect in the platform domain only", permission.name());
        return Err(Error::Invalid {
            field: "permissions",
            message,
        });
    }
    let mut names: Vec<&str> = permissions.iter().map(|permission| permission.name()).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn same(names: &[&str], stored: &[String]) -> bool {
    names.len() == stored.len() && stored.iter().all(|name| names.contains(&name.as_str()))
}
