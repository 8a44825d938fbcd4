//! The process's view of its database: checked once at start, then shared by every worker's pool.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use app_config::{DatabaseConfig, SecurityConfig};
use job_queue::Notifier;
use moka::sync::Cache;
use pg_connect::{ConnectError, ConnectOptions, Connector};

use crate::access::VerifiedKey;
use crate::clock::Clock;
use crate::jobs;
use crate::login::{self, AppLogin};
use crate::owner::Owner;
use crate::pool::{self, ConnectionFailure, PoolSettings};
use crate::secrets::keyring::{Keyring, KeyringError};
use crate::secrets::keys::remember_newest;
use crate::secrets::password::Passwords;
use crate::secrets::token::TokenHash;
use crate::setup::secrets;
use crate::tx::Pool;
use pg_connect::connection_lost;

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
    /// What transactions send first where the login is not the API's own: the role that policies hold, and the limit that
    /// the login of its own has as its default.
    pub(crate) takes_on: Option<String>,
    pub(crate) clock: Clock,
    pub(crate) passwords: Passwords,
    /// API keys that `crypt()` has confirmed within the last minute.
    pub(crate) verified_keys: Cache<TokenHash, VerifiedKey>,
    /// Credentials whose last use was written within the last minute.
    pub(crate) touched: Cache<TokenHash, ()>,
    /// Tells workers of jobs that were committed; until it is started, they find them by polling.
    pub(crate) notifier: OnceLock<Notifier>,
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
    /// A statement failed.
    #[error("{}", pg_connect::describe(.0))]
    Statement(#[from] tokio_postgres::Error),
    /// The pooler before the database is one that cannot be worked with.
    #[error("{0}")]
    Pooler(String),
    /// The login for requests would not be held to its tenant.
    #[error("{0}")]
    Unsafe(String),
    /// Encryption does not do what it must.
    #[error("the encryption self-test failed: {0}")]
    SelfTest(String),
}

impl OpenError {
    /// Whether waiting may help: the database is away.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(error) | Self::Pool(ConnectionFailure::Connect(error)) => error.is_transient(),
            Self::Statement(error) => connection_lost(error),
            _ => false,
        }
    }
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
        // From here on values may be encrypted with it.
        remember_newest(&client, keyring).await?;
        let (peppers, login_secret) = owner
            .system(async |tx| {
                let peppers = secrets::load_peppers(tx, keyring).await?;
                Ok::<_, OpenError>((peppers, secrets::login_secret(tx, keyring).await?))
            })
            .await?;

        let AppLogin {
            connector,
            takes_on_role,
        } = login::find(&client, owner, database, &login_secret).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                statement_timeout: database.statement_timeout,
                takes_on: takes_on_role.then(|| {
                    format!(
                        "SET LOCAL ROLE plinth_app;SET LOCAL idle_in_transaction_session_timeout = {};",
                        database.idle_in_transaction_timeout.as_millis()
                    )
                }),
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
                notifier: OnceLock::new(),
            }),
            connector: Arc::new(connector),
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

    /// A pool of a size of its own, for the handlers of jobs.
    pub(crate) fn pool_of(&self, size: u32) -> Pool {
        Pool {
            shared: Arc::clone(&self.shared),
            connections: pool::build(
                Arc::clone(&self.connector),
                PoolSettings {
                    size,
                    ..self.settings
                },
            ),
        }
    }

    /// From now on tells workers when a transaction of this process has enqueued jobs, on a connection of the owner's. Its task runs
    /// on the current runtime.
    pub fn start_notifier(&self, owner: &Owner) {
        self.shared
            .notifier
            .get_or_init(|| Notifier::start(&jobs::connector(owner)));
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    pub(crate) fn notifier(&self) -> Option<&Notifier> {
        self.shared.notifier.get()
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
