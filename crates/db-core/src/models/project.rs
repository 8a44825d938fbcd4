//! `projects`: own boards and tags; number their cards.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use serde::Serialize;

use crate::cached::Cached;
use crate::error::{Error, Meaning as _, Result};
use crate::ids::{OrganizationId, ProjectId};
use crate::models::activity::Activity;
use crate::models::check_version;
use crate::page::{Page, PageRequest};
use crate::schema::projects;
use crate::single_statement::Executor;
use crate::tx::{Tx, WriteTx};

/// A project.
#[derive(Clone, Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = projects, check_for_backend(diesel::pg::Pg))]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Organization that owns it.
    pub organization_id: OrganizationId,
    /// Begins the numbers of its cards, such as `OPS` in `OPS-1`.
    pub key: String,
    /// Name shown to people.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// Counts changes.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A project to make.
#[derive(Clone, Copy, Debug, Insertable)]
#[diesel(table_name = projects)]
pub struct NewProject<'a> {
    /// Its id.
    pub id: ProjectId,
    /// Organization that will own it.
    pub organization_id: OrganizationId,
    /// Two to ten capital letters and digits.
    pub key: &'a str,
    /// Name shown to people.
    pub name: &'a str,
    /// What it is about.
    pub description: &'a str,
}

/// What may change; `None` leaves it. The key stays: people have written it down.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = projects)]
pub struct ProjectPatch {
    /// Name shown to people.
    pub name: Option<String>,
    /// What it is about.
    pub description: Option<String>,
}

/// A project key: a capital letter, then one to nine capital letters or digits.
///
/// # Errors
/// Says what is wrong.
pub fn check_key(key: &str) -> std::result::Result<(), String> {
    let fits = (2..=10).contains(&key.len())
        && key.starts_with(|c: char| c.is_ascii_uppercase())
        && key.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if fits {
        Ok(())
    } else {
        Err("must be 2 to 10 capital letters and digits, a letter first".to_owned())
    }
}

/// Those that the actor may see, of one organization or of all.
///
/// # Errors
/// `NotFound` when there is no such organization, or a database error.
pub async fn project_list(
    tx: &Tx<'_>,
    organization: Option<OrganizationId>,
    page: &PageRequest<ProjectId>,
) -> Result<Page<Project>> {
    let mut query = projects::table
        .select(Project::as_select())
        .filter(diesel::dsl::sql::<Bool>(
            "(current_setting('plinth.domain_wide') = 'on' OR EXISTS (
                SELECT FROM user_roles ur
                  JOIN role_permissions rp ON rp.domain_id = ur.role_domain_id AND rp.role_id = ur.role_id
                 WHERE ur.domain_id = current_domain_id() AND ur.user_id = current_user_id()
                   AND (ur.project_id = projects.id OR ur.organization_id = projects.organization_id)
                   AND rp.permission = 'project:read' AND (ur.expires_at IS NULL OR ur.expires_at > now())))",
        ))
        .order(projects::id)
        .limit(page.fetch())
        .into_boxed();
    if let Some(organization) = organization {
        query = query.filter(projects::organization_id.eq(organization));
    }
    if let Some(after) = page.after {
        query = query.filter(projects::id.gt(after));
    }
    let rows: Vec<Project> = query.load(&mut tx.conn()).await?;
    if rows.is_empty()
        && let Some(organization) = organization
    {
        super::organization::organization_get(tx, organization).await?;
    }
    Ok(page.cut(rows))
}

/// One project.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn project_get<'a>(tx: impl Executor<'a>, id: ProjectId) -> Result<Project> {
    projects::table
        .select(Project::as_select())
        .filter(projects::id.eq(id))
        .first(&mut tx.conn())
        .await
        .or_not_found("project")
}

/// Makes a project.
///
/// # Errors
/// `NotFound` when there is no such organization, a conflict when the key is taken.
pub async fn project_insert(tx: &WriteTx<'_>, new: &NewProject<'_>) -> Result<Project> {
    let inserted = Cached(
        diesel::insert_into(projects::table)
            .values(*new)
            .returning(Project::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await
    .or_conflict(
        "projects_key_key",
        "key_taken",
        format!("there is a project {:?} already", new.key),
    );
    let project: Project = match inserted {
        Err(error) if error.violated_constraint() == Some("projects_domain_id_organization_id_fkey") => {
            return Err(Error::NotFound("organization"));
        }
        result => result?,
    };
    tx.record(Activity::new("project.create", "project", new.id).after(&project));
    Ok(project)
}

/// Changes a project.
///
/// # Errors
/// `NotFound`, `StaleVersion`, or a database error.
pub async fn project_update(
    tx: &WriteTx<'_>,
    id: ProjectId,
    expected: Option<i32>,
    patch: &ProjectPatch,
) -> Result<Project> {
    let before = project_lock(tx, id).await?;
    check_version(expected, before.version)?;
    let after: Project = Cached(
        diesel::update(projects::table.filter(projects::id.eq(id)))
            .set((
                patch,
                projects::version.eq(projects::version + 1),
                projects::updated_at.eq(diesel::dsl::now),
            ))
            .returning(Project::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await?;
    tx.record(
        Activity::new("project.update", "project", id)
            .before(&before)
            .after(&after),
    );
    Ok(after)
}

/// Deletes a project that has no boards and no tags any more.
///
/// # Errors
/// `NotFound`, `StaleVersion`, or a conflict while boards or tags are left.
pub async fn project_delete(tx: &WriteTx<'_>, id: ProjectId, expected: Option<i32>) -> Result<()> {
    let before = project_lock(tx, id).await?;
    check_version(expected, before.version)?;
    diesel::delete(projects::table.filter(projects::id.eq(id)))
        .execute(&mut tx.conn())
        .await
        .or_conflict(
            "boards_domain_id_project_id_fkey",
            "project_not_empty",
            "the project still has boards",
        )
        .or_conflict(
            "tags_domain_id_project_id_fkey",
            "project_not_empty",
            "the project still has tags",
        )?;
    tx.record(Activity::new("project.delete", "project", id).before(&before));
    Ok(())
}

async fn project_lock(tx: &WriteTx<'_>, id: ProjectId) -> Result<Project> {
    projects::table
        .select(Project::as_select())
        .filter(projects::id.eq(id))
        .for_update()
        .first(&mut tx.conn())
        .await
        .or_not_found("project")
}
