//! `domains`: tenants. Only platform operators see more than their own.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::cached::Cached;
use crate::error::{Error, Meaning as _, Result};
use crate::ids::{ActivityId, AssignmentId, DomainId, PLATFORM_DOMAIN, UserId};
use crate::models::activity::Activity;
use crate::page::{Page, PageRequest};
use crate::rbac::SystemRole;
use crate::schema::domains;
use crate::secrets::password::NewHash;
use crate::text;
pub use crate::text::check_name;
use crate::tx::{Tx, WriteTx};

/// A domain.
#[derive(Clone, Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = domains, check_for_backend(diesel::pg::Pg))]
pub struct Domain {
    /// Its id.
    pub id: DomainId,
    /// Short name used at sign-in.
    pub slug: String,
    /// Name shown to people.
    pub name: String,
    /// `active`, `suspended`, or `erasing`.
    pub status: String,
    /// Counts changes.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A domain to make, with its first Admin.
#[derive(Debug)]
pub struct NewDomain<'a> {
    /// Short name used at sign-in.
    pub slug: &'a str,
    /// Name shown to people.
    pub name: &'a str,
    /// E-mail of the first Admin.
    pub admin_email: &'a str,
    /// Name of the first Admin.
    pub admin_name: &'a str,
    /// Password of the first Admin.
    pub admin_password: &'a NewHash,
}

/// Whether a domain may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainStatus {
    /// Its people can sign in.
    Active,
    /// No credential of the domain counts.
    Suspended,
}

impl DomainStatus {
    /// As the column has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

/// A slug for a domain; `platform` is taken.
///
/// # Errors
/// Says what is wrong.
pub fn check_slug(slug: &str) -> std::result::Result<(), String> {
    if slug == "platform" {
        return Err("\"platform\" is the installation's own domain".to_owned());
    }
    text::check_slug(slug)
}

/// All domains but the installation's own, oldest first.
///
/// # Errors
/// A database error.
pub async fn domain_list(tx: &Tx<'_>, page: &PageRequest<DomainId>) -> Result<Page<Domain>> {
    let mut query = domains::table
        .select(Domain::as_select())
        .filter(domains::id.ne(PLATFORM_DOMAIN))
        .order(domains::id)
        .limit(page.fetch())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(domains::id.gt(after));
    }
    Ok(page.cut(query.load(&mut tx.conn()).await?))
}

/// One domain; the installation's own is none.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn domain_get(tx: &Tx<'_>, id: DomainId) -> Result<Domain> {
    domains::table
        .select(Domain::as_select())
        .filter(domains::id.eq(id))
        .filter(domains::id.ne(PLATFORM_DOMAIN))
        .first(&mut tx.conn())
        .await
        .or_not_found("domain")
}

/// The domain that the transaction acts in.
///
/// # Errors
/// A database error.
pub async fn domain_current(tx: &Tx<'_>) -> Result<Domain> {
    domains::table
        .select(Domain::as_select())
        .filter(domains::id.nullable().eq(diesel::dsl::sql::<
            diesel::sql_types::Nullable<diesel::sql_types::Uuid>,
        >("(SELECT current_domain_id())")))
        .first(&mut tx.conn())
        .await
        .or_not_found("domain")
}

#[expect(clippy::too_many_arguments, reason = "one SQL function that makes four rows")]
mod sql {
    diesel::define_sql_function! {
        /// Makes a domain with its first Admin; see the migration `enter`.
        fn domain_create(
            id: diesel::sql_types::Uuid, slug: diesel::sql_types::Text, name: diesel::sql_types::Text,
            admin_id: diesel::sql_types::Uuid, admin_email: diesel::sql_types::Text, admin_name: diesel::sql_types::Text,
            admin_proof: diesel::sql_types::Text, pepper_id: diesel::sql_types::Int4, cost: diesel::sql_types::Int4,
            assignment_id: diesel::sql_types::Uuid, activity_id: diesel::sql_types::Uuid,
            admin_role: diesel::sql_types::Uuid,
        );
    }
}

/// Makes a domain with its first Admin. From the platform domain only.
///
/// # Errors
/// A conflict when the slug is taken; `Forbidden` outside of the platform domain.
pub async fn domain_insert(tx: &WriteTx<'_>, new: &NewDomain<'_>) -> Result<Domain> {
    let id: DomainId = tx.new_id();
    let proof: &SecretString = &new.admin_password.proof;
    diesel::select(sql::domain_create(
        id,
        new.slug,
        new.name,
        tx.new_id::<UserId>(),
        new.admin_email.to_lowercase(),
        new.admin_name,
        proof.expose_secret(),
        new.admin_password.pepper_id,
        new.admin_password.cost,
        tx.new_id::<AssignmentId>(),
        tx.new_id::<ActivityId>(),
        SystemRole::Admin.id(),
    ))
    .execute(&mut tx.conn())
    .await
    .or_conflict(
        "domains_slug_key",
        "slug_taken",
        format!("there is a domain {:?} already", new.slug),
    )?;
    let domain = domain_get(tx, id).await?;
    tx.record(Activity::new("domain.create", "domain", id).after(&domain));
    Ok(domain)
}

/// Renames a domain.
///
/// # Errors
/// `NotFound`, `StaleVersion`, or a database error.
pub async fn domain_rename(
    tx: &WriteTx<'_>,
    id: DomainId,
    expected: Option<i32>,
    name: Option<&str>,
) -> Result<Domain> {
    let before = domain_lock(tx, id).await?;
    super::check_version(expected, before.version)?;
    let after: Domain = Cached(
        diesel::update(domains::table.find(id))
            .set((
                name.map(|name| domains::name.eq(name)),
                domains::version.eq(domains::version + 1),
                domains::updated_at.eq(diesel::dsl::now),
            ))
            .returning(Domain::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await?;
    tx.record(
        Activity::new("domain.update", "domain", id)
            .before(&before)
            .after(&after),
    );
    Ok(after)
}

/// Suspends a domain, which ends all access to it at the next request, or resumes it. One that is so already stays as it
/// is.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn domain_set_status(tx: &WriteTx<'_>, id: DomainId, status: DomainStatus) -> Result<Domain> {
    let before = domain_lock(tx, id).await?;
    if before.status == status.name() {
        tx.unchanged();
        return Ok(before);
    }
    let after: Domain = Cached(
        diesel::update(domains::table.find(id))
            .set((
                domains::status.eq(status.name()),
                domains::version.eq(domains::version + 1),
                domains::updated_at.eq(diesel::dsl::now),
            ))
            .returning(Domain::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await?;
    let action = match status {
        DomainStatus::Active => "domain.resume",
        DomainStatus::Suspended => "domain.suspend",
    };
    tx.record(Activity::new(action, "domain", id).before(&before).after(&after));
    Ok(after)
}

/// Locks a domain against other changes. The installation's own is not to be changed, nor one that is being erased.
pub(super) async fn domain_lock(tx: &WriteTx<'_>, id: DomainId) -> Result<Domain> {
    let domain: Domain = domains::table
        .select(Domain::as_select())
        .filter(domains::id.eq(id))
        .filter(domains::id.ne(PLATFORM_DOMAIN))
        .for_no_key_update()
        .first(&mut tx.conn())
        .await
        .or_not_found("domain")?;
    // `plinth-ops domain erase` sets it, and goes on where it was broken off.
    if domain.status == "erasing" {
        return Err(Error::conflict(
            "domain_erasing",
            format!("the domain {:?} is being erased", domain.slug),
        ));
    }
    Ok(domain)
}
