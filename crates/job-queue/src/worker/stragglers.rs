//! Looks for what was left behind in line: below the turn where claims begin. There should be nothing, but for what was enqueued by
//! transactions that see the table as it was when they began (REPEATABLE READ), and what another worker was claiming when it died.
//!
//! While a transaction is open somewhere for minutes, such a look takes seconds: it walks over all that was claimed meanwhile. So it is a
//! connection of its own that looks, and what it costs decides how often.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::queue::Queue;
use super::{Shared, lock};
use crate::connection::Line;
use crate::error::Error;
use crate::sql;

/// It may take a thirtieth of the time.
const SPARING: u32 = 30;
const AT_LEAST_EVERY: Duration = Duration::from_secs(600);
/// Where nothing has been claimed since, so many looks are left out.
const IDLE: u32 = 50;

/// Until the worker stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut line = Line::new(&shared.connector, Duration::from_secs(120));
    let mut wait = shared.options.look_back;
    let mut seen: Vec<(i64, u32)> = vec![(0, 0); shared.queues.len()];
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let begun = Instant::now();
        for (queue, (last, idle)) in shared.queues.iter().zip(&mut seen) {
            let floor = queue.floor.load(Ordering::Acquire);
            if floor == *last && *idle < IDLE {
                *idle += 1;
                continue;
            }
            (*last, *idle) = (floor, 0);
            if let Err(error) = look(&mut line, queue, floor).await {
                tracing::warn!(queue = %queue.name, %error, "cannot look for jobs that were left behind");
            }
        }
        let sparing = (begun.elapsed() * SPARING).min(AT_LEAST_EVERY);
        wait = sparing.max(shared.options.look_back);
    }
}

async fn look(line: &mut Line, queue: &Queue, floor: i64) -> Result<(), Error> {
    let apart: Vec<Uuid> = lock(&queue.apart).clone();
    let rows = line
        .query(sql::WAITING, &[&&*queue.name, &0_i64, &floor, &apart])
        .await?;
    let first = rows.first().map(|row| row.try_get(0)).transpose()?.flatten();
    if let Some(turn) = first {
        queue.late.fetch_min(turn, Ordering::AcqRel);
        queue.wake();
    }
    // Those that are apart have a place of their own where claims begin.
    queue.look_back.store(!apart.is_empty(), Ordering::Release);
    Ok(())
}
