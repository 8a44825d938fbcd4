//! Connections: opened by the caller's closure, prepared and kept here.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Row};

use crate::error::{BoxError, Error};

type Driver = Pin<Box<dyn Stream<Item = Result<AsyncMessage, tokio_postgres::Error>> + Send>>;

/// An open connection: the half that asks, and the half that talks to the socket.
pub struct Connection {
    client: Client,
    driver: Driver,
}

impl Connection {
    /// Takes what `tokio_postgres` returned.
    pub fn new<S, T>(client: Client, mut connection: tokio_postgres::Connection<S, T>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let driver = stream::poll_fn(move |context| connection.poll_message(context));
        Self {
            client,
            driver: Box::pin(driver),
        }
    }
}

/// Opens connections.
///
/// They are to be direct, or through a pooler in session mode: the worker listens on one of them and sets a few planner settings
/// on all; or see [`Connector::pooled`]. They must see the jobs of every domain; a login held by row level security sees none and
/// does nothing.
#[derive(Clone)]
pub struct Connector {
    open: Arc<dyn Fn() -> BoxFuture<'static, Result<Connection, BoxError>> + Send + Sync>,
    pooled: Option<Arc<str>>,
}

impl Connector {
    /// From a closure that opens one connection.
    pub fn new<F, O>(open: F) -> Self
    where
        F: Fn() -> O + Send + Sync + 'static,
        O: Future<Output = Result<Connection, BoxError>> + Send + 'static,
    {
        Self {
            open: Arc::new(move || Box::pin(open())),
            pooled: None,
        }
    }

    /// Through a pooler that gives away the server connection after each transaction. Nothing is set but within a transaction, which
    /// begins with `local` (`SET LOCAL ROLE …`), nobody listens, and every statement costs two waits more: jobs are found by polling.
    #[must_use]
    pub fn pooled(mut self, local: &str) -> Self {
        let settings = SETTINGS.replace("SET ", "SET LOCAL ");
        self.pooled = Some(Arc::from(format!("BEGIN; {local}; {settings}")));
        self
    }

    /// Without TLS, from an address as `tokio_postgres` reads it; for tests and for Unix sockets.
    #[must_use]
    pub fn plain(config: tokio_postgres::Config) -> Self {
        Self::new(move || {
            let config = config.clone();
            async move {
                let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
                Ok(Connection::new(client, connection))
            }
        })
    }

    pub(crate) async fn open(&self) -> Result<Connection, Error> {
        let open = tokio::time::timeout(OPEN_TIMEOUT, (self.open)());
        open.await
            .map_err(|_elapsed| Error::Timeout(OPEN_TIMEOUT))?
            .map_err(Error::Connect)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// The statements are few and known, and the tables change their size by the second, so that statistics are always old: a
/// plan by index is right whatever they say.
const SETTINGS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; SET enable_hashjoin = off; \
                        SET enable_mergejoin = off; SET jit = off; \
                        SET plan_cache_mode = force_generic_plan; SET default_transaction_isolation = 'read committed'; \
                        SET idle_in_transaction_session_timeout = '60s'; SET lock_timeout = '2s'";

/// One connection for one task, opened when first used and again after it broke.
pub(crate) struct Line {
    connector: Connector,
    timeout: Duration,
    settings: &'static str,
    live: Option<Live>,
    /// Within a transaction of the caller's.
    inside: bool,
}

struct Live {
    client: Client,
    prepared: HashMap<&'static str, tokio_postgres::Statement>,
}

impl Line {
    pub(crate) fn new(connector: &Connector, timeout: Duration) -> Self {
        Self {
            connector: connector.clone(),
            timeout,
            settings: "",
            live: None,
            inside: false,
        }
    }

    /// One that waits for nobody's lock for long.
    pub(crate) fn impatient(connector: &Connector, timeout: Duration) -> Self {
        Self {
            settings: "SET lock_timeout = '200ms'",
            ..Self::new(connector, timeout)
        }
    }

    /// Runs a statement, prepared at its first use.
    pub(crate) async fn query(
        &mut self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let result = tokio::time::timeout(self.timeout, self.try_query(sql, params)).await;
        let result = result.unwrap_or(Err(Error::Timeout(self.timeout)));
        self.forget_if_broken(&result);
        result
    }

    /// Runs a statement that returns no rows; how many it changed.
    pub(crate) async fn execute(
        &mut self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        let timeout = self.timeout;
        let attempt = async {
            let alone = self.begin_where_pooled().await?;
            let (client, statement) = self.prepared(sql).await?;
            let result = client.execute(&statement, params).await;
            Ok(end_where_pooled(client, alone, result).await?)
        };
        let result = tokio::time::timeout(timeout, attempt)
            .await
            .unwrap_or(Err(Error::Timeout(timeout)));
        self.forget_if_broken(&result);
        result
    }

    /// Runs statements one after the other in one transaction.
    pub(crate) async fn transaction<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Held<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let timeout = self.timeout;
        let attempt = async {
            if !self.begin_where_pooled().await? {
                self.query("BEGIN", &[]).await?;
            }
            self.inside = true;
            let value = work(&mut Held(self)).await?;
            Held(self).query("COMMIT", &[]).await?;
            Ok(value)
        };
        let ended = tokio::time::timeout(timeout, attempt).await;
        self.inside = false;
        match ended {
            Ok(Ok(value)) => Ok(value),
            // However it ended, the next one begins on a connection that is in no transaction.
            Ok(Err(error)) => {
                self.live = None;
                Err(error)
            }
            Err(_elapsed) => {
                self.live = None;
                Err(Error::Timeout(timeout))
            }
        }
    }

    async fn try_query(
        &mut self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let alone = self.begin_where_pooled().await?;
        let (client, statement) = self.prepared(sql).await?;
        let result = client.query(&statement, params).await;
        Ok(end_where_pooled(client, alone, result).await?)
    }

    /// Where a pooler gives connections away, a statement has to be in a transaction for what it needs to be set. Whether one began.
    async fn begin_where_pooled(&mut self) -> Result<bool, Error> {
        let Some(begin) = self.connector.pooled.clone() else {
            return Ok(false);
        };
        if self.inside {
            return Ok(false);
        }
        let local = self.settings.replace("SET ", "SET LOCAL ");
        let live = self.live().await?;
        live.client.batch_execute(&format!("{begin}; {local}")).await?;
        Ok(true)
    }

    async fn prepared(&mut self, sql: &'static str) -> Result<(&Client, tokio_postgres::Statement), Error> {
        let live = self.live().await?;
        let statement = match live.prepared.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let statement = live.client.prepare(sql).await?;
                live.prepared.insert(sql, statement.clone());
                statement
            }
        };
        Ok((&live.client, statement))
    }

    async fn live(&mut self) -> Result<&mut Live, Error> {
        if let Some(live) = self.live.take() {
            return Ok(self.live.insert(live));
        }
        let Connection { client, mut driver } = self.connector.open().await?;
        tokio::spawn(async move { while let Some(Ok(_)) = driver.next().await {} });
        if self.connector.pooled.is_none() {
            client.batch_execute(SETTINGS).await?;
            client.batch_execute(self.settings).await?;
        }
        Ok(self.live.insert(Live {
            client,
            prepared: HashMap::new(),
        }))
    }

    fn forget_if_broken<T>(&mut self, result: &Result<T, Error>) {
        let broken = match result {
            Ok(_) => false,
            Err(Error::Database(error)) => {
                error.as_db_error().is_none() || self.live.as_ref().is_none_or(|live| live.client.is_closed())
            }
            Err(_) => true,
        };
        // Pooled, it may have failed between the beginning of its transaction and the end.
        if broken || (result.is_err() && self.connector.pooled.is_some()) {
            self.live = None;
        }
    }
}

/// Ends the transaction of a statement that had to have one of its own. A failed one is over, whatever the rollback says.
async fn end_where_pooled<T>(
    client: &Client,
    alone: bool,
    result: Result<T, tokio_postgres::Error>,
) -> Result<T, tokio_postgres::Error> {
    if !alone {
        return result;
    }
    match result {
        Ok(value) => client.batch_execute("COMMIT").await.map(|()| value),
        Err(error) => {
            let _ = client.batch_execute("ROLLBACK").await;
            Err(error)
        }
    }
}

/// A [`Line`] inside of a transaction.
pub(crate) struct Held<'a>(&'a mut Line);

impl Held<'_> {
    pub(crate) async fn query(
        &mut self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        // A new connection would run the rest outside of the transaction.
        if self.0.live.is_none() {
            return Err(Error::Connect(
                "the connection broke inside of a transaction".into(),
            ));
        }
        self.0.query(sql, params).await
    }
}

impl crate::statement::Executor for Held<'_> {
    async fn ids(&mut self, statement: crate::Statement) -> Result<Vec<uuid::Uuid>, BoxError> {
        let params: Vec<_> = statement.params.iter().map(|param| param.as_sql().0).collect();
        let rows = self.query(statement.sql, &params).await?;
        rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
    }
}

/// A connection for notifications, which may go through a pooler: it sets nothing and prepares nothing, since both would be left behind
/// on a server connection that belongs to others the next moment.
pub(crate) struct Speaker {
    connector: Connector,
    timeout: Duration,
    live: Option<Client>,
}

impl Speaker {
    pub(crate) fn new(connector: &Connector, timeout: Duration) -> Self {
        Self {
            connector: connector.clone(),
            timeout,
            live: None,
        }
    }

    pub(crate) async fn say(&mut self, channel: &str, payloads: &[String]) -> Result<(), Error> {
        let said = tokio::time::timeout(self.timeout, self.try_say(channel, payloads)).await;
        let said = said.unwrap_or(Err(Error::Timeout(self.timeout)));
        if said.is_err() {
            self.live = None;
        }
        said
    }

    async fn try_say(&mut self, channel: &str, payloads: &[String]) -> Result<(), Error> {
        let client = match self.live.take() {
            Some(client) => self.live.insert(client),
            None => {
                let Connection { client, mut driver } = self.connector.open().await?;
                tokio::spawn(async move { while let Some(Ok(_)) = driver.next().await {} });
                self.live.insert(client)
            }
        };
        client
            .query_typed(
                "SELECT pg_notify($1, payload) FROM unnest($2) AS payload",
                &[(&channel, Type::TEXT), (&payloads, Type::TEXT_ARRAY)],
            )
            .await?;
        Ok(())
    }
}

/// Listens on a connection of its own and hands each payload to `heard`; `heard(None)` when it begins, since what was said
/// before went unheard. Returns when the connection breaks.
pub(crate) async fn listen(
    connector: &Connector,
    channel: &str,
    mut heard: impl FnMut(Option<&str>) + Send,
) -> Result<(), Error> {
    if connector.pooled.is_some() {
        // Whom it is told would be whoever has the connection by then.
        heard(None);
        return std::future::pending().await;
    }
    let Connection { client, mut driver } = connector.open().await?;
    let command = format!("LISTEN {channel}");
    let mut listening = Box::pin(client.batch_execute(&command));
    let mut begun = false;
    loop {
        // The driver has to be polled for the command to be answered, and holds the notifications.
        tokio::select! {
            message = driver.next() => match message {
                Some(Ok(AsyncMessage::Notification(note))) => heard(Some(note.payload())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            },
            result = &mut listening, if !begun => {
                result?;
                begun = true;
                heard(None);
            }
        }
    }
}
