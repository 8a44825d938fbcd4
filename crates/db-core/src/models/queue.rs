//! `queue_queues`, with what stands in the queues, as platform operators see and steer them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::error::{Error, Result};
use crate::ids::PLATFORM_DOMAIN;
use crate::jobs::QueueConnection;
use crate::models::activity::Activity;
use crate::schema::{queue_jobs, queue_queues};
use crate::single_statement::Executor;
use crate::tx::WriteTx;

/// Jobs of a queue, kind and state. A queue without jobs has one row, without a kind.
#[derive(Clone, Debug, QueryableByName)]
pub struct QueueCount {
    /// Name of the queue.
    #[diesel(sql_type = Text)]
    pub queue: String,
    /// Since when it is paused.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub paused_at: Option<DateTime<Utc>>,
    /// The kind.
    #[diesel(sql_type = Nullable<Text>)]
    pub kind: Option<String>,
    /// The state.
    #[diesel(sql_type = Nullable<Text>)]
    pub state: Option<String>,
    /// How many.
    #[diesel(sql_type = BigInt)]
    pub count: i64,
    /// Seconds since the oldest of them was to be run.
    #[diesel(sql_type = Double)]
    pub oldest_seconds: f64,
}

/// All queues that have jobs or were ever served, by name, with the jobs of all domains. Counts rows.
///
/// # Errors
/// A database error.
pub async fn queue_counts<'a>(tx: impl Executor<'a>) -> Result<Vec<QueueCount>> {
    let sql = "SELECT coalesce(q.name, c.queue) AS queue, q.paused_at, c.kind, c.state, coalesce(c.count, 0) AS count,
                      coalesce(c.oldest_seconds, 0) AS oldest_seconds
                 FROM (SELECT name, paused_at FROM queue_queues WHERE domain_id = platform_domain_id()) q
                 FULL JOIN (SELECT queue, kind, state, count(*),
                                   greatest(extract(epoch FROM now() - min(run_at)), 0)::float8 AS oldest_seconds
                              FROM queue_jobs GROUP BY queue, kind, state) c ON c.queue = q.name
                ORDER BY 1, c.kind, c.state";
    Ok(diesel::sql_query(sql).load(&mut tx.conn()).await?)
}

/// No worker claims jobs of the queue any more. One that is paused stays as it is.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn queue_pause(tx: &WriteTx<'_>, name: &str) -> Result<()> {
    if paused_at(tx, name).await?.is_some() {
        tx.unchanged();
        return Ok(());
    }
    job_queue::pause(&mut QueueConnection(tx.conn()), name).await?;
    tx.record(noted("queue.pause", name));
    Ok(())
}

/// A paused queue is served again. One that is not paused stays as it is.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn queue_resume(tx: &WriteTx<'_>, name: &str) -> Result<()> {
    if paused_at(tx, name).await?.is_none() {
        tx.unchanged();
        return Ok(());
    }
    job_queue::resume(&mut QueueConnection(tx.conn()), name).await?;
    tx.record(noted("queue.resume", name));
    Ok(())
}

/// Queues have names and no ids: the target is the installation.
fn noted(action: &'static str, name: &str) -> Activity {
    Activity::new(action, "queue", PLATFORM_DOMAIN).after(&json!({ "queue": name }))
}

/// Since when the queue is paused; locks its row, where it has one.
async fn paused_at(tx: &WriteTx<'_>, name: &str) -> Result<Option<DateTime<Utc>>> {
    if name.contains('\0') {
        return Err(Error::NotFound("queue"));
    }
    let row: Option<Option<DateTime<Utc>>> = queue_queues::table
        .select(queue_queues::paused_at)
        .filter(queue_queues::domain_id.eq(PLATFORM_DOMAIN))
        .filter(queue_queues::name.eq(name))
        .for_no_key_update()
        .first(&mut tx.conn())
        .await
        .optional()?;
    if let Some(paused_at) = row {
        return Ok(paused_at);
    }
    // A queue that nobody has served yet has no row.
    let waiting: bool = diesel::select(diesel::dsl::exists(
        queue_jobs::table.filter(queue_jobs::queue.eq(name)),
    ))
    .get_result(&mut tx.conn())
    .await?;
    if waiting {
        Ok(None)
    } else {
        Err(Error::NotFound("queue"))
    }
}
