//! `queue_job_batches`: how far batches have come.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::error::{Error, Result};
use crate::ids::{BatchId, DomainId};
use crate::page::{Page, PageRequest};
use crate::single_statement::Executor;
use crate::tx::Tx;

/// A batch, and how far it has come: exact at the moment of asking.
#[derive(Clone, Debug, QueryableByName)]
pub struct JobBatch {
    /// Domain of the batch and its jobs.
    #[diesel(sql_type = SqlUuid)]
    pub domain_id: DomainId,
    /// Its id.
    #[diesel(sql_type = SqlUuid)]
    pub id: BatchId,
    /// What it is for.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// Jobs put in so far.
    #[diesel(sql_type = BigInt)]
    pub total: i64,
    /// Jobs completed.
    #[diesel(sql_type = BigInt)]
    pub succeeded: i64,
    /// Jobs that became dead letters.
    #[diesel(sql_type = BigInt)]
    pub failed: i64,
    /// Jobs cancelled.
    #[diesel(sql_type = BigInt)]
    pub cancelled: i64,
    /// When it was made.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// Since when it takes no more jobs.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub sealed_at: Option<DateTime<Utc>>,
    /// When the last job of the sealed batch had finished.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub finished_at: Option<DateTime<Utc>>,
}

/// The rows and what is not folded into them yet, seen at one moment.
const SELECT: &str = "SELECT b.domain_id, b.id, b.name, b.total + coalesce(d.total, 0) AS total,
        b.succeeded + coalesce(d.succeeded, 0) AS succeeded, b.failed + coalesce(d.failed, 0) AS failed,
        b.cancelled + coalesce(d.cancelled, 0) AS cancelled, b.created_at, b.sealed_at, b.finished_at
   FROM queue_job_batches b
   LEFT JOIN LATERAL (
        SELECT sum(d.total)::bigint AS total, sum(d.succeeded)::bigint AS succeeded, sum(d.failed)::bigint AS failed,
               sum(d.cancelled)::bigint AS cancelled
          FROM queue_job_batch_deltas d WHERE d.domain_id = b.domain_id AND d.batch_id = b.id) d ON true";

/// Batches of all domains or of one, newest first.
///
/// # Errors
/// A database error.
pub async fn batch_list(
    tx: &Tx<'_>,
    domain: Option<DomainId>,
    page: &PageRequest<BatchId>,
) -> Result<Page<JobBatch>> {
    let sql = format!(
        "{SELECT} WHERE ($1 IS NULL OR b.domain_id = $1) AND ($2 IS NULL OR b.id < $2) ORDER BY b.id DESC LIMIT $3"
    );
    let rows = diesel::sql_query(sql)
        .bind::<Nullable<SqlUuid>, _>(domain)
        .bind::<Nullable<SqlUuid>, _>(page.after)
        .bind::<BigInt, _>(page.fetch())
        .load(&mut tx.conn())
        .await?;
    Ok(page.cut(rows))
}

/// One batch, whatever its domain.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn batch_get<'a>(tx: impl Executor<'a>, id: BatchId) -> Result<JobBatch> {
    let sql = format!("{SELECT} WHERE b.domain_id IN (SELECT id FROM domains) AND b.id = $1");
    let found: Option<JobBatch> = diesel::sql_query(sql)
        .bind::<SqlUuid, _>(id)
        .get_result(&mut tx.conn())
        .await
        .optional()?;
    found.ok_or(Error::NotFound("batch"))
}
