//! The owner of the database: migrates, makes extensions and roles, and acts for the installation as `plinth_system`.
//!
//! The API never works as the owner; it opens one connection at a time here, at start and for setup.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use app_config::{DatabaseAddress, DatabaseConfig};
use pg_connect::{ConnectError, ConnectOptions, Connected, Connector};
use tokio_postgres::Client;

use crate::db::connect_options;
use pg_connect::describe;

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
    /// A job could not be enqueued, or a schedule not be written.
    #[error(transparent)]
    Job(#[from] job_queue::Error),
}

/// Opens direct connections as the owner.
#[derive(Clone, Debug)]
pub struct Owner {
    connector: Connector,
}

/// Proof of acting as `plinth_system`, which sees every domain, inside a transaction.
pub struct SystemTx<'a> {
    client: &'a Client,
    /// Queues that were given jobs.
    woken: Mutex<BTreeSet<String>>,
}

impl From<Connector> for Owner {
    fn from(connector: Connector) -> Self {
        Self { connector }
    }
}

impl SystemTx<'_> {
    pub(crate) fn client(&self) -> &Client {
        self.client
    }

    /// A queue was given jobs: its workers are told after the commit.
    pub(crate) fn wake(&self, queue: &str) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        woken.insert(queue.to_owned());
    }
}

impl Owner {
    /// Reads the certificate files; connects to nothing yet.
    ///
    /// # Errors
    /// A certificate that is missing or does not suffice for the SSL mode.
    pub fn new(address: &DatabaseAddress, options: ConnectOptions) -> Result<Self, ConnectError> {
        Ok(Self {
            connector: Connector::new(address, options)?,
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

    /// What opens the owner's connections; migrations take it.
    pub fn connector(&self) -> &Connector {
        &self.connector
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
        self.connector.client().await
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
        let tx = SystemTx {
            client: &client,
            woken: Mutex::default(),
        };
        let value = closure(&tx).await?;
        client.batch_execute("COMMIT").await?;
        let woken = tx.woken.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !woken.is_empty()
            && let Err(error) = job_queue::notify(&client, woken).await
        {
            tracing::debug!(%error, "workers were not told of new jobs; they will find them at their next poll");
        }
        Ok(value)
    }

    /// Whether a pooler stands before the database that gives a client's server connection away with each transaction. Told by two
    /// clients: one asks which server process it has, then the other, within a transaction, takes the one that was used last; and
    /// the first is asked again. A process that both have had, or a first client that has had two, is a pooler's doing. With so many
    /// others about that neither shows in several rounds, it is not found out.
    pub(crate) async fn is_pooled(&self) -> Result<bool, SystemError> {
        const ROUNDS: usize = 5;
        const PID: &str = "SELECT pg_backend_pid()";
        let (asking, sitting) = (self.connect().await?, self.connect().await?);
        let pid = async |client: &Client| {
            // A pooler has only brought prepared statements along since 1.21.
            let rows = client.query_typed(PID, &[]).await?;
            Ok::<i32, tokio_postgres::Error>(rows.first().map_or(0, |row| row.get(0)))
        };
        let first = pid(&asking).await?;
        for _ in 0..ROUNDS {
            let before = pid(&asking).await?;
            sitting.batch_execute("BEGIN").await?;
            let sat = pid(&sitting).await?;
            // A pool of one connection would let it wait.
            let after = if sat == before {
                before
            } else {
                pid(&asking).await?
            };
            sitting.batch_execute("ROLLBACK").await?;
            if sat == before || before != first || after != first {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A connection on which nothing is set.
    pub(crate) async fn plain_connection(
        &self,
    ) -> Result<job_queue::Connection, Box<dyn std::error::Error + Send + Sync>> {
        let Connected { client, driver, .. } = self.connector.connect().await?;
        Ok(job_queue::Connection::new(client, driver))
    }

    /// A connection that acts as `plinth_system` for as long as it lives: for the queue's own work, which listens and prepares.
    pub(crate) async fn system_connection(
        &self,
    ) -> Result<job_queue::Connection, Box<dyn std::error::Error + Send + Sync>> {
        let Connected {
            client, mut driver, ..
        } = self.connector.connect().await?;
        let mut taken_on = Box::pin(client.batch_execute("SET ROLE plinth_system"));
        // The driver is not spawned, since the queue wants to hear its notifications; so it is driven here for once.
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = taken_on.as_mut().poll(cx) {
                    return Poll::Ready(result.map_err(Into::into));
                }
                match driver.poll_message(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error.into())),
                    Poll::Ready(None) => {
                        return Poll::Ready(Err::<(), Box<dyn std::error::Error + Send + Sync>>(
                            "the connection was closed".into(),
                        ));
                    }
                }
            }
        })
        .await?;
        drop(taken_on);
        Ok(job_queue::Connection::new(client, driver))
    }
}
