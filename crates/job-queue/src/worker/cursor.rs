//! While a transaction is open somewhere, the index keeps what has left it, and looks from its beginning walk over that. So they
//! begin where the last one ended, and now and then, by what it costs, at the beginning: for what was committed late.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

const FULL_EVERY: Duration = Duration::from_secs(10);
const FULL_AT_LEAST_EVERY: Duration = Duration::from_secs(300);
const SPARING: u32 = 20;

/// Where an index by time is to be looked through from.
pub(super) struct Cursor {
    from: DateTime<Utc>,
    next_full: Instant,
}

impl Cursor {
    pub(super) fn new() -> Self {
        Self {
            from: DateTime::UNIX_EPOCH,
            next_full: Instant::now(),
        }
    }

    /// Where this look begins.
    pub(super) fn start(&self) -> DateTime<Utc> {
        if Instant::now() >= self.next_full {
            DateTime::UNIX_EPOCH
        } else {
            self.from
        }
    }

    /// A look that began at `start` took so long, and went as far as `end`.
    pub(super) fn looked(&mut self, start: DateTime<Utc>, took: Duration, end: Option<DateTime<Utc>>) {
        if start == DateTime::UNIX_EPOCH {
            self.next_full = Instant::now() + (took * SPARING).clamp(FULL_EVERY, FULL_AT_LEAST_EVERY);
        }
        self.from = end.map_or(self.from, |end| end.max(self.from));
    }
}
