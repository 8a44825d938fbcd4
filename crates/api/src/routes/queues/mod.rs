//! Queues of background jobs, for platform operators.

mod list;
mod pause;
mod resume;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use db_core::models::queue::QueueCount;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(list::list_queues)
        .service(pause::pause_queue)
        .service(resume::resume_queue);
}

/// A queue, with how many jobs of all domains stand in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueueView {
    /// Its name.
    name: String,
    /// Since when it is paused; null while it is served.
    paused_at: Option<DateTime<Utc>>,
    /// Jobs by kind.
    kinds: Vec<KindView>,
}

/// Jobs of a kind in a queue.
#[derive(Debug, Serialize, ToSchema)]
pub struct KindView {
    /// The kind.
    kind: String,
    /// How many there are in each state; states without jobs are left out.
    #[schema(value_type = BTreeMap<String, i64>)]
    states: BTreeMap<String, i64>,
    /// Seconds that the oldest job in line has waited; 0 without one.
    oldest_seconds: f64,
}

/// The queues of rows in the order of queue, kind and state.
fn grouped(rows: Vec<QueueCount>) -> Vec<QueueView> {
    let mut queues: Vec<QueueView> = Vec::new();
    for row in rows {
        if queues.last().is_none_or(|queue| queue.name != row.queue) {
            queues.push(QueueView {
                name: row.queue,
                paused_at: row.paused_at,
                kinds: Vec::new(),
            });
        }
        let (Some(queue), Some(name), Some(state)) = (queues.last_mut(), row.kind, row.state) else {
            continue;
        };
        if queue.kinds.last().is_none_or(|kind| kind.kind != name) {
            queue.kinds.push(KindView {
                kind: name,
                states: BTreeMap::new(),
                oldest_seconds: 0.0,
            });
        }
        if let Some(kind) = queue.kinds.last_mut() {
            if state == "available" {
                kind.oldest_seconds = row.oldest_seconds;
            }
            kind.states.insert(state, row.count);
        }
    }
    queues
}
