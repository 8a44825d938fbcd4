//! Role assignments that have ended: the rows go, and the stream says so.

use job_queue::{Failure, Job};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{EXPIRE_ASSIGNMENTS, PORTION, go_on};
use crate::clock::Clock;
use crate::jobs::{JobContext, queue};
use crate::owner::{SystemError, SystemTx};

/// Deletes assignments whose time is up. They have given nothing since: `enter()` looks at the clock.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExpireAssignments {}

impl Job for ExpireAssignments {
    const NAME: &'static str = EXPIRE_ASSIGNMENTS;
    const QUEUE: &'static str = queue::MAINTENANCE;
    const KEEP_COMPLETED: bool = false;
}

pub(super) async fn run(context: &JobContext) -> Result<(), Failure> {
    loop {
        let ended = context.system(expire).await?;
        if i64::try_from(ended).is_ok_and(|ended| ended < PORTION) {
            return Ok(());
        }
        go_on(context)?;
    }
}

/// A portion of them, each with its row in the activity stream of its domain. Returns how many.
async fn expire(tx: &SystemTx<'_>) -> Result<usize, SystemError> {
    let rows = tx
        .client()
        .query(
            // As an assignment is noted when somebody takes it away, with the name of its role.
            "WITH ended AS (
                 DELETE FROM user_roles WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM user_roles WHERE expires_at <= now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))
                 RETURNING *)
             SELECT e.domain_id, e.user_id, to_jsonb(e) - 'domain_id' - 'role_domain_id' || jsonb_build_object('role', r.name)
               FROM ended e JOIN roles r ON r.domain_id = e.role_domain_id AND r.id = e.role_id",
            &[&PORTION],
        )
        .await?;
    let ids: Vec<Uuid> = rows.iter().map(|_| Clock::System.uuid()).collect();
    let domains: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    let users: Vec<Uuid> = rows.iter().map(|row| row.get(1)).collect();
    let before: Vec<Value> = rows.iter().map(|row| row.get(2)).collect();
    tx.client()
        .execute(
            "INSERT INTO activity_stream (domain_id, id, action, target_type, target_id, before)
             SELECT domain_id, id, 'role.expire', 'user', user_id, before
               FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::jsonb[]) AS ended (domain_id, id, user_id, before)",
            &[&domains, &ids, &users, &before],
        )
        .await?;
    Ok(rows.len())
}
