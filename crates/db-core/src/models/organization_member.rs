//! `organization_members`: who belongs to an organization. What they may do there is said by `user_roles`.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde::Serialize;

use crate::error::{Error, Meaning as _, Result};
use crate::ids::{AssignmentId, OrganizationId, RoleId, UserId};
use crate::models::activity::Activity;
use crate::models::ceiling::{Lasting, RoleScope, require_held};
use crate::models::user_role::{AssignmentRow, assigned_or_kept};
use crate::models::{organization, role};
use crate::page::{Page, PageRequest};
use crate::schema::{organization_members, organizations, user_roles, users};
use crate::tx::{Tx, WriteTx};

/// A member of an organization.
#[derive(Clone, Debug, Queryable, Serialize)]
pub struct Member {
    /// The account.
    pub user_id: UserId,
    /// Its e-mail address.
    pub email: String,
    /// Its name.
    pub name: String,
    /// When it became a member.
    pub created_at: DateTime<Utc>,
}

/// Members of an organization, by the age of their accounts.
///
/// # Errors
/// `NotFound` when there is no such organization, or a database error.
pub async fn member_list(
    tx: &Tx<'_>,
    organization: OrganizationId,
    page: &PageRequest<UserId>,
) -> Result<Page<Member>> {
    let mut query = organization_members::table
        .inner_join(
            users::table.on(users::domain_id
                .eq(organization_members::domain_id)
                .and(users::id.eq(organization_members::user_id))),
        )
        .select((
            users::id,
            users::email,
            users::name,
            organization_members::created_at,
        ))
        .filter(organization_members::organization_id.eq(organization))
        .order(organization_members::user_id)
        .limit(page.fetch())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(organization_members::user_id.gt(after));
    }
    let rows: Vec<Member> = query.load(&mut tx.conn()).await?;
    if rows.is_empty() {
        organization::organization_get(tx, organization).await?;
    }
    Ok(page.cut(rows))
}

/// Makes a user a member, and gives them a role for this organization. One that they have there already stays as it is.
///
/// # Errors
/// `NotFound` when there is no such organization, `Invalid` for an unknown user or role, a conflict when the user is a
/// member already, `Forbidden` when the actor lacks a permission of the role there.
pub async fn member_insert(
    tx: &WriteTx<'_>,
    organization: OrganizationId,
    user: UserId,
    role_id: RoleId,
) -> Result<Member> {
    lock_organization(tx, organization).await?;
    let role = match role::role_get(tx, role_id).await {
        Err(Error::NotFound(_)) => {
            return Err(Error::Invalid {
                field: "role_id",
                message: "there is no such role".to_owned(),
            });
        }
        role => role?,
    };
    let scope = RoleScope::Organization(organization);
    require_held(tx, &role.permission_names(), scope, Lasting::Until(None)).await?;
    diesel::insert_into(organization_members::table)
        .values((
            organization_members::organization_id.eq(organization),
            organization_members::user_id.eq(user),
        ))
        .execute(&mut tx.conn())
        .await
        .or_invalid(
            "organization_members_domain_id_user_id_fkey",
            "user_id",
            "there is no such user",
        )
        .or_conflict(
            "organization_members_pkey",
            "already_member",
            "the user is a member already",
        )?;
    assigned_or_kept(tx, user, &role.role, scope).await?;
    let member: Member = organization_members::table
        .inner_join(
            users::table.on(users::domain_id
                .eq(organization_members::domain_id)
                .and(users::id.eq(organization_members::user_id))),
        )
        .select((
            users::id,
            users::email,
            users::name,
            organization_members::created_at,
        ))
        .filter(organization_members::organization_id.eq(organization))
        .filter(organization_members::user_id.eq(user))
        .first(&mut tx.conn())
        .await?;
    let note = Joined {
        member: &member,
        role_id,
        role: &role.role.name,
    };
    tx.record(Activity::new("member.create", "organization", organization).after(&note));
    Ok(member)
}

/// Ends a membership, with every role of the user that is limited to the organization or one of its projects.
///
/// # Errors
/// `NotFound` when the user is no member, `Forbidden` when one of the roles holds a permission that the actor lacks.
pub async fn member_delete(tx: &WriteTx<'_>, organization: OrganizationId, user: UserId) -> Result<()> {
    lock_organization(tx, organization).await?;
    let joined: DateTime<Utc> = diesel::delete(
        organization_members::table
            .filter(organization_members::organization_id.eq(organization))
            .filter(organization_members::user_id.eq(user)),
    )
    .returning(organization_members::created_at)
    .get_result(&mut tx.conn())
    .await
    .or_not_found("member")?;
    // In the order of their ids, so that two who take away the same roles do not wait for each other.
    let roles: Vec<AssignmentRow> = user_roles::table
        .select(AssignmentRow::as_select())
        .filter(user_roles::user_id.eq(user))
        .filter(
            diesel::dsl::sql::<Bool>("(user_roles.organization_id = ")
                .bind::<SqlUuid, _>(organization)
                .sql(" OR user_roles.project_id IN (SELECT p.id FROM projects p WHERE p.organization_id = ")
                .bind::<SqlUuid, _>(organization)
                .sql("))"),
        )
        .order(user_roles::id)
        .for_update()
        .load(&mut tx.conn())
        .await?;
    for assignment in &roles {
        let role = role::role_get(tx, assignment.role_id).await?;
        require_held(tx, &role.permission_names(), assignment.scope(), Lasting::Now).await?;
    }
    let ids: Vec<AssignmentId> = roles.iter().map(|assignment| assignment.id).collect();
    diesel::delete(user_roles::table.filter(user_roles::id.eq_any(ids)))
        .execute(&mut tx.conn())
        .await?;
    let note = Left {
        user_id: user,
        created_at: joined,
        roles: &roles,
    };
    tx.record(Activity::new("member.delete", "organization", organization).before(&note));
    Ok(())
}

/// Keeps the organization from being deleted meanwhile; whoever deletes it locks it first too.
async fn lock_organization(tx: &WriteTx<'_>, id: OrganizationId) -> Result<()> {
    organizations::table
        .select(organizations::id)
        .filter(organizations::id.eq(id))
        .for_key_share()
        .first::<OrganizationId>(&mut tx.conn())
        .await
        .or_not_found("organization")?;
    Ok(())
}

/// What the activity stream keeps of a new member.
#[derive(Serialize)]
struct Joined<'a> {
    #[serde(flatten)]
    member: &'a Member,
    role_id: RoleId,
    role: &'a str,
}

/// What the activity stream keeps of a member who left.
#[derive(Serialize)]
struct Left<'a> {
    user_id: UserId,
    created_at: DateTime<Utc>,
    roles: &'a [AssignmentRow],
}
