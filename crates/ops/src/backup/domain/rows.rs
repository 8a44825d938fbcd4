//! Rows as `COPY` text, between PostgreSQL and a thread that packs or unpacks them: never a table in memory.

use std::io::{self, Read};
use std::pin::pin;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::SinkExt as _;
use futures_util::stream::StreamExt as _;
use tokio::sync::mpsc;
use tokio_postgres::Client;
use uuid::Uuid;

use super::DomainError;
use super::catalogue::Table;
use crate::backup::channel::Received;
use crate::backup::progress::Counter;

/// Chunks that wait.
const AHEAD: usize = 8;

/// Count and hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Census {
    pub rows: u64,
    pub hash: String,
}

/// Counts and hashes a domain's rows.
pub(super) async fn census(client: &Client, table: &Table, domain: Uuid) -> Result<Census, DomainError> {
    count(
        client,
        table,
        &format!("{} WHERE {}", table.from(), table.of(domain)),
    )
    .await
}

/// Counts and hashes rows of the table that stand somewhere, such as in a staging table.
pub(super) async fn count(client: &Client, table: &Table, from: &str) -> Result<Census, DomainError> {
    let sql = format!("SELECT {} FROM {from}", table.census());
    let row = client.query_one(&sql, &[]).await?;
    Ok(Census {
        rows: u64::try_from(row.get::<_, i64>(0)).unwrap_or_default(),
        hash: row.get(1),
    })
}

/// Lets `take` have a domain's rows, in a thread of its own. What it makes of them counts only when the last row has come.
pub(super) async fn read<T: Send + 'static>(
    client: &Client,
    table: &Table,
    domain: Uuid,
    done: Counter,
    take: impl FnOnce(&mut dyn Read) -> io::Result<T> + Send + 'static,
) -> Result<T, DomainError> {
    let rows = client
        .copy_out(&format!(
            "COPY (SELECT {} FROM {} WHERE {}) TO STDOUT",
            table.values(),
            table.from(),
            table.of(domain)
        ))
        .await?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    let taking = tokio::task::spawn_blocking(move || take(&mut Received::new(receiver)));
    let copying = async move {
        let mut rows = pin!(rows);
        while let Some(chunk) = rows.next().await {
            let chunk = chunk?;
            done.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            if sender.send(chunk).await.is_err() {
                break;
            }
        }
        Ok::<(), DomainError>(())
    };
    let (copied, taken) = futures_util::join!(copying, taking);
    copied?;
    taken
        .map_err(|error| DomainError::failed(error.to_string()))?
        .map_err(|error| DomainError::failed(format!("cannot write the rows of {}: {error}", table.name)))
}

/// Writes a stream of rows that `give` reads in a thread of its own into a table, or into one that is like it.
pub(super) async fn write(
    client: &Client,
    into: &str,
    columns: &str,
    done: Counter,
    give: impl FnOnce(&mut dyn FnMut(Bytes) -> bool) -> io::Result<()> + Send + 'static,
) -> Result<(), WriteError> {
    let sink = client
        .copy_in::<_, Bytes>(&format!("COPY {into} ({columns}) FROM STDIN"))
        .await?;
    let (sender, mut receiver) = mpsc::channel::<Bytes>(AHEAD);
    let giving = tokio::task::spawn_blocking(move || {
        give(&mut |chunk| {
            done.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            sender.blocking_send(chunk).is_ok()
        })
    });
    let copying = async move {
        let mut sink = pin!(sink);
        while let Some(chunk) = receiver.recv().await {
            sink.send(chunk).await?;
        }
        sink.finish().await
    };
    let (copied, given) = futures_util::join!(copying, giving);
    // Where the file cannot be read, that says more than what PostgreSQL makes of half a row.
    given
        .map_err(|error| WriteError::Read(io::Error::other(error)))?
        .map_err(WriteError::Read)?;
    copied?;
    Ok(())
}

/// Which of the two sides failed.
pub(super) enum WriteError {
    Read(io::Error),
    Statement(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for WriteError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Statement(error)
    }
}
