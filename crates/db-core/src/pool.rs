//! Connections as the app role. The pool is private to this crate: the way to a connection is a tenant transaction.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bb8::PooledConnection;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::PoolableConnection as _;
use pg_connect::Connector;

use crate::error::{Error, Result};

/// How long after a failed attempt to connect the next one is made.
const PAUSE: Duration = Duration::from_millis(200);

/// Opens and judges the connections of a pool.
#[derive(Debug)]
pub(crate) struct Manager {
    connector: Arc<Connector>,
    away: Away,
}

/// Since when the database has not let anybody in; `None` while it does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Away(Arc<Mutex<Option<Instant>>>);

impl Away {
    fn set(&self, away: bool) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *since = away.then(|| since.unwrap_or_else(Instant::now));
    }

    /// How long a connection is worth waiting for: the whole limit through a restart, and hardly at all in an outage that has
    /// lasted longer. Requests would only pile up behind one another.
    fn patience(&self, limit: Duration) -> Duration {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match since {
            Some(since) if since.elapsed() > limit => limit.min(PAUSE * 2),
            _ => limit,
        }
    }
}

impl Manager {
    pub(crate) fn new(connector: Arc<Connector>, away: Away) -> Self {
        Self { connector, away }
    }
}

/// Why a connection cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionFailure {
    /// It could not be opened.
    #[error(transparent)]
    Connect(#[from] pg_connect::ConnectError),
    /// It was opened, but not by a server or pooler that we can work with.
    #[error("{0}{advice}", advice = pooler_advice(.0))]
    Setup(diesel::ConnectionError),
    /// It was lost while it lay idle.
    #[error("the connection was lost")]
    Lost,
}

/// PgBouncer before 1.21, or without `max_prepared_statements`, loses named statements between transactions.
fn pooler_advice(error: &diesel::ConnectionError) -> &'static str {
    let message = error.to_string();
    if message.contains("prepared statement") {
        "; is this PgBouncer in transaction mode? It must be 1.21 or newer with max_prepared_statements = 200"
    } else {
        ""
    }
}

/// Opens a connection and sets it up; its driver runs on the runtime of the caller.
pub(crate) async fn open(connector: &Connector) -> Result<AsyncPgConnection, ConnectionFailure> {
    AsyncPgConnection::try_from(connector.client().await?)
        .await
        .map_err(ConnectionFailure::Setup)
}

impl bb8::ManageConnection for Manager {
    type Connection = AsyncPgConnection;
    type Error = ConnectionFailure;

    /// Asks again for as long as the database is away, so that a connection is there as soon as it is back. Who waits for one
    /// gives up after the pool's time limit.
    async fn connect(&self) -> Result<AsyncPgConnection, ConnectionFailure> {
        let mut failures: u32 = 0;
        loop {
            match open(&self.connector).await {
                Err(ConnectionFailure::Connect(error)) if error.is_transient() => {
                    self.away.set(true);
                    failures += 1;
                    // The first, second, fourth, …: an outage is to be seen in the log, not to fill it.
                    if failures.is_power_of_two() {
                        note_failure(&error);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                result => {
                    self.away.set(false);
                    return result;
                }
            }
        }
    }

    /// Without a round trip: only asks whether the socket is known to be closed.
    async fn is_valid(&self, conn: &mut AsyncPgConnection) -> Result<(), ConnectionFailure> {
        if conn.is_broken() {
            Err(ConnectionFailure::Lost)
        } else {
            Ok(())
        }
    }

    fn has_broken(&self, conn: &mut AsyncPgConnection) -> bool {
        std::thread::panicking() || conn.is_broken()
    }
}

fn note_failure(error: &dyn std::fmt::Display) {
    metrics::counter!("plinth_database_connection_failures_total").increment(1);
    tracing::warn!(%error, "no database connection");
}

/// bb8 answers a failure to connect with a time-out that says nothing: the cause goes to the log here.
#[derive(Clone, Debug)]
struct LogFailures;

impl bb8::ErrorSink<ConnectionFailure> for LogFailures {
    fn sink(&self, error: ConnectionFailure) {
        note_failure(&error);
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<ConnectionFailure>> {
        Box::new(self.clone())
    }
}

/// How a pool behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolSettings {
    pub(crate) size: u32,
    pub(crate) acquire_timeout: Duration,
    pub(crate) connection_lifetime: Duration,
}

/// A pool that opens its connections when they are wanted, on the runtime of the task that wants them.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    pool: bb8::Pool<Manager>,
    limit: Duration,
    away: Away,
}

impl Connections {
    /// A connection, in time.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) async fn get(&self) -> Result<PooledConnection<'_, Manager>> {
        tokio::time::timeout(self.away.patience(self.limit), self.pool.get())
            .await
            .unwrap_or(Err(bb8::RunError::TimedOut))
            .map_err(Error::from)
    }
}

/// See [`Connections`].
pub(crate) fn build(connector: Arc<Connector>, settings: PoolSettings) -> Connections {
    let away = Away::default();
    let pool = bb8::Pool::builder()
        .max_size(settings.size.max(1))
        .connection_timeout(settings.acquire_timeout)
        .max_lifetime(Some(settings.connection_lifetime))
        .test_on_check_out(true)
        // The manager does so itself: bb8's growing pauses would outlast the outage by seconds.
        .retry_connection(false)
        .error_sink(Box::new(LogFailures))
        .build_unchecked(Manager::new(connector, away.clone()));
    Connections {
        pool,
        limit: settings.acquire_timeout,
        away,
    }
}

impl From<bb8::RunError<ConnectionFailure>> for Error {
    fn from(error: bb8::RunError<ConnectionFailure>) -> Self {
        match error {
            bb8::RunError::User(failure) => Self::Unavailable(failure.to_string()),
            bb8::RunError::TimedOut => Self::Unavailable("no free connection in time".to_owned()),
        }
    }
}
