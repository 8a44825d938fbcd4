//! A read of one statement, sent together with the `BEGIN` before it and the `COMMIT` behind it.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use diesel_async::AsyncPgConnection;

use crate::error::Result;
use crate::tx::{Tx, WriteTx, commit_only};

/// What a query of one statement takes: a transaction, or the [`SingleStatement`] of a read that has no other.
pub trait Executor<'a>: sealed::Executor<'a> {}

impl<'a, E: sealed::Executor<'a>> Executor<'a> for E {}

pub(crate) mod sealed {
    use diesel_async::AsyncPgConnection;

    /// Keeps the connection within this crate.
    pub trait Executor<'a> {
        /// The connection, for a query: `query.load(&mut tx.conn())`.
        fn conn(self) -> &'a AsyncPgConnection;
    }
}

/// Proof of being inside a tenant transaction that has room for one statement. The statement uses it up, so that
/// nothing can be sent behind the `COMMIT`.
pub struct SingleStatement<'a> {
    conn: &'a AsyncPgConnection,
    sent: &'a Cell<bool>,
}

impl<'a> sealed::Executor<'a> for SingleStatement<'a> {
    fn conn(self) -> &'a AsyncPgConnection {
        self.sent.set(true);
        self.conn
    }
}

impl<'a> sealed::Executor<'a> for &Tx<'a> {
    fn conn(self) -> &'a AsyncPgConnection {
        Tx::conn(self)
    }
}

impl<'a> sealed::Executor<'a> for &WriteTx<'a> {
    fn conn(self) -> &'a AsyncPgConnection {
        Tx::conn(self)
    }
}

/// Polls the opening message, then the closure, and `COMMIT` as soon as the closure has sent its statement: in that
/// order they reach the server. (`COMMIT` waits for the statement cache's lock while the statement is still being prepared.)
pub(crate) async fn run<T, E>(
    conn: &AsyncPgConnection,
    opening: impl Future<Output = Result<(), E>>,
    closure: &impl AsyncFn(SingleStatement<'_>) -> Result<T>,
) -> (Result<(), E>, Result<T>, Result<()>) {
    let sent = Cell::new(false);
    let mut opening = pin!(opening);
    let mut closure = pin!(closure(SingleStatement { conn, sent: &sent }));
    let mut commit = pin!(commit_only(conn));
    let (mut entered, mut result, mut ended) = (None, None, None);
    poll_fn(|cx| {
        if entered.is_none()
            && let Poll::Ready(value) = opening.as_mut().poll(cx)
        {
            entered = Some(value);
        }
        if result.is_none()
            && let Poll::Ready(value) = closure.as_mut().poll(cx)
        {
            result = Some(value);
        }
        // A closure that sent nothing still has a transaction to end.
        if ended.is_none()
            && (sent.get() || result.is_some())
            && let Poll::Ready(value) = commit.as_mut().poll(cx)
        {
            ended = Some(value);
        }
        match (entered.take(), result.take(), ended.take()) {
            (Some(a), Some(b), Some(c)) => Poll::Ready((a, b, c)),
            (a, b, c) => {
                (entered, result, ended) = (a, b, c);
                Poll::Pending
            }
        }
    })
    .await
}
