//! The owner of the database: migrates, makes extensions and roles, and acts for the installation as `plinth_system`.
//!
//! The API never works as the owner; it opens one connection at a time here, at start and for setup.

use std::sync::Arc;
use std::time::{Duration, Instant};

use app_config::{DatabaseAddress, DatabaseConfig};
use pg_connect::{ConnectError, ConnectOptions, Connector};
use tokio_postgres::Client;

use crate::db::connect_options;
use crate::migrate::describe;

/// How long after a failed attempt to connect the next one is made.
const PAUSE: Duration = Duration::from_millis(250);

/// Why a configuration gives no owner.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// No address is configured.
    #[error("no database is configured: set DATABASE_URL")]
    NotConfigured,
    /// The certificates do not suffice for the SSL mode.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// Why work as `plinth_system` failed, where nothing more can be said of it. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// The database cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A statement failed.
    #[error("{}", describe(.0))]
    Statement(#[from] tokio_postgres::Error),
}

/// Opens direct connections as the owner.
#[derive(Clone, Debug)]
pub struct Owner {
    connector: Arc<Connector>,
}

/// Proof of acting as `plinth_system`, which sees every domain, inside a transaction.
pub struct SystemTx<'a> {
    client: &'a Client,
}

impl SystemTx<'_> {
    pub(crate) fn client(&self) -> &Client {
        self.client
    }
}

impl Owner {
    /// Reads the certificate files; connects to nothing yet.
    ///
    /// # Errors
    /// A certificate that is missing or does not suffice for the SSL mode.
    pub fn new(address: &DatabaseAddress, options: ConnectOptions) -> Result<Self, ConnectError> {
        Ok(Self {
            connector: Arc::new(Connector::new(address, options)?),
        })
    }

    /// The owner of the configured database, under the name that `pg_stat_activity` is to show.
    ///
    /// # Errors
    /// No database is configured, or as [`Self::new`].
    pub fn from_config(database: &DatabaseConfig, application_name: &str) -> Result<Self, OwnerError> {
        let address = database.owner_address().ok_or(OwnerError::NotConfigured)?;
        Ok(Self::new(address, connect_options(database, application_name))?)
    }

    /// Waits until the database lets the owner in, for at most `patience`; asks at least once.
    ///
    /// # Errors
    /// It still does not, or refuses in a way that waiting does not mend.
    pub async fn reachable(&self, patience: Duration) -> Result<(), ConnectError> {
        let started = Instant::now();
        loop {
            match self.connect().await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_transient() && started.elapsed() + PAUSE < patience => {
                    tracing::debug!(%error, "the database is away; asking again");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Where the owner connects to.
    pub fn address(&self) -> &DatabaseAddress {
        self.connector.address()
    }

    /// A new connection, driven on the current runtime until the client is dropped.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub(crate) async fn connect(&self) -> Result<Client, ConnectError> {
        let connected = self.connector.connect().await?;
        tokio::spawn(async move {
            if let Err(error) = connected.driver.await {
                tracing::debug!(%error, "owner's database connection ended");
            }
        });
        Ok(connected.client)
    }

    /// Runs a transaction as `plinth_system`. It is rolled back when the closure fails or its future is dropped.
    ///
    /// # Errors
    /// The server cannot be reached, the owner may not act as `plinth_system`, or the closure's error.
    pub async fn system<T, E>(&self, closure: impl AsyncFnOnce(&SystemTx<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<ConnectError> + From<tokio_postgres::Error>,
    {
        // The connection is this transaction's own: dropping it is the rollback.
        let client = self.connect().await?;
        client
            .batch_execute("BEGIN; SET LOCAL ROLE plinth_system")
            .await?;
        let value = closure(&SystemTx { client: &client }).await?;
        client.batch_execute("COMMIT").await?;
        Ok(value)
    }
}
