//! The jobs that the worker process of the tests knows.

use std::time::Duration;

use job_queue::{Backoff, Job};
use serde::{Deserialize, Serialize};

/// Notes its run in the table `runs`, in a transaction of its own; fails so many times.
#[derive(Serialize, Deserialize)]
pub struct Plain {
    pub sleep_ms: u64,
    pub failures: i32,
}

impl Job for Plain {
    const NAME: &'static str = "plain";
    const MAX_ATTEMPTS: u32 = 1000;
    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(50),
        longest: Duration::from_millis(200),
        jitter: 0.5,
    };
}

/// Notes its effect in the table `effects` and completes itself in the same transaction.
#[derive(Serialize, Deserialize)]
pub struct Inside {
    pub sleep_ms: u64,
}

impl Job for Inside {
    const NAME: &'static str = "inside";
    const MAX_ATTEMPTS: u32 = 1000;
    const BACKOFF: Backoff = Plain::BACKOFF;
}

/// Runs until it is asked to stop.
#[derive(Serialize, Deserialize)]
pub struct Forever {}

impl Job for Forever {
    const NAME: &'static str = "forever";
    const MAX_ATTEMPTS: u32 = 3;
}
