//! Role assignments that have ended: the rows go, and the stream says so.

use job_queue::{Failure, Job};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{EXPIRE_ASSIGNMENTS, PORTION, go_on};
use crate::clock::Clock;
use crate::ids::DomainId;
use crate::jobs::{JobContext, queue};
use crate::models::activity::{Activity, note};
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
        let ended = context
            .system(async |tx| expire(tx, context.clock()).await)
            .await?;
        if i64::try_from(ended).is_ok_and(|ended| ended < PORTION) {
            return Ok(());
        }
        go_on(context)?;
    }
}

/// A portion of them, each with its row in the activity stream of its domain. Returns how many.
async fn expire(tx: &SystemTx<'_>, clock: &Clock) -> Result<usize, SystemError> {
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
    let noted = rows.iter().map(|row| {
        let (domain, user, before): (Uuid, Uuid, Value) = (row.get(0), row.get(1), row.get(2));
        let ended = Activity::new("role.expire", "user", user).before(&before);
        (DomainId::new(domain), ended)
    });
    note(tx.client(), clock, noted).await?;
    Ok(rows.len())
}
