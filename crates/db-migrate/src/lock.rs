//! The lock that lets one migrator through.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::MigrateError;
use super::random::jitter;

/// Key of the advisory lock that migrations take for themselves. Whoever takes it shared keeps tables from coming and going meanwhile.
/// Advisory locks are per database, so that one key serves all.
pub const LOCK: i64 = 0x506c_696e_7468_4d69; // "PlinthMi"

/// Whether this session has the lock, as SQL.
fn held() -> String {
    format!(
        "EXISTS (SELECT FROM pg_locks
                  WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid = pg_backend_pid()
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND (classid::bigint << 32) | objid::bigint = {LOCK})"
    )
}

/// SQL for the beginning of a transaction: fails where this is not the server's process `pid`, or another one has the lock. The
/// transaction has the lock then, whatever a pooler has made of the session's.
pub(super) fn check(pid: i32) -> String {
    format!(
        "SELECT CASE WHEN pg_backend_pid() = {pid} AND pg_try_advisory_xact_lock({LOCK}) THEN 'true' \
         ELSE 'the migration lock is no longer held' END::bool"
    )
}

/// Takes the lock, asking again with growing pauses until `patience` is over.
///
/// Never a blocking `pg_advisory_lock`: a waiter holds a snapshot, and CREATE INDEX CONCURRENTLY waits for it for ever.
pub(super) async fn acquire(client: &Client, patience: Duration) -> Result<(), MigrateError> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(20);
    loop {
        // A connection that has the lock before it asked shares its session with somebody: the lock would let both through.
        let row = client
            .query_one(
                &format!(
                    "SELECT held, CASE WHEN NOT held THEN pg_try_advisory_lock($1) END FROM (SELECT {}) AS lock (held)",
                    held()
                ),
                &[&LOCK],
            )
            .await?;
        if row.get(0) {
            return Err(MigrateError::Pooled);
        }
        if row.get::<_, Option<bool>>(1) == Some(true) {
            return Ok(());
        }
        if started.elapsed() >= patience {
            return Err(MigrateError::Locked {
                waited_seconds: patience.as_secs(),
                holder: holder(client).await?,
            });
        }
        // Up to half as long again, so that fifty waiters do not ask in step.
        tokio::time::sleep(pause + jitter(pause / 2)).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// Lets the lock go. The end of the connection would too.
pub(super) async fn release(client: &Client) -> Result<(), MigrateError> {
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    Ok(())
}

async fn holder(client: &Client) -> Result<String, MigrateError> {
    let row = client
        .query_opt(
            "SELECT format('pid %s, role %s, %s, from %s, since %s', a.pid, a.usename,
                           coalesce(nullif(a.application_name, ''), 'no application name'),
                           coalesce(a.client_addr::text, 'a local socket'), a.backend_start)
               FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
              WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND (l.classid::bigint << 32) | l.objid::bigint = $1",
            &[&LOCK],
        )
        .await?;
    Ok(row.map_or_else(|| "nobody any more".to_owned(), |row| row.get(0)))
}
