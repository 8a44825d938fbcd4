//! `user_roles`: who has which role, and where.
//!
//! Lock order: the domain's Admin lock, then rows. Whoever may end an Admin's rights (takes the role away, deactivates
//! the account) makes the change and then asks [`last_admin_guard`] in the same transaction.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde::Serialize;

use crate::cached::Cached;
use crate::error::{Error, Meaning as _, Result};
use crate::ids::{AssignmentId, OrganizationId, ProjectId, RoleId, UserId};
use crate::models::activity::Activity;
pub use crate::models::ceiling::RoleScope;
use crate::models::ceiling::{Lasting, require_held};
use crate::models::role::{self, Role};
use crate::models::{organization, project, user};
use crate::page::{Page, PageRequest};
use crate::rbac::SystemRole;
use crate::schema::{roles, user_roles};
use crate::tx::{Tx, WriteTx};

/// Waits for every other transaction of the domain that may end an Admin's rights. Held until the end of this one.
pub(super) async fn admin_lock(tx: &WriteTx<'_>) -> Result<()> {
    Cached(diesel::sql_query(
        "SELECT pg_advisory_xact_lock(hashtextextended('plinth_last_admin ' || current_domain_id()::text, 0))",
    ))
    .execute(&mut tx.conn())
    .await?;
    Ok(())
}

/// Refuses the change that this transaction has made when no Admin is left: an active user who has the system role Admin
/// for the whole domain, without an end.
///
/// # Errors
/// A conflict when there is none.
pub(super) async fn last_admin_guard(tx: &WriteTx<'_>) -> Result<()> {
    #[derive(QueryableByName)]
    struct Admins {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    admin_lock(tx).await?;
    // A statement of its own, after the lock: it sees what those before have committed.
    let admins: Admins = Cached(
        diesel::sql_query(
            "SELECT count(*) FROM user_roles ur JOIN users u ON u.domain_id = ur.domain_id AND u.id = ur.user_id
              WHERE ur.role_domain_id = platform_domain_id() AND ur.role_id = $1
                AND ur.organization_id IS NULL AND ur.project_id IS NULL AND ur.expires_at IS NULL
                AND u.status = 'active'",
        )
        .bind::<SqlUuid, _>(SystemRole::Admin.id()),
    )
    .get_result(&mut tx.conn())
    .await?;
    if admins.count == 0 {
        return Err(Error::conflict(
            "last_admin",
            "the domain would be left without an Admin",
        ));
    }
    Ok(())
}

/// A role that was given to a user.
#[derive(Clone, Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = user_roles, check_for_backend(diesel::pg::Pg))]
pub struct AssignmentRow {
    /// Its id.
    pub id: AssignmentId,
    /// Who has the role.
    pub user_id: UserId,
    /// The role.
    pub role_id: RoleId,
    /// Organization that it is limited to.
    pub organization_id: Option<OrganizationId>,
    /// Project that it is limited to.
    pub project_id: Option<ProjectId>,
    /// Who gave it; `None` for the system.
    pub granted_by: Option<UserId>,
    /// When it ends by itself, by the database clock; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was given.
    pub created_at: DateTime<Utc>,
}

impl AssignmentRow {
    /// Where the role counts.
    pub fn scope(&self) -> RoleScope {
        RoleScope::of((self.organization_id, self.project_id))
    }
}

/// A role that was given to a user, with its name.
#[derive(Clone, Debug, Queryable, Serialize)]
pub struct Assignment {
    /// The row.
    #[serde(flatten)]
    pub row: AssignmentRow,
    /// Name of the role.
    #[serde(rename = "role")]
    pub role_name: String,
}

/// A role to give.
#[derive(Clone, Copy, Debug)]
pub struct NewAssignment {
    /// Who is to have it.
    pub user_id: UserId,
    /// The role.
    pub role_id: RoleId,
    /// Where it is to count.
    pub scope: RoleScope,
    /// When it is to end by itself; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Whose assignments are meant, out of the path of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// All of a user.
    To(UserId),
    /// Those that are limited to exactly this organization or project.
    In(RoleScope),
}

/// Roles that were given, oldest first; those that have expired among them.
///
/// # Errors
/// `NotFound` when there is no such user, organization or project, or a database error.
pub async fn assignment_list(
    tx: &Tx<'_>,
    assigned: Assigned,
    page: &PageRequest<AssignmentId>,
) -> Result<Page<Assignment>> {
    let mut query = user_roles::table
        .inner_join(
            roles::table.on(roles::domain_id
                .eq(user_roles::role_domain_id)
                .and(roles::id.eq(user_roles::role_id))),
        )
        .select((AssignmentRow::as_select(), roles::name))
        .order(user_roles::id)
        .limit(page.fetch())
        .into_boxed();
    query = match assigned {
        Assigned::To(user) => query.filter(user_roles::user_id.eq(user)),
        Assigned::In(RoleScope::Organization(id)) => query.filter(user_roles::organization_id.eq(id)),
        Assigned::In(RoleScope::Project(id)) => query.filter(user_roles::project_id.eq(id)),
        Assigned::In(RoleScope::Domain) => query
            .filter(user_roles::organization_id.is_null())
            .filter(user_roles::project_id.is_null()),
    };
    if let Some(after) = page.after {
        query = query.filter(user_roles::id.gt(after));
    }
    let rows: Vec<Assignment> = query.load(&mut tx.conn()).await?;
    if rows.is_empty() {
        match assigned {
            Assigned::To(user) => drop(user::user_get(tx, user).await?),
            Assigned::In(RoleScope::Organization(id)) => drop(organization::organization_get(tx, id).await?),
            Assigned::In(RoleScope::Project(id)) => drop(project::project_get(tx, id).await?),
            Assigned::In(RoleScope::Domain) => {}
        }
    }
    Ok(page.cut(rows))
}

/// Gives a role. The same one that has expired is given anew.
///
/// # Errors
/// `Invalid` for an unknown role, user, organization or project, or an end that is past; a conflict when the user has the
/// role there already; `Forbidden` when the actor lacks a permission of the role there, or has it for a shorter time.
pub async fn assignment_insert(tx: &WriteTx<'_>, new: &NewAssignment) -> Result<Assignment> {
    let role = match role::role_get(tx, new.role_id).await {
        Err(Error::NotFound(_)) => return Err(invalid("role_id", "role")),
        role => role?,
    };
    if let Some(expires_at) = new.expires_at
        && !is_future(tx, expires_at).await?
    {
        return Err(Error::Invalid {
            field: "expires_at",
            message: "must be in the future".to_owned(),
        });
    }
    require_held(
        tx,
        &role.permission_names(),
        new.scope,
        Lasting::Until(new.expires_at),
    )
    .await?;
    expired_delete(tx, new.user_id, new.role_id, new.scope).await?;
    let (organization, project) = new.scope.columns();
    let result = Cached(
        diesel::insert_into(user_roles::table)
            .values((
                user_roles::id.eq(tx.new_id::<AssignmentId>()),
                user_roles::user_id.eq(new.user_id),
                user_roles::role_domain_id.eq(role.role.domain_id),
                user_roles::role_id.eq(new.role_id),
                user_roles::organization_id.eq(organization),
                user_roles::project_id.eq(project),
                user_roles::expires_at.eq(new.expires_at),
            ))
            .returning(AssignmentRow::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await;
    let row: AssignmentRow = result.map_err(|error| meaning(Error::from(error)))?;
    let assignment = Assignment {
        row,
        role_name: role.role.name,
    };
    tx.record(Activity::new("role.assign", "user", new.user_id).after(&assignment));
    Ok(assignment)
}

/// Takes a role away, with effect at the user's next request.
///
/// # Errors
/// `NotFound`, `Forbidden` when the role holds a permission that the actor lacks there, a conflict when it makes the last
/// Admin of the domain.
pub async fn assignment_delete(tx: &WriteTx<'_>, assigned: Assigned, id: AssignmentId) -> Result<()> {
    let found = assignment_get(tx, assigned, id).await?;
    let makes_admin = found.role_id == SystemRole::Admin.id() && found.scope() == RoleScope::Domain;
    if makes_admin {
        // Before the actor's own rights are looked at: they may be what others are taking away.
        admin_lock(tx).await?;
    }
    let role = role::role_get(tx, found.role_id).await?;
    require_held(tx, &role.permission_names(), found.scope(), Lasting::Now).await?;
    let deleted = diesel::delete(user_roles::table.filter(user_roles::id.eq(id)))
        .execute(&mut tx.conn())
        .await?;
    if deleted == 0 {
        return Err(Error::NotFound("assignment"));
    }
    if makes_admin {
        last_admin_guard(tx).await?;
    }
    let assignment = Assignment {
        row: found,
        role_name: role.role.name,
    };
    tx.record(Activity::new("role.revoke", "user", assignment.row.user_id).before(&assignment));
    Ok(())
}

/// Gives the role at the scope without an end, unless the user has it there already.
pub(super) async fn assigned_or_kept(
    tx: &WriteTx<'_>,
    user: UserId,
    role: &Role,
    scope: RoleScope,
) -> Result<()> {
    expired_delete(tx, user, role.id, scope).await?;
    let (organization, project) = scope.columns();
    diesel::insert_into(user_roles::table)
        .values((
            user_roles::id.eq(tx.new_id::<AssignmentId>()),
            user_roles::user_id.eq(user),
            user_roles::role_domain_id.eq(role.domain_id),
            user_roles::role_id.eq(role.id),
            user_roles::organization_id.eq(organization),
            user_roles::project_id.eq(project),
        ))
        .on_conflict_do_nothing()
        .execute(&mut tx.conn())
        .await
        .map_err(|error| meaning(Error::from(error)))?;
    Ok(())
}

async fn assignment_get(tx: &Tx<'_>, assigned: Assigned, id: AssignmentId) -> Result<AssignmentRow> {
    let row: AssignmentRow = user_roles::table
        .select(AssignmentRow::as_select())
        .filter(user_roles::id.eq(id))
        .first(&mut tx.conn())
        .await
        .or_not_found("assignment")?;
    let meant = match assigned {
        Assigned::To(user) => row.user_id == user,
        Assigned::In(scope) => row.scope() == scope,
    };
    if meant {
        Ok(row)
    } else {
        Err(Error::NotFound("assignment"))
    }
}

/// An assignment that has expired gives nothing, and must not stand in the way of a new one.
async fn expired_delete(tx: &WriteTx<'_>, user: UserId, role: RoleId, scope: RoleScope) -> Result<()> {
    let (organization, project) = scope.columns();
    diesel::delete(
        user_roles::table
            .filter(user_roles::user_id.eq(user))
            .filter(user_roles::role_id.eq(role))
            .filter(user_roles::organization_id.is_not_distinct_from(organization))
            .filter(user_roles::project_id.is_not_distinct_from(project))
            .filter(user_roles::expires_at.le(diesel::dsl::now)),
    )
    .execute(&mut tx.conn())
    .await?;
    Ok(())
}

/// By the database clock, which ends it too.
async fn is_future(tx: &Tx<'_>, time: DateTime<Utc>) -> Result<bool> {
    let time = diesel::dsl::sql::<Bool>("clock_timestamp() < ").bind::<Timestamptz, _>(time);
    Ok(diesel::select(time).get_result(&mut tx.conn()).await?)
}

/// What a constraint of `user_roles` says of the request.
fn meaning(error: Error) -> Error {
    match error.violated_constraint() {
        Some("user_roles_domain_key" | "user_roles_organization_key" | "user_roles_project_key") => {
            Error::conflict("already_assigned", "the user has the role there already")
        }
        Some("user_roles_domain_id_user_id_fkey") => invalid("user_id", "user"),
        Some("user_roles_role_domain_id_role_id_fkey") => invalid("role_id", "role"),
        Some("user_roles_domain_id_organization_id_fkey") => invalid("organization_id", "organization"),
        Some("user_roles_domain_id_project_id_fkey") => invalid("project_id", "project"),
        _ => error,
    }
}

fn invalid(field: &'static str, what: &str) -> Error {
    Error::Invalid {
        field,
        message: format!("there is no such {what}"),
    }
}
