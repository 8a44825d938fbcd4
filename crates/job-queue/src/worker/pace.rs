//! How far ahead jobs are claimed: by how fast they are begun.

use std::time::{Duration, Instant};

/// How far ahead.
const AHEAD: Duration = Duration::from_millis(20);

/// How fast jobs are begun, smoothed.
pub(super) struct Pace {
    since: Instant,
    begun: u64,
    rate: f64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            begun: 0,
            rate: 0.0,
        }
    }

    /// How many are begun in the time that is claimed ahead.
    pub(super) fn ahead(&mut self, begun: u64) -> usize {
        let elapsed = self.since.elapsed().as_secs_f64();
        if elapsed >= 0.005 {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a number of jobs in a few milliseconds"
            )]
            let now = (begun - self.begun) as f64 / elapsed;
            // Up at once, down slowly.
            self.rate = if now > self.rate {
                now
            } else {
                self.rate * 0.8 + now * 0.2
            };
            self.begun = begun;
            self.since = Instant::now();
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small positive number"
        )]
        let ahead = (self.rate * AHEAD.as_secs_f64()) as usize;
        ahead
    }
}
