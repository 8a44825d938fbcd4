//! Fair shares of a worker's database connections: however slow the requests of one domain are, others find one free.
//!
//! Each worker has a pool of its own, and counts for itself: what holds for every pool holds for the process. Who is above
//! the share waits in a queue of their own, not in the pool's, and is told to come back after a while.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use app_config::DatabaseConfig;
use db_core::{DomainId, Error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Above so many holders, those that hold nothing are forgotten.
const MANY_HOLDERS: usize = 1_000;

/// How many times as long as for a connection a share is waited for: a burst of one domain's requests takes its turns, and
/// who waits here holds nothing that others need.
const PATIENCE: u32 = 5;

/// How often who waits looks whether the database is away: then they are told so, and do not pile up.
const LOOK: Duration = Duration::from_millis(400);

/// Whose share it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// A domain's.
    Domain(DomainId),
    /// That of all together whose credential this process has not seen before, until it knows whose it is.
    Strangers,
}

/// A connection's worth of somebody's share, until it is dropped.
pub(crate) type Share = OwnedSemaphorePermit;

/// The shares of one worker's pool.
pub(crate) struct Shares {
    each: usize,
    patience: Duration,
    holders: RefCell<HashMap<Holder, Arc<Semaphore>>>,
    away: Cell<bool>,
}

impl Shares {
    /// Shares of the pool of one of `workers` workers.
    pub(crate) fn new(database: &DatabaseConfig, workers: usize) -> Self {
        Self {
            each: size(database.pool_size, workers, database.domain_share),
            patience: database.acquire_timeout * PATIENCE,
            holders: RefCell::default(),
            away: Cell::new(false),
        }
    }

    /// Takes one connection's worth, or waits for it for five times as long as a request waits for a connection.
    ///
    /// # Errors
    /// 429, or 503 while the database is away.
    pub(crate) async fn take(&self, holder: Holder) -> Result<Share, Problem> {
        let semaphore = self.of(holder);
        if let Ok(share) = Arc::clone(&semaphore).try_acquire_owned() {
            return Ok(share);
        }
        let mut share = std::pin::pin!(semaphore.acquire_owned());
        let started = Instant::now();
        while started.elapsed() < self.patience {
            if let Ok(Ok(share)) = tokio::time::timeout(LOOK.min(self.patience), share.as_mut()).await {
                return Ok(share);
            }
            if self.away.get() {
                return Err(Error::Unavailable("others wait for it already".to_owned()).into());
            }
        }
        metrics::counter!("plinth_share_refusals_total").increment(1);
        Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_at_once",
            "your domain has as many requests under way as it may have; wait a little",
        )
        .retry_after(1))
    }

    /// Learns from how a transaction ended whether the database is there.
    pub(crate) fn note<T>(&self, result: db_core::Result<T>) -> db_core::Result<T> {
        self.away.set(matches!(result, Err(Error::Unavailable(_))));
        result
    }

    fn of(&self, holder: Holder) -> Arc<Semaphore> {
        let mut holders = self.holders.borrow_mut();
        if holders.len() > MANY_HOLDERS {
            holders.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        }
        Arc::clone(
            holders
                .entry(holder)
                .or_insert_with(|| Arc::new(Semaphore::new(self.each))),
        )
    }
}

/// Connections of one holder: the share of the worker's part of the pool, rounded down, and at least one.
fn size(pool: u32, workers: usize, share: f64) -> usize {
    let workers = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
    let own = (pool / workers).max(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of 0 to 1 of a u32 is one"
    )]
    let most = (f64::from(own) * share).floor() as u32;
    usize::try_from(most.max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn a_share_leaves_something_to_others_wherever_there_are_two() {
        for (pool, workers, share, expected) in [
            (8, 1, 0.75, 6),
            (8, 2, 0.75, 3),
            (8, 4, 0.75, 1),
            (8, 8, 0.75, 1),
            (8, 16, 0.75, 1),
            (8, 2, 1.0, 4),
            (8, 2, 0.0, 1),
            (10_000, 1, 0.75, 7_500),
        ] {
            assert_eq!(size(pool, workers, share), expected, "{pool} over {workers}");
        }
    }
}
