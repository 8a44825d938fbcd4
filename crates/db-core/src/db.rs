//! The process's view of its database: checked once at start, then shared by every worker's pool.

use std::sync::Arc;
use std::time::Duration;

use app_config::{DatabaseAddress, DatabaseConfig, SecurityConfig};
use moka::sync::Cache;
use pg_connect::{ConnectError, ConnectOptions, Connector};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Client;

use crate::access::VerifiedKey;
use crate::clock::Clock;
use crate::migrate::MigrateError;
use crate::owner::Owner;
use crate::pool::{self, ConnectionFailure, PoolSettings};
use crate::secrets::keyring::{Keyring, KeyringError};
use crate::secrets::password::Passwords;
use crate::secrets::token::TokenHash;
use crate::setup::secrets;
use crate::tx::Pool;

/// How long a verified API key is taken for verified, and how long a session's last use goes unwritten.
const MINUTE: Duration = Duration::from_secs(60);

/// A database that has been checked and may be served.
#[derive(Clone, Debug)]
pub struct Db {
    shared: Arc<Shared>,
    connector: Arc<Connector>,
    settings: PoolSettings,
}

/// What all pools of the process share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) statement_timeout: Duration,
    pub(crate) clock: Clock,
    pub(crate) passwords: Passwords,
    /// API keys that `crypt()` has confirmed within the last minute.
    pub(crate) verified_keys: Cache<TokenHash, VerifiedKey>,
    /// Credentials whose last use was written within the last minute.
    pub(crate) touched: Cache<TokenHash, ()>,
}

/// Why a database cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A connection for requests cannot be set up.
    #[error(transparent)]
    Pool(#[from] ConnectionFailure),
    /// The keyring does not fit what is encrypted.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The schema is not the one this binary works with.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// A statement failed.
    #[error("{}", crate::migrate::describe(.0))]
    Statement(#[from] tokio_postgres::Error),
    /// The login for requests would not be held to its tenant.
    #[error("{0}")]
    Unsafe(String),
    /// Encryption does not do what it must.
    #[error("the encryption self-test failed: {0}")]
    SelfTest(String),
}

impl Db {
    /// Checks keys, logins and encryption, and gets ready to serve.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        owner: &Owner,
        database: &DatabaseConfig,
        security: &SecurityConfig,
        keyring: &Keyring,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let client = owner.connect().await?;
        let remembered: Vec<String> = client
            .query_one("SELECT key_fingerprints FROM installation", &[])
            .await?
            .get(0);
        keyring.check(&remembered)?;
        secrets::self_test(&client, keyring).await?;
        let peppers = owner
            .system(async |tx| secrets::load_peppers(tx, keyring).await)
            .await?;

        let connector = Arc::new(app_connector(&client, owner, database, keyring).await?);
        Ok(Self {
            shared: Arc::new(Shared {
                statement_timeout: database.statement_timeout,
                clock,
                passwords: Passwords::new(
                    peppers,
                    i32::from(security.bcrypt_cost),
                    security.password_hash_concurrency,
                ),
                verified_keys: Cache::builder().max_capacity(10_000).time_to_live(MINUTE).build(),
                touched: Cache::builder()
                    .max_capacity(100_000)
                    .time_to_live(MINUTE)
                    .build(),
            }),
            connector,
            settings: PoolSettings {
                size: database.pool_size,
                acquire_timeout: database.acquire_timeout,
                connection_lifetime: database.connection_lifetime,
            },
        })
    }

    /// A pool for one of `workers` workers, to be built and used on that worker's runtime.
    ///
    /// `DATABASE_POOL_SIZE` is the whole process's: it is split, and every worker gets at least one.
    pub fn pool(&self, workers: usize) -> Pool {
        let workers = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
        let settings = PoolSettings {
            size: (self.settings.size / workers).max(1),
            ..self.settings
        };
        Pool {
            shared: Arc::clone(&self.shared),
            connections: pool::build(Arc::clone(&self.connector), settings),
        }
    }

    /// Where requests are served from, without the password.
    pub fn address(&self) -> String {
        self.connector.address().to_string()
    }
}

/// How connections are opened, out of the configuration.
pub fn connect_options(database: &DatabaseConfig, application_name: &str) -> ConnectOptions {
    ConnectOptions {
        connect_timeout: database.connect_timeout,
        application_name: Some(application_name.to_owned()),
        ..ConnectOptions::default()
    }
}

/// The connector for requests: as the login that the operator gave, or as one of our own making.
async fn app_connector(
    client: &Client,
    owner: &Owner,
    database: &DatabaseConfig,
    keyring: &Keyring,
) -> Result<Connector, OpenError> {
    let options = connect_options(database, "plinth-api");
    let given = match (&database.address, &database.direct) {
        (Some(app), Some(_)) if app.user != owner.address().user => Some(app),
        _ => None,
    };
    let address = match given {
        Some(given) => {
            let member: bool = client
                .query_one("SELECT pg_has_role($1, 'plinth_app', 'MEMBER')", &[&given.user])
                .await?
                .get(0);
            if !member {
                client
                    .batch_execute(&format!("GRANT plinth_app TO {}", quoted(&given.user)))
                    .await?;
            }
            given.clone()
        }
        None => {
            let mut address = database
                .address
                .clone()
                .unwrap_or_else(|| owner.address().clone());
            address.user = login_name(&owner.address().database);
            let password = keyring.derive_password(&format!("login {}", address.user));
            address.password = Some(password.clone());
            ensure_login(client, owner.address(), &address.user, &password, database).await?;
            address
        }
    };
    let connector = Connector::new(&address, options)?;
    check_app_login(&connector).await?;
    Ok(connector)
}

/// `plinth_app_<database>`: roles are global to a server, which may serve several installations.
fn login_name(database: &str) -> String {
    let name = format!("plinth_app_{database}");
    if name.len() <= 63 {
        return name;
    }
    // PostgreSQL would cut the name, and two of them could meet.
    let digest = hex::encode(TokenHash::of(database).as_bytes());
    format!("plinth_app_{}", digest.chars().take(32).collect::<String>())
}

/// Makes the login, or brings it up to date; says nothing when it fits already.
async fn ensure_login(
    client: &Client,
    owner: &DatabaseAddress,
    login: &str,
    password: &SecretString,
    database: &DatabaseConfig,
) -> Result<(), OpenError> {
    let idle = format!(
        "idle_in_transaction_session_timeout={}",
        database.idle_in_transaction_timeout.as_millis()
    );
    let fits: bool = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_roles r JOIN pg_db_role_setting s ON s.setrole = r.oid
                             WHERE r.rolname = $1 AND r.rolcanlogin AND $2 = ANY (s.setconfig)
                               AND shobj_description(r.oid, 'pg_authid') = $3
                               AND pg_has_role(r.oid, 'plinth_app', 'MEMBER')
                               AND has_database_privilege(r.oid, current_database(), 'CONNECT'))",
            &[&login, &idle, &login_stamp(password)],
        )
        .await?
        .get(0);
    if fits {
        return Ok(());
    }
    // The server gets a SCRAM verifier: statements may be logged, and this one holds no password.
    let verifier = postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes());
    let (role, dbname) = (quoted(login), quoted(&owner.database));
    let sql = format!(
        "DO $do$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $do$;
         ALTER ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{verifier}';
         ALTER ROLE {role} SET idle_in_transaction_session_timeout = {};
         ALTER ROLE {role} SET log_parameter_max_length_on_error = 0;
         GRANT plinth_app TO {role};
         GRANT CONNECT ON DATABASE {dbname} TO {role};
         REVOKE CONNECT, TEMPORARY ON DATABASE {dbname} FROM PUBLIC;
         COMMENT ON ROLE {role} IS '{}';",
        database.idle_in_transaction_timeout.as_millis(),
        login_stamp(password),
    );
    // Replicas that start together do this one after the other: two at once meet in "tuple concurrently updated".
    client
        .batch_execute("BEGIN; SELECT pg_advisory_xact_lock(hashtext('plinth_app_login'))")
        .await?;
    client.batch_execute(&sql).await?;
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// Says with which password the login was made, telling nothing of it.
fn login_stamp(password: &SecretString) -> String {
    let digest = hex::encode(TokenHash::of(password.expose_secret()).as_bytes());
    format!(
        "login of the Plinth API, password {}",
        digest.chars().take(8).collect::<String>()
    )
}

/// Row level security must hold the login: not a superuser, no BYPASSRLS, not the owner of a table, not the system.
async fn check_app_login(connector: &Connector) -> Result<(), OpenError> {
    let connected = connector.connect().await?;
    tokio::spawn(connected.driver);
    let row = connected
        .client
        .query_one(
            "SELECT r.rolsuper, r.rolbypassrls, pg_has_role(r.oid, 'plinth_system', 'MEMBER'),
                    EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid AND c.relnamespace = 'public'::regnamespace)
               FROM pg_roles r WHERE r.rolname = current_user",
            &[],
        )
        .await?;
    let faults = [
        "is a superuser",
        "has BYPASSRLS",
        "is a member of plinth_system",
        "owns tables of Plinth",
    ];
    for (index, fault) in faults.into_iter().enumerate() {
        if row.get::<_, bool>(index) {
            return Err(OpenError::Unsafe(format!(
                "the login {} {fault}, so that row level security would not hold it to its domain; give the API a \
                 login of its own (DATABASE_URL) and the owner's in DATABASE_DIRECT_URL, or let Plinth make the login \
                 by giving the owner's alone",
                connector.address().user
            )));
        }
    }
    Ok(())
}

/// An identifier in double quotes.
fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
