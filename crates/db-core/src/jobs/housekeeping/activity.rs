//! Retention of the activity stream.

use job_queue::{Failure, Job};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{DELETE_ACTIVITY, PORTION, go_on};
use crate::clock::Clock;
use crate::ids::PLATFORM_DOMAIN;
use crate::jobs::{JobContext, queue};
use crate::owner::{SystemError, SystemTx};

/// Deletes rows of the activity stream that are older than `jobs.keep_activity_days`.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeleteActivity {}

impl Job for DeleteActivity {
    const NAME: &'static str = DELETE_ACTIVITY;
    const QUEUE: &'static str = queue::MAINTENANCE;
    const TIME_LIMIT: std::time::Duration = std::time::Duration::from_secs(4 * 3600);
}

/// Domain by domain, oldest rows first. What was deleted is noted once, in the stream of the installation.
pub(super) async fn run(context: &JobContext, keep_days: u32) -> Result<(), Failure> {
    let Ok(keep_days @ 1..) = i32::try_from(keep_days) else {
        return Ok(());
    };
    let (before, domains) = context.system(async |tx| begin(tx, keep_days).await).await?;
    let (mut rows, mut of_domains) = (0, 0);
    for domain in domains {
        let mut of_domain = 0;
        loop {
            let deleted = context
                .system(async |tx| delete(tx, domain, before).await)
                .await?;
            of_domain += deleted;
            if i64::try_from(deleted).is_ok_and(|deleted| deleted < PORTION) {
                break;
            }
            go_on(context)?;
        }
        rows += of_domain;
        of_domains += u64::from(of_domain > 0);
    }
    if rows > 0 {
        context
            .system(async |tx| note(tx, rows, of_domains, keep_days).await)
            .await?;
    }
    Ok(())
}

/// The first id that is kept (a UUIDv7 begins with its milliseconds), and the domains that there are.
async fn begin(tx: &SystemTx<'_>, keep_days: i32) -> Result<(Uuid, Vec<Uuid>), SystemError> {
    let row = tx
        .client()
        .query_one(
            "SELECT (extract(epoch FROM now() - make_interval(days => $1)) * 1000)::bigint,
                    ARRAY(SELECT id FROM domains ORDER BY id)",
            &[&keep_days],
        )
        .await?;
    let millis = u128::try_from(row.get::<_, i64>(0)).unwrap_or_default();
    Ok((Uuid::from_u128(millis << 80), row.get(1)))
}

async fn delete(tx: &SystemTx<'_>, domain: Uuid, before: Uuid) -> Result<u64, SystemError> {
    let deleted = tx
        .client()
        .execute(
            "DELETE FROM activity_stream WHERE domain_id = $1 AND id = ANY (ARRAY(
                 SELECT id FROM activity_stream WHERE domain_id = $1 AND id < $2 ORDER BY id LIMIT $3))",
            &[&domain, &before, &PORTION],
        )
        .await?;
    Ok(deleted)
}

async fn note(tx: &SystemTx<'_>, rows: u64, domains: u64, keep_days: i32) -> Result<(), SystemError> {
    let after = json!({ "rows": rows, "domains": domains, "keep_days": keep_days });
    tx.client()
        .execute(
            "INSERT INTO activity_stream (domain_id, id, action, target_type, target_id, after)
             VALUES ($1, $2, 'activity.delete', 'domain', $1, $3)",
            &[&PLATFORM_DOMAIN.uuid(), &Clock::System.uuid(), &after],
        )
        .await?;
    Ok(())
}
