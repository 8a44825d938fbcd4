//! Sessions that have ended: the rows go after a while.

use job_queue::{Failure, Job};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{DELETE_SESSIONS, PORTION, go_on};
use crate::jobs::{JobContext, queue};
use crate::owner::{SystemError, SystemTx};

/// Days that a session's row is kept after its end, for whoever asks what happened last week.
const KEEP_DAYS: i32 = 7;

/// Deletes sessions that ended over a week ago: revoked, idle for too long, or older than a session may be.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeleteSessions {}

impl Job for DeleteSessions {
    const NAME: &'static str = DELETE_SESSIONS;
    const QUEUE: &'static str = queue::MAINTENANCE;
    const TIME_LIMIT: std::time::Duration = std::time::Duration::from_secs(3600);
}

/// Walks over all sessions in the order of their key: an index on when they end would make every use of a session dearer.
pub(super) async fn run(context: &JobContext) -> Result<(), Failure> {
    let mut last = (Uuid::nil(), Uuid::nil());
    let mut deleted = 0;
    loop {
        let portion = context.system(async |tx| delete(tx, last).await).await?;
        deleted += portion.deleted;
        match portion.last {
            Some(key) if portion.seen == PORTION => last = key,
            _ => break,
        }
        go_on(context)?;
    }
    tracing::debug!(deleted, "sessions that had ended are gone");
    Ok(())
}

struct Portion {
    seen: i64,
    deleted: i64,
    last: Option<(Uuid, Uuid)>,
}

async fn delete(tx: &SystemTx<'_>, after: (Uuid, Uuid)) -> Result<Portion, SystemError> {
    let row = tx
        .client()
        .query_one(
            "WITH portion AS MATERIALIZED (
                 SELECT domain_id, id,
                        least(expires_at, revoked_at, last_used_at + make_interval(secs => idle_seconds))
                            < now() - make_interval(days => $4) AS ended
                   FROM sessions WHERE (domain_id, id) > ($1, $2) ORDER BY domain_id, id LIMIT $3
             ), gone AS (
                 DELETE FROM sessions s USING portion p
                  WHERE p.ended AND s.domain_id = p.domain_id AND s.id = p.id RETURNING 1
             ), last AS (
                 SELECT domain_id, id FROM portion ORDER BY domain_id DESC, id DESC LIMIT 1
             )
             SELECT (SELECT count(*) FROM portion), (SELECT count(*) FROM gone),
                    (SELECT domain_id FROM last), (SELECT id FROM last)",
            &[&after.0, &after.1, &PORTION, &KEEP_DAYS],
        )
        .await?;
    let last: (Option<Uuid>, Option<Uuid>) = (row.get(2), row.get(3));
    Ok(Portion {
        seen: row.get(0),
        deleted: row.get(1),
        last: last.0.zip(last.1),
    })
}
