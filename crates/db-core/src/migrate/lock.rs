//! The lock that lets one migrator through.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::MigrateError;

/// Key of the advisory lock; advisory locks are per database, so that one key serves all.
const KEY: i64 = 0x506c_696e_7468_4d69; // "PlinthMi"

/// Takes the lock, asking again with growing pauses until `patience` is over.
///
/// Never a blocking `pg_advisory_lock`: a waiter holds a snapshot, and CREATE INDEX CONCURRENTLY waits for it for ever.
pub(super) async fn acquire(client: &Client, patience: Duration) -> Result<(), MigrateError> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(20);
    loop {
        if client
            .query_one("SELECT pg_try_advisory_lock($1)", &[&KEY])
            .await?
            .get(0)
        {
            return Ok(());
        }
        if started.elapsed() >= patience {
            return Err(MigrateError::Locked {
                waited_seconds: patience.as_secs(),
                holder: holder(client).await?,
            });
        }
        // Up to half as long again, so that fifty waiters do not ask in step.
        let [jitter] = crate::clock::random_bytes::<1>();
        tokio::time::sleep(pause + pause.mul_f64(f64::from(jitter) / 512.0)).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// Lets the lock go. The end of the connection would too.
pub(super) async fn release(client: &Client) -> Result<(), MigrateError> {
    client.execute("SELECT pg_advisory_unlock($1)", &[&KEY]).await?;
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
            &[&KEY],
        )
        .await?;
    Ok(row.map_or_else(|| "nobody any more".to_owned(), |row| row.get(0)))
}
