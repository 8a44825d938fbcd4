//! Setting the installation up, once: keys, the platform domain with its first operator, a first domain.
//!
//! Everything happens in one transaction behind the `installation` row, whose primary key lets one of many win.

mod configured;
mod key_file;
pub(crate) mod secrets;

pub use configured::{DEMO_PASSWORD, check_demo, set_up};
pub use key_file::{KeyError, KeySource};

use key_file::Written;

use std::net::SocketAddr;
use std::time::Duration;

use pg_connect::ConnectError;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::error::{Severity, SqlState};
use uuid::Uuid;

use crate::clock::Clock;
use crate::db::OpenError;
use crate::ids::{DomainId, PLATFORM_DOMAIN};
use crate::login;
use crate::models::activity::{Activity, note};
use crate::owner::{Owner, SystemTx};
use crate::rbac::{SystemRole, seed};
use crate::secrets::keyring::{Keyring, KeyringError};
use crate::secrets::password::{self, NewHash, Passwords};
use db_migrate::{MigrateError, Migrator};
use pg_connect::{connection_lost, describe};

/// A domain to make, with its slug and the name people see.
#[derive(Clone, Debug)]
pub struct FirstDomain {
    /// Short name used at sign-in.
    pub slug: String,
    /// Name shown to people.
    pub name: String,
}

impl FirstDomain {
    /// Its Admin's address, where it is one of [`SetupRequest::more_domains`].
    #[must_use]
    pub fn admin_email(&self) -> String {
        format!("admin@{}.test", self.slug)
    }
}

/// What setup is told.
#[derive(Clone, Debug)]
pub struct SetupRequest {
    /// The first domain; the operator becomes an Admin of it too.
    pub domain: FirstDomain,
    /// E-mail of the first platform operator.
    pub operator_email: String,
    /// Password of the operator; a random one is made when it is not given.
    pub operator_password: Option<SecretString>,
    /// More domains, each with an Admin ([`FirstDomain::admin_email`]) that has the operator's password. For demonstrations.
    pub more_domains: Vec<FirstDomain>,
    /// Which road this is: `api`, `ops` or `environment`.
    pub via: &'static str,
}

impl Default for SetupRequest {
    fn default() -> Self {
        Self {
            domain: FirstDomain {
                slug: "default".to_owned(),
                name: "Default".to_owned(),
            },
            operator_email: "admin@localhost".to_owned(),
            operator_password: None,
            more_domains: Vec::new(),
            via: "api",
        }
    }
}

/// How setup ended.
#[derive(Debug)]
pub struct SetupOutcome {
    /// The keyring that is in use from now on.
    pub keyring: Keyring,
    /// The operator's password, when it was made here; to be shown once.
    pub generated_password: Option<SecretString>,
    /// Whether a key file was written, which has to be kept safe.
    pub key_file_written: bool,
}

/// Why setup did not happen. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// It has happened before, or another process was faster.
    #[error("the installation is already set up")]
    AlreadySetUp,
    /// A value does not fit.
    #[error("{field}: {message}")]
    Invalid {
        /// Field of the request.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The demo is asked for where others could reach it.
    #[error(
        "PLINTH_SETUP_DEMO makes accounts with a password that everybody knows: it is for loopback addresses only, \
         and PLINTH_SERVER_BIND is {0}"
    )]
    DemoExposed(SocketAddr),
    /// The database cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The schema cannot be made.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// A statement failed.
    #[error("{}", describe(.0))]
    Statement(#[from] tokio_postgres::Error),
    /// The key cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The key file cannot be read or written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A step inside failed.
    #[error("{0}")]
    Internal(String),
}

impl SetupError {
    /// Whether waiting may help: the database is away.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_transient(),
            Self::Migrate(error) => error.is_transient(),
            Self::Statement(error) => connection_lost(error),
            _ => false,
        }
    }

    /// Whether the server itself refused what was sent last, so that it has surely not happened. A connection that was cut,
    /// by whomever, may have been cut after it had.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Statement(error) => error
                .as_db_error()
                .is_some_and(|refusal| refusal.parsed_severity() == Some(Severity::Error)),
            _ => true,
        }
    }
}

/// Whether the `installation` row is there; `false` also for a database without our schema.
///
/// # Errors
/// The database cannot be reached.
pub async fn is_initialized(owner: &Owner) -> Result<bool, SetupError> {
    let client = owner.connect().await?;
    match client.query_opt("SELECT FROM installation", &[]).await {
        Ok(row) => Ok(row.is_some()),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Migrates, then sets the installation up in one transaction.
///
/// # Errors
/// See [`SetupError`].
pub async fn run(
    owner: &Owner,
    keys: &KeySource,
    clock: &Clock,
    cost: u8,
    pepper: Option<&SecretString>,
    request: &SetupRequest,
) -> Result<SetupOutcome, SetupError> {
    validate(request)?;
    if is_initialized(owner).await? {
        return Err(SetupError::AlreadySetUp);
    }
    Migrator::new(owner.connector(), Duration::from_secs(60))
        .run()
        .await?;
    login::shut_door(&owner.connect().await?).await?;
    let mut key_file = None;
    let result = owner
        .system(async |tx| {
            // Others wait here for the winner to commit, and then find the row.
            let won = tx
                .client()
                .execute(
                    "INSERT INTO installation (set_up_by, key_fingerprints, plinth_version) VALUES ($1, '{}', $2)
                     ON CONFLICT DO NOTHING",
                    &[&request.via, &env!("CARGO_PKG_VERSION")],
                )
                .await?;
            if won == 0 {
                return Err(SetupError::AlreadySetUp);
            }
            let (keyring, written) = keys.load_or_create()?;
            let generated_password = fill(tx, clock, cost, pepper, &keyring, request).await?;
            // COMMIT comes next. From here on the key may be all that opens what is stored.
            key_file = written.map(Written::keep);
            Ok(SetupOutcome { keyring, generated_password, key_file_written: key_file.is_some() })
        })
        .await;
    if let (Err(error), Some(path)) = (&result, key_file) {
        if error.is_refusal() {
            key_file::remove(&path);
        } else {
            tracing::error!(
                file = %path.display(),
                "the connection was lost while setup was being committed: whether it happened is not known, so that its key \
                 file stays; ask GET /api/db/status"
            );
        }
    }
    result
}

async fn fill(
    tx: &SystemTx<'_>,
    clock: &Clock,
    cost: u8,
    pepper: Option<&SecretString>,
    keyring: &Keyring,
    request: &SetupRequest,
) -> Result<Option<SecretString>, SetupError> {
    tx.client()
        .execute(
            "UPDATE installation SET key_fingerprints = $1",
            &[&keyring.fingerprints()],
        )
        .await?;
    seed::apply(tx).await?;
    let pepper = secrets::create_pepper(tx, keyring, pepper)
        .await
        .map_err(refused)?;
    let passwords = Passwords::new(vec![pepper], i32::from(cost), 1);

    let generated = request.operator_password.is_none().then(password::generate);
    let internal = |error: crate::Error| SetupError::Internal(error.to_string());
    let chosen = request.operator_password.as_ref().or(generated.as_ref());
    let chosen =
        chosen.ok_or_else(|| SetupError::Internal("neither given nor made a password".to_owned()))?;
    let hash = passwords.hash(chosen).map_err(internal)?;

    admin_create(
        tx,
        clock,
        PLATFORM_DOMAIN,
        &request.operator_email,
        "Operator",
        &hash,
    )
    .await?;
    let first = domain_create(tx, clock, &request.domain).await?;
    admin_create(tx, clock, first, &request.operator_email, "Administrator", &hash).await?;
    for domain in &request.more_domains {
        let id = domain_create(tx, clock, domain).await?;
        admin_create(tx, clock, id, &domain.admin_email(), "Administrator", &hash).await?;
    }
    let noted = Activity::new("installation.set_up", "domain", first)
        .after(&serde_json::json!({ "via": request.via }));
    note(tx.client(), clock, [(PLATFORM_DOMAIN, noted)]).await?;
    Ok(generated)
}

/// What the secrets' module fails with, as far as it can here.
fn refused(error: OpenError) -> SetupError {
    match error {
        OpenError::Connect(error) => error.into(),
        OpenError::Statement(error) => error.into(),
        OpenError::Keyring(error) => error.into(),
        error => SetupError::Internal(error.to_string()),
    }
}

async fn domain_create(
    tx: &SystemTx<'_>,
    clock: &Clock,
    domain: &FirstDomain,
) -> Result<DomainId, SetupError> {
    let id: DomainId = clock.id();
    tx.client()
        .execute(
            "INSERT INTO domains (id, slug, name) VALUES ($1, $2, $3)",
            &[&id.uuid(), &domain.slug, &domain.name],
        )
        .await?;
    Ok(id)
}

async fn admin_create(
    tx: &SystemTx<'_>,
    clock: &Clock,
    domain: DomainId,
    email: &str,
    name: &str,
    hash: &NewHash,
) -> Result<(), SetupError> {
    let user: Uuid = clock.uuid();
    let email = email.to_lowercase();
    tx.client()
        .execute(
            "INSERT INTO users (domain_id, id, email, name, password_hash, pepper_id)
             VALUES ($1, $2, $3, $4, crypt($5, gen_salt('bf', $6)), $7)",
            &[
                &domain.uuid(),
                &user,
                &email,
                &name,
                &hash.proof.expose_secret(),
                &hash.cost,
                &hash.pepper_id,
            ],
        )
        .await?;
    tx.client()
        .execute(
            "INSERT INTO user_roles (domain_id, id, user_id, role_domain_id, role_id) VALUES ($1, $2, $3, $4, $5)",
            &[&domain.uuid(), &clock.uuid(), &user, &PLATFORM_DOMAIN.uuid(), &SystemRole::Admin.id().uuid()],
        )
        .await?;
    Ok(())
}

/// The same rules as the API's, which has not been reached yet when the environment or `plinth-ops` sets up.
fn validate(request: &SetupRequest) -> Result<(), SetupError> {
    use crate::models::{domain, user};
    let invalid = |field: &'static str| move |message: String| SetupError::Invalid { field, message };
    domain::check_slug(&request.domain.slug).map_err(invalid("domain.slug"))?;
    domain::check_name(&request.domain.name).map_err(invalid("domain.name"))?;
    user::check_email(&request.operator_email).map_err(invalid("operator.email"))?;
    if let Some(password) = &request.operator_password {
        user::check_password(password).map_err(invalid("operator.password"))?;
    }
    Ok(())
}
