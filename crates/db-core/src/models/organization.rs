//! `organizations`: top-level groups of a domain, which own projects.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use serde::Serialize;

use crate::cached::Cached;
use crate::error::{Error, Meaning as _, Result};
use crate::ids::OrganizationId;
use crate::models::activity::Activity;
use crate::models::check_version;
use crate::page::{Page, PageRequest};
use crate::schema::organizations;
use crate::single_statement::Executor;
use crate::tx::{Tx, WriteTx};

/// An organization.
#[derive(Clone, Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = organizations, check_for_backend(diesel::pg::Pg))]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Short name; unique within the domain.
    pub slug: String,
    /// Name shown to people.
    pub name: String,
    /// Counts changes.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// An organization to make.
#[derive(Clone, Copy, Debug, Insertable)]
#[diesel(table_name = organizations)]
pub struct NewOrganization<'a> {
    /// Its id.
    pub id: OrganizationId,
    /// Short name.
    pub slug: &'a str,
    /// Name shown to people.
    pub name: &'a str,
}

/// What may change; `None` leaves it.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = organizations)]
pub struct OrganizationPatch {
    /// Short name.
    pub slug: Option<String>,
    /// Name shown to people.
    pub name: Option<String>,
}

/// Those that the actor may see: all with a domain-wide role, else those of their organization and project roles.
///
/// # Errors
/// A database error.
pub async fn organization_list(
    tx: &Tx<'_>,
    page: &PageRequest<OrganizationId>,
) -> Result<Page<Organization>> {
    let mut query = organizations::table
        .select(Organization::as_select())
        .filter(diesel::dsl::sql::<Bool>(
            "(current_setting('plinth.domain_wide') = 'on' OR organizations.id IN (
                SELECT coalesce(ur.organization_id, p.organization_id)
                  FROM user_roles ur
                  JOIN role_permissions rp ON rp.domain_id = ur.role_domain_id AND rp.role_id = ur.role_id
                  LEFT JOIN projects p ON p.domain_id = ur.domain_id AND p.id = ur.project_id
                 WHERE ur.domain_id = current_domain_id() AND ur.user_id = current_user_id()
                   AND rp.permission = 'organization:read' AND (ur.expires_at IS NULL OR ur.expires_at > now())))",
        ))
        .order(organizations::id)
        .limit(page.fetch())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(organizations::id.gt(after));
    }
    Ok(page.cut(query.load(&mut tx.conn()).await?))
}

/// One organization.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn organization_get<'a>(tx: impl Executor<'a>, id: OrganizationId) -> Result<Organization> {
    organizations::table
        .select(Organization::as_select())
        .filter(organizations::id.eq(id))
        .first(&mut tx.conn())
        .await
        .or_not_found("organization")
}

/// Makes an organization.
///
/// # Errors
/// A conflict when the slug is taken.
pub async fn organization_insert(tx: &WriteTx<'_>, new: &NewOrganization<'_>) -> Result<Organization> {
    let organization: Organization = Cached(
        diesel::insert_into(organizations::table)
            .values(*new)
            .returning(Organization::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await
    .or_conflict(
        "organizations_slug_key",
        "slug_taken",
        format!("there is an organization {:?} already", new.slug),
    )?;
    tx.record(Activity::new("organization.create", "organization", new.id).after(&organization));
    Ok(organization)
}

/// Changes an organization.
///
/// # Errors
/// `NotFound`, `StaleVersion`, or a conflict when the slug is taken.
pub async fn organization_update(
    tx: &WriteTx<'_>,
    id: OrganizationId,
    expected: Option<i32>,
    patch: &OrganizationPatch,
) -> Result<Organization> {
    let before = organization_lock(tx, id).await?;
    check_version(expected, before.version)?;
    let after: Organization = Cached(
        diesel::update(organizations::table.filter(organizations::id.eq(id)))
            .set((
                patch,
                organizations::version.eq(organizations::version + 1),
                organizations::updated_at.eq(diesel::dsl::now),
            ))
            .returning(Organization::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await
    .or_conflict(
        "organizations_slug_key",
        "slug_taken",
        "there is an organization with this slug already",
    )?;
    tx.record(
        Activity::new("organization.update", "organization", id)
            .before(&before)
            .after(&after),
    );
    Ok(after)
}

/// Deletes an organization that owns no projects any more, with its memberships and the roles limited to it.
///
/// # Errors
/// `NotFound`, `StaleVersion`, or a conflict while projects are left.
pub async fn organization_delete(tx: &WriteTx<'_>, id: OrganizationId, expected: Option<i32>) -> Result<()> {
    let before = organization_lock(tx, id).await?;
    check_version(expected, before.version)?;
    let deleted = diesel::delete(organizations::table.filter(organizations::id.eq(id)))
        .execute(&mut tx.conn())
        .await
        .or_conflict(
            "projects_domain_id_organization_id_fkey",
            "organization_not_empty",
            "the organization still owns projects",
        )?;
    if deleted == 0 {
        return Err(Error::NotFound("organization"));
    }
    tx.record(Activity::new("organization.delete", "organization", id).before(&before));
    Ok(())
}

async fn organization_lock(tx: &WriteTx<'_>, id: OrganizationId) -> Result<Organization> {
    organizations::table
        .select(Organization::as_select())
        .filter(organizations::id.eq(id))
        .for_update()
        .first(&mut tx.conn())
        .await
        .or_not_found("organization")
}
