//! Domains that the installation itself makes and lists: for `plinth-ops`, which has no tenant to act in.

use app_config::SecurityConfig;
use chrono::{DateTime, Utc};
use pg_connect::ConnectError;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use crate::clock::Clock;
use crate::db::OpenError;
use crate::ids::{DomainId, PLATFORM_DOMAIN};
use crate::models::activity::{Activity, note};
use crate::models::{domain, user};
use crate::owner::SystemTx;
use crate::rbac::SystemRole;
use crate::secrets::keyring::{Keyring, KeyringError};
use crate::secrets::password::Passwords;
use crate::setup::secrets;
use pg_connect::describe;

/// A domain.
#[derive(Clone, Debug, Serialize)]
pub struct ProvisionedDomain {
    /// Its id.
    pub id: DomainId,
    /// Short name used at sign-in.
    pub slug: String,
    /// Name shown to people.
    pub name: String,
    /// `active`, `suspended`, or `erasing`.
    pub status: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl From<Row> for ProvisionedDomain {
    fn from(row: Row) -> Self {
        Self {
            id: DomainId::from(row.get::<_, uuid::Uuid>(0)),
            slug: row.get(1),
            name: row.get(2),
            status: row.get(3),
            created_at: row.get(4),
        }
    }
}

/// A domain to make, with its first Admin.
#[derive(Debug)]
pub struct NewProvisionedDomain<'a> {
    /// Short name used at sign-in.
    pub slug: &'a str,
    /// Name shown to people.
    pub name: &'a str,
    /// E-mail of the first Admin.
    pub admin_email: &'a str,
    /// Password of the first Admin.
    pub admin_password: &'a SecretString,
}

/// Why a domain was not made, or domains were not read.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// A value does not fit.
    #[error("{field}: {message}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// There is a domain with this slug.
    #[error("there is a domain {0:?} already")]
    SlugTaken(String),
    /// There is no installation yet.
    #[error("the installation is not set up yet: run `plinth-ops setup`")]
    NotSetUp,
    /// The database cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The key does not fit the installation.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The pepper of passwords cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A statement failed.
    #[error("{}", describe(.0))]
    Statement(#[from] tokio_postgres::Error),
    /// A fault of the installation.
    #[error("{0}")]
    Internal(String),
}

const COLUMNS: &str = "id, slug, name, status, created_at";

/// All domains but the installation's own, oldest first.
///
/// # Errors
/// Not set up, or a statement fails.
pub async fn provisioned_domain_list(tx: &SystemTx<'_>) -> Result<Vec<ProvisionedDomain>, ProvisionError> {
    fingerprints(tx).await?;
    let sql = format!("SELECT {COLUMNS} FROM domains WHERE id <> $1 ORDER BY id");
    let rows = tx.client().query(&sql, &[&PLATFORM_DOMAIN.uuid()]).await?;
    Ok(rows.into_iter().map(ProvisionedDomain::from).collect())
}

/// Makes a domain with its first Admin, noted in the activity streams of the domain and of the installation.
///
/// # Errors
/// See [`ProvisionError`].
pub async fn provision_domain(
    tx: &SystemTx<'_>,
    clock: &Clock,
    keyring: &Keyring,
    security: &SecurityConfig,
    new: &NewProvisionedDomain<'_>,
) -> Result<ProvisionedDomain, ProvisionError> {
    let invalid = |field| move |message| ProvisionError::Invalid { field, message };
    domain::check_slug(new.slug).map_err(invalid("slug"))?;
    domain::check_name(new.name).map_err(invalid("name"))?;
    user::check_email(new.admin_email).map_err(invalid("admin e-mail"))?;
    user::check_password(new.admin_password).map_err(invalid("admin password"))?;

    keyring.check(&fingerprints(tx).await?)?;
    let peppers = secrets::load_peppers(tx, keyring).await?;
    let hash = Passwords::new(peppers, i32::from(security.bcrypt_cost), 1)
        .hash(new.admin_password)
        .map_err(|error| ProvisionError::Internal(error.to_string()))?;
    let (id, email) = (clock.uuid(), new.admin_email.to_lowercase());
    // The door that the API uses, which opens from the platform domain only.
    let client = tx.client();
    client
        .execute(
            "SELECT set_context($1, NULL, NULL, NULL, true, 10000)",
            &[&PLATFORM_DOMAIN.uuid()],
        )
        .await?;
    client
        .execute(
            "SELECT domain_create($1, $2, $3, $4, $5, 'Administrator', $6, $7, $8, $9, $10, $11)",
            &[
                &id,
                &new.slug,
                &new.name,
                &clock.uuid(),
                &email,
                &hash.proof.expose_secret(),
                &hash.pepper_id,
                &hash.cost,
                &clock.uuid(),
                &clock.uuid(),
                &SystemRole::Admin.id().uuid(),
            ],
        )
        .await
        .map_err(|error| taken(error, new.slug))?;
    let row = client
        .query_one("SELECT to_jsonb(d) FROM domains d WHERE id = $1", &[&id])
        .await?;
    let noted = Activity::new("domain.create", "domain", id).after(&row.get::<_, serde_json::Value>(0));
    note(client, clock, [(PLATFORM_DOMAIN, noted)]).await?;
    let sql = format!("SELECT {COLUMNS} FROM domains WHERE id = $1");
    Ok(client.query_one(&sql, &[&id]).await?.into())
}

/// Fingerprints of the keys that the installation was set up with.
async fn fingerprints(tx: &SystemTx<'_>) -> Result<Vec<String>, ProvisionError> {
    let row = tx
        .client()
        .query_opt("SELECT key_fingerprints FROM installation", &[])
        .await?;
    row.map(|row| row.get(0)).ok_or(ProvisionError::NotSetUp)
}

fn taken(error: tokio_postgres::Error, slug: &str) -> ProvisionError {
    let constraint = error.as_db_error().and_then(|error| error.constraint());
    if error.code() == Some(&SqlState::UNIQUE_VIOLATION) && constraint == Some("domains_slug_key") {
        return ProvisionError::SlugTaken(slug.to_owned());
    }
    error.into()
}
