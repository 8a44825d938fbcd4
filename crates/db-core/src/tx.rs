//! Tenant transactions: the one way to tenant data.
//!
//! The first message carries `BEGIN` and the call of `enter()`, which checks credential and permission and sets the
//! domain; the statements of the closure follow without waiting for its answer. If `enter()` refuses, they fail in the
//! aborted transaction and its refusal is the result. A read sends `COMMIT` without waiting for the answer: it costs one
//! wait. A write sends its last activity row and `COMMIT` together. A read of one statement ([`Pool::read_once`]) sends
//! all three at once.
//!
//! A connection counts as broken from the first message to the last, so that a dropped future never returns it to the
//! pool inside of another tenant's transaction.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::connection::TransactionManagerStatus;
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection as _, TransactionManager as _,
};
use futures_util::FutureExt as _;
use futures_util::future::join;
use uuid::Uuid;

use crate::access::{Access, Origin};
use crate::cached::Commit;
use crate::clock::Clock;
use crate::db::Shared;
use crate::error::{Error, Result};
use crate::models::activity::{Activity, ActivityRow};
use crate::pool::Connections;
use crate::single_statement::{self, SingleStatement};

/// How often a transaction is tried: a second time after a lost connection, serialization failure or deadlock, and once
/// more.
const ATTEMPTS: u32 = 3;

/// The pool of one worker. Its connections live on the runtime that uses them.
#[derive(Clone, Debug)]
pub struct Pool {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connections: Connections,
}

/// Proof of being inside a tenant transaction; what queries take.
pub struct Tx<'a> {
    conn: &'a AsyncPgConnection,
    clock: &'a Clock,
}

impl<'a> Tx<'a> {
    /// The connection, for a query: `query.load(&mut tx.conn())`.
    pub(crate) fn conn(&self) -> &'a AsyncPgConnection {
        self.conn
    }

    /// A new id for a row.
    pub fn new_id<Id: From<Uuid>>(&self) -> Id {
        self.clock.id()
    }
}

/// Proof of being inside a tenant transaction that may write; what changes take.
pub struct WriteTx<'a> {
    tx: Tx<'a>,
    origin: &'a Origin,
    activity: RefCell<Vec<Activity>>,
    unchanged: Cell<bool>,
    /// Queues that were given jobs.
    woken: RefCell<BTreeSet<String>>,
}

impl<'a> Deref for WriteTx<'a> {
    type Target = Tx<'a>;

    fn deref(&self) -> &Tx<'a> {
        &self.tx
    }
}

impl WriteTx<'_> {
    /// Notes what was done; the row is written with `COMMIT`. A write that notes nothing is refused.
    pub fn record(&self, activity: Activity) {
        self.activity.borrow_mut().push(activity);
    }

    /// Says that nothing was changed after all, so that there is nothing to note.
    pub fn unchanged(&self) {
        self.unchanged.set(true);
    }

    /// Where the request came from.
    pub(crate) fn origin(&self) -> &Origin {
        self.origin
    }

    /// A queue was given jobs: its workers are told after the commit.
    pub(crate) fn wake(&self, queue: &str) {
        self.woken.borrow_mut().insert(queue.to_owned());
    }
}

/// How a transaction begins.
pub(crate) struct Begin {
    pub(crate) sql: String,
    pub(crate) origin: Origin,
    /// Housekeeping, such as a session's last use, leaves no row in the activity stream.
    pub(crate) recorded: bool,
}

impl Pool {
    /// Runs a read-only tenant transaction. One wait when the closure asks one question.
    ///
    /// The closure may run again after a lost connection or a serialization failure.
    ///
    /// # Errors
    /// What `enter()` refuses, what the closure fails with, or an unavailable database.
    pub async fn read<T>(
        &self,
        name: &'static str,
        access: &Access,
        closure: impl AsyncFn(&Tx<'_>) -> Result<T>,
    ) -> Result<T> {
        let begin = access.begin_sql(true, self.shared.statement_timeout);
        self.run_read(name, &begin, closure).await
    }

    pub(crate) async fn run_read<T>(
        &self,
        name: &'static str,
        begin: &str,
        closure: impl AsyncFn(&Tx<'_>) -> Result<T>,
    ) -> Result<T> {
        self.observed(name, async || self.try_read(begin, &closure).await)
            .await
    }

    /// Runs a read-only tenant transaction of one statement: `BEGIN`, the statement and `COMMIT` leave together, so that
    /// PostgreSQL and this process wake once less than for [`read`](Self::read).
    ///
    /// The closure may run again after a lost connection or a serialization failure.
    ///
    /// # Errors
    /// What `enter()` refuses, what the closure fails with, or an unavailable database.
    pub async fn read_once<T>(
        &self,
        name: &'static str,
        access: &Access,
        closure: impl AsyncFn(SingleStatement<'_>) -> Result<T>,
    ) -> Result<T> {
        let begin = access.begin_sql(true, self.shared.statement_timeout);
        self.observed(name, async || self.try_read_once(&begin, &closure).await)
            .await
    }

    /// Runs a tenant transaction that writes. It must [`record`](WriteTx::record) what it did.
    ///
    /// The closure may run again after a lost connection, a serialization failure or a deadlock.
    ///
    /// # Errors
    /// What `enter()` refuses, what the closure fails with, or an unavailable database.
    pub async fn write<T>(
        &self,
        name: &'static str,
        access: &Access,
        closure: impl AsyncFn(&WriteTx<'_>) -> Result<T>,
    ) -> Result<T> {
        let begin = Begin {
            sql: access.begin_sql(false, self.shared.statement_timeout),
            origin: access.origin.clone(),
            recorded: true,
        };
        self.run_write(name, &begin, closure).await
    }

    pub(crate) async fn run_write<T>(
        &self,
        name: &'static str,
        begin: &Begin,
        closure: impl AsyncFn(&WriteTx<'_>) -> Result<T>,
    ) -> Result<T> {
        self.observed(name, async || self.try_write(begin, &closure).await)
            .await
    }

    /// Whether the database answers, within `limit`.
    pub async fn is_alive(&self, limit: Duration) -> bool {
        let ask = async {
            let mut conn = self.connections.get().await?;
            conn.batch_execute("SELECT").await?;
            Ok::<_, Error>(())
        };
        matches!(tokio::time::timeout(limit, ask).await, Ok(Ok(())))
    }

    /// Whether the installation is set up; asked as the app role, outside of any tenant.
    ///
    /// # Errors
    /// The database is not available.
    pub async fn is_initialized(&self) -> Result<bool> {
        let mut conn = self.connections.get().await?;
        let found =
            diesel_async::RunQueryDsl::execute(diesel::sql_query("SELECT FROM installation"), &mut *conn)
                .await?;
        Ok(found > 0)
    }

    /// Runs attempts until one succeeds or fails for good, and says in the metrics how it went.
    async fn observed<T>(&self, name: &'static str, attempt: impl AsyncFn() -> Attempt<T>) -> Result<T> {
        let started = Instant::now();
        let mut tries = 1;
        let result = loop {
            match attempt().await {
                Attempt::Done(result) => break result,
                Attempt::Again(error) if tries >= ATTEMPTS => break Err(error),
                Attempt::Again(error) => {
                    tracing::debug!(transaction = name, tries, %error, "transaction runs again");
                    metrics::counter!("plinth_transaction_retries_total", "name" => name).increment(1);
                    tries += 1;
                }
            }
        };
        let outcome = match &result {
            Ok(_) => "ok",
            Err(Error::Database(_) | Error::Internal(_) | Error::Unavailable(_) | Error::Timeout) => "error",
            Err(_) => "refused",
        };
        metrics::histogram!("plinth_transaction_seconds", "name" => name, "outcome" => outcome)
            .record(started.elapsed().as_secs_f64());
        result
    }

    /// The first message; where the login is not the API's own, it takes on the role that policies hold right after `BEGIN`.
    fn opening<'a>(&self, begin: &'a str) -> Cow<'a, str> {
        let Some(takes_on) = &self.shared.takes_on else {
            return Cow::Borrowed(begin);
        };
        let (first, rest) = begin.split_once(';').unwrap_or((begin, ""));
        Cow::Owned(format!("{first};{takes_on}{rest}"))
    }

    async fn try_read<T>(&self, begin: &str, closure: &impl AsyncFn(&Tx<'_>) -> Result<T>) -> Attempt<T> {
        let mut pooled = match self.connections.get().await {
            Ok(pooled) => pooled,
            Err(error) => return Attempt::Done(Err(error)),
        };
        mark_busy(&mut pooled);
        let conn: &AsyncPgConnection = &pooled;
        let tx = Tx {
            conn,
            clock: &self.shared.clock,
        };
        let (mut first, mut last) = (conn, conn);
        let begin = self.opening(begin);
        // join polls in order: BEGIN is on its way before the closure's first statement.
        let (entered, result) = join(first.batch_execute(&begin), closure(&tx)).await;
        let failed = entered.is_err() || result.is_err();
        let end = if failed { "ROLLBACK" } else { "COMMIT" };
        // Sent, not awaited: a read has nothing to learn from the answer.
        let _ = last.batch_execute(end).now_or_never();
        mark_idle(&mut pooled);
        Attempt::judge(entered.map_err(Error::from), result)
    }

    async fn try_read_once<T>(
        &self,
        begin: &str,
        closure: &impl AsyncFn(SingleStatement<'_>) -> Result<T>,
    ) -> Attempt<T> {
        let mut pooled = match self.connections.get().await {
            Ok(pooled) => pooled,
            Err(error) => return Attempt::Done(Err(error)),
        };
        mark_busy(&mut pooled);
        let conn: &AsyncPgConnection = &pooled;
        let begin = self.opening(begin);
        let mut first = conn;
        let (entered, result, ended) =
            single_statement::run(conn, first.batch_execute(&begin), closure).await;
        if !matches!(ended, Err(Error::Unavailable(_))) {
            mark_idle(&mut pooled);
        }
        Attempt::judge(entered.map_err(Error::from), result)
    }

    async fn try_write<T>(
        &self,
        begin: &Begin,
        closure: &impl AsyncFn(&WriteTx<'_>) -> Result<T>,
    ) -> Attempt<T> {
        let mut pooled = match self.connections.get().await {
            Ok(pooled) => pooled,
            Err(error) => return Attempt::Done(Err(error)),
        };
        mark_busy(&mut pooled);
        let conn: &AsyncPgConnection = &pooled;
        let tx = WriteTx {
            tx: Tx {
                conn,
                clock: &self.shared.clock,
            },
            origin: &begin.origin,
            activity: RefCell::default(),
            unchanged: Cell::new(false),
            woken: RefCell::default(),
        };
        let (mut first, mut last) = (conn, conn);
        let opening = self.opening(&begin.sql);
        let (entered, result) = join(first.batch_execute(&opening), closure(&tx)).await;
        let (noted, woken) = (tx.activity.take(), tx.woken.take());
        let result = match result {
            Ok(_) if begin.recorded && noted.is_empty() && !tx.unchanged.get() => Err(Error::Internal(
                "a change was not recorded in the activity stream".to_owned(),
            )),
            result => result,
        };
        if entered.is_err() || result.is_err() {
            let ended = last.batch_execute("ROLLBACK").await;
            if ended.is_ok() {
                mark_idle(&mut pooled);
            }
            return Attempt::judge(entered.map_err(Error::from), result);
        }
        let committed = commit(conn, &self.shared.clock, &begin.origin, noted).await;
        if !matches!(committed, Err(Error::Unavailable(_))) {
            mark_idle(&mut pooled);
        }
        match committed {
            Ok(()) => {
                if let Some(notifier) = self.shared.notifier.get() {
                    for queue in woken {
                        notifier.notify(&queue);
                    }
                }
                Attempt::Done(result)
            }
            Err(error) if error.is_transient() => Attempt::Again(error),
            // Also when the connection was lost: whether the change was made is not known, so it is not made twice.
            Err(error) => Attempt::Done(Err(error)),
        }
    }
}

/// Writes the noted activity; the last row and `COMMIT` share one wait.
async fn commit(
    conn: &AsyncPgConnection,
    clock: &Clock,
    origin: &Origin,
    noted: Vec<Activity>,
) -> Result<()> {
    let mut rows: Vec<ActivityRow> = noted
        .into_iter()
        .map(|activity| ActivityRow::new(clock.id(), activity, origin))
        .collect();
    let Some(last) = rows.pop() else {
        return commit_only(conn).await;
    };
    for row in rows {
        row.insert(conn).await?;
    }
    let (inserted, committed) = join(last.insert(conn), commit_only(conn)).await;
    inserted?;
    committed
}

pub(crate) async fn commit_only(mut conn: &AsyncPgConnection) -> Result<()> {
    diesel_async::RunQueryDsl::execute(Commit, &mut conn).await?;
    Ok(())
}

/// Result of one attempt.
enum Attempt<T> {
    Done(Result<T>),
    /// Nothing was committed, and the same work may succeed.
    Again(Error),
}

impl<T> Attempt<T> {
    /// `enter()`'s refusal goes before the error of the statements behind it, which only says "transaction is aborted".
    fn judge(entered: Result<()>, result: Result<T>) -> Self {
        let error = match (entered, result) {
            (Ok(()), Ok(value)) => return Self::Done(Ok(value)),
            (Err(error), _) | (Ok(()), Err(error)) => error,
        };
        match error {
            error if error.is_transient() => Self::Again(error),
            error @ Error::Unavailable(_) => Self::Again(error),
            error => Self::Done(Err(error)),
        }
    }
}

/// From here on a dropped future throws the connection away.
fn mark_busy(conn: &mut AsyncPgConnection) {
    AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
}

fn mark_idle(conn: &mut AsyncPgConnection) {
    *AnsiTransactionManager::transaction_manager_status_mut(conn) = TransactionManagerStatus::default();
}
