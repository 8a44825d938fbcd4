//! Retention of the activity stream.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use job_queue::{Failure, Job};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{DELETE_ACTIVITY, PORTION, go_on, partitions};
use crate::ids::PLATFORM_DOMAIN;
use crate::jobs::{JobContext, queue};
use crate::models::activity::{Activity, note};
use crate::owner::{SystemError, SystemTx};

/// Deletes rows of the activity stream that are older than `jobs.keep_activity_days`.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeleteActivity {}

impl Job for DeleteActivity {
    const NAME: &'static str = DELETE_ACTIVITY;
    const QUEUE: &'static str = queue::MAINTENANCE;
    const TIME_LIMIT: std::time::Duration = std::time::Duration::from_secs(4 * 3600);
}

/// Months that are past go with their partitions; what else is past, domain by domain, oldest rows first. What was deleted is noted
/// once, in the stream of the installation.
pub(super) async fn run(context: &JobContext, keep_days: u32) -> Result<(), Failure> {
    let Ok(keep_days @ 1..) = i32::try_from(keep_days) else {
        return Ok(());
    };
    let before = context.system(async |tx| first_kept(tx, keep_days).await).await?;
    let mut gone: BTreeMap<Uuid, u64> = BTreeMap::new();
    let done = delete_all(context, before, &mut gone).await;
    // Also of a run that was stopped: the next one would not know.
    let rows: u64 = gone.values().sum();
    if rows > 0 {
        let after = json!({ "rows": rows, "domains": gone.len(), "keep_days": keep_days });
        let noted = Activity::new("activity.delete", "domain", PLATFORM_DOMAIN).after(&after);
        context
            .system(async |tx| Ok(note(tx.client(), context.clock(), [(PLATFORM_DOMAIN, noted)]).await?))
            .await?;
    }
    done
}

async fn delete_all(
    context: &JobContext,
    before: Uuid,
    gone: &mut BTreeMap<Uuid, u64>,
) -> Result<(), Failure> {
    for (domain, rows) in partitions::drop_past(context, before).await? {
        *gone.entry(domain).or_default() += rows;
    }
    for domain in context.system(async |tx| domains(tx, before).await).await? {
        loop {
            let deleted = context
                .system(async |tx| delete(tx, domain, before).await)
                .await?;
            if deleted > 0 {
                *gone.entry(domain).or_default() += deleted;
            }
            if i64::try_from(deleted).is_ok_and(|deleted| deleted < PORTION) {
                break;
            }
            go_on(context)?;
        }
    }
    Ok(())
}

/// The first id that is kept.
async fn first_kept(tx: &SystemTx<'_>, keep_days: i32) -> Result<Uuid, SystemError> {
    let row = tx
        .client()
        .query_one("SELECT now() - make_interval(days => $1)", &[&keep_days])
        .await?;
    Ok(partitions::first_id(row.get::<_, DateTime<Utc>>(0)))
}

/// Domains that have rows before it.
async fn domains(tx: &SystemTx<'_>, before: Uuid) -> Result<Vec<Uuid>, SystemError> {
    let rows = tx
        .client()
        .query(
            "SELECT d.id FROM domains d
              WHERE EXISTS (SELECT FROM activity_stream a WHERE a.domain_id = d.id AND a.id < $1) ORDER BY d.id",
            &[&before],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn delete(tx: &SystemTx<'_>, domain: Uuid, before: Uuid) -> Result<u64, SystemError> {
    let deleted = tx
        .client()
        .execute(
            // The outer `id < $2` keeps it to partitions of that time.
            "DELETE FROM activity_stream WHERE domain_id = $1 AND id < $2 AND id = ANY (ARRAY(
                 SELECT id FROM activity_stream WHERE domain_id = $1 AND id < $2 ORDER BY id LIMIT $3))",
            &[&domain, &before, &PORTION],
        )
        .await?;
    Ok(deleted)
}
