//! Keeps the worker's leases, and finds out when it has lost them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Shared, lock};
use crate::connection::Line;
use crate::error::Error;
use crate::sql;

/// Until the worker is closing.
pub(super) async fn run(shared: Arc<Shared>) {
    let beat = shared.options.heartbeat;
    let mut line = Line::new(&shared.connector, beat);
    let mut next = Instant::now() + beat;
    loop {
        let tick = (beat / 4).min(
            next.saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1)),
        );
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            () = tokio::time::sleep(tick) => {}
        }
        if Instant::now() >= next {
            let begun = Instant::now();
            match renew(&shared, &mut line).await {
                Ok(()) => {
                    next = begun + beat;
                    lock(&shared.steady_since).get_or_insert(begun);
                }
                Err(error) => {
                    // Sooner than a whole beat: half a beat is all the time there is.
                    next = begun + beat / 8;
                    *lock(&shared.steady_since) = None;
                    tracing::warn!(%error, "no heartbeat");
                }
            }
        }
        if let Err(error) = tidy(&shared, &mut line).await {
            tracing::warn!(%error, "cannot register, or hand leases back");
        }
    }
}

async fn renew(shared: &Shared, line: &mut Line) -> Result<(), Error> {
    let ids = shared.leases.ids();
    let rows = line
        .query(sql::HEARTBEAT, &[&ids, &shared.options.lease().as_secs_f64()])
        .await?;
    let mut kept = HashSet::new();
    for row in &rows {
        kept.insert(row.try_get::<_, Uuid>(0)?);
    }
    for incarnation in shared.leases.all() {
        if ids.contains(&incarnation.id) && !kept.contains(&incarnation.id) && !incarnation.is_fenced() {
            tracing::warn!(worker = %incarnation.id, "another worker has taken the jobs of this one, which was silent for too long");
            incarnation.fence();
        }
    }
    Ok(())
}

/// Sees to it that there is an incarnation that may claim, and that those of the past go.
async fn tidy(shared: &Shared, line: &mut Line) -> Result<(), Error> {
    if shared.leases.current().is_none() {
        shared.leases.register(shared, line).await?;
    }
    for past in shared.leases.past() {
        hand_back(line, &[past.id]).await?;
        shared.leases.forget(past.id);
    }
    Ok(())
}

/// The last words of an incarnation: it fences itself, whatever is still claimed under it goes back, and its row goes.
pub(super) async fn hand_back(line: &mut Line, ids: &[Uuid]) -> Result<(), Error> {
    line.transaction(async |tx| {
        tx.query(sql::FENCE, &[&ids]).await?;
        let released = tx.query(sql::TAKE_BACK, &[&ids, &"released"]).await?;
        if !released.is_empty() {
            tracing::info!(jobs = released.len(), "handed back");
        }
        tx.query(sql::DISMISS, &[&ids]).await.map(drop)
    })
    .await
}
