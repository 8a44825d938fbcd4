//! The ceiling of what an actor may hand on: nobody gives, changes or takes away a right that they do not hold.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::cached::Cached;
use crate::error::{Error, Result};
use crate::ids::{OrganizationId, ProjectId};
use crate::tx::WriteTx;

/// Where a role counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleScope {
    /// In the whole domain.
    Domain,
    /// In one organization and its projects.
    Organization(OrganizationId),
    /// In one project.
    Project(ProjectId),
}

impl RoleScope {
    /// As the two columns of `user_roles`.
    pub(super) fn columns(self) -> (Option<OrganizationId>, Option<ProjectId>) {
        match self {
            Self::Domain => (None, None),
            Self::Organization(organization) => (Some(organization), None),
            Self::Project(project) => (None, Some(project)),
        }
    }

    pub(super) fn of(columns: (Option<OrganizationId>, Option<ProjectId>)) -> Self {
        match columns {
            (_, Some(project)) => Self::Project(project),
            (Some(organization), None) => Self::Organization(organization),
            (None, None) => Self::Domain,
        }
    }
}

/// How long the actor must hold what they hand on: a right that is held for an hour is not made one for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasting {
    /// At this moment.
    Now,
    /// At this moment, and at least until then; `None` for without an end.
    Until(Option<DateTime<Utc>>),
}

#[derive(QueryableByName)]
struct Lacking {
    #[diesel(sql_type = Text)]
    permission: String,
    #[diesel(sql_type = Bool)]
    held: bool,
}

/// Whether the actor, within the limits of the API key used, holds all of these permissions at a scope, for so long.
///
/// # Errors
/// `Forbidden`, naming the first permission that is lacking; the denial is noted like any other.
pub(super) async fn require_held(
    tx: &WriteTx<'_>,
    permissions: &[&str],
    scope: RoleScope,
    lasting: Lasting,
) -> Result<()> {
    let (organization, project) = scope.columns();
    let (endless, until) = match lasting {
        Lasting::Now => (false, None),
        Lasting::Until(until) => (until.is_none(), until),
    };
    let lacking: Option<Lacking> = Cached(
        diesel::sql_query(
            "SELECT w.permission, h.permission IS NOT NULL AS held
               FROM unnest($1) AS w (permission)
               LEFT JOIN held_permissions($2, $3) AS h (permission) ON h.permission = w.permission
              WHERE h.permission IS NULL
                 OR (($4 OR $5 IS NOT NULL) AND NOT EXISTS (
                        SELECT FROM user_roles ur
                          JOIN role_permissions rp ON rp.domain_id = ur.role_domain_id AND rp.role_id = ur.role_id
                         WHERE ur.domain_id = current_domain_id() AND ur.user_id = current_user_id()
                           AND rp.permission = w.permission
                           AND (ur.expires_at IS NULL OR ur.expires_at >= $5)
                           -- A key that ends gives nothing that outlasts it.
                           AND (current_api_key_id() IS NULL
                                OR EXISTS (SELECT FROM api_keys k
                                            WHERE k.id = current_api_key_id()
                                              AND (k.expires_at IS NULL OR k.expires_at >= $5)))
                           AND ((ur.organization_id IS NULL AND ur.project_id IS NULL)
                                OR ur.organization_id = $2
                                OR ur.project_id = $3
                                OR ur.organization_id = (SELECT p.organization_id FROM projects p WHERE p.id = $3))))
              ORDER BY 2, 1 LIMIT 1",
        )
        .bind::<Array<Text>, _>(permissions)
        .bind::<Nullable<SqlUuid>, _>(organization)
        .bind::<Nullable<SqlUuid>, _>(project)
        .bind::<Bool, _>(endless)
        .bind::<Nullable<Timestamptz>, _>(until),
    )
    .get_result(&mut tx.conn())
    .await
    .optional()?;
    match lacking {
        None => Ok(()),
        Some(Lacking {
            permission,
            held: false,
        }) => Err(Error::Forbidden(format!(
            "the role holds {permission}, which you do not hold there"
        ))),
        Some(Lacking {
            permission,
            held: true,
        }) => Err(Error::Forbidden(format!(
            "the role holds {permission}, which you hold for a shorter time; give it with an earlier expires_at"
        ))),
    }
}
