//! Behind which turn of a queue nothing arrives any more.
//!
//! A job's turn lies behind the published one that its transaction has read, and that transaction has a lock on the table from before
//! it reads until it ends. So who writes to the table says how far back jobs can still come in; there is no guessing how long
//! transactions last.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Claims do not begin further and further back for a transaction that is open for longer. One look makes up for it when it ends.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Settling {
    /// The turn that was published last.
    published: i64,
    /// The one that had been when writers were listed last.
    listed: i64,
    /// By virtual transaction.
    writers: HashMap<String, Writer>,
    settled: i64,
}

struct Writer {
    /// What it enqueues has a higher turn.
    floor: i64,
    since: Instant,
    /// Not waited for.
    late: bool,
}

/// What a list of the writers says.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    /// Behind this nothing arrives, but from transactions that are late.
    pub(super) settled: i64,
    /// One that was late has ended: from this turn on something may have arrived.
    pub(super) arrived: Option<i64>,
}

impl Settling {
    pub(super) fn published(&self) -> i64 {
        self.published
    }

    pub(super) fn publish(&mut self, turn: i64) {
        self.published = turn;
    }

    /// Whether another list would say more.
    pub(super) fn is_moving(&self) -> bool {
        self.settled < self.published || self.writers.values().any(|it| it.late)
    }

    /// Who writes now, after the last turn was published.
    pub(super) fn list(&mut self, writers: &HashSet<String>, now: Instant) -> Seen {
        let mut arrived = None;
        self.writers.retain(|id, writer| {
            let goes_on = writers.contains(id);
            if !goes_on && writer.late {
                arrived = Some(arrived.map_or(writer.floor, |it: i64| it.min(writer.floor)));
            }
            goes_on
        });
        for id in writers {
            // It was not there when the last list was made, so that it has read what was published by then, or later.
            self.writers.entry(id.clone()).or_insert(Writer {
                floor: self.listed,
                since: now,
                late: false,
            });
        }
        let mut settled = self.published;
        for writer in self.writers.values_mut() {
            writer.late |= now.duration_since(writer.since) >= PATIENCE;
            if !writer.late {
                settled = settled.min(writer.floor);
            }
        }
        self.settled = self.settled.max(settled);
        self.listed = self.published;
        Seen {
            settled: self.settled,
            arrived,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[&str]) -> HashSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn who_has_read_an_older_turn_is_waited_for() {
        let (mut settling, now) = (Settling::default(), Instant::now());
        settling.publish(100);
        assert_eq!(settling.list(&set(&[]), now).settled, 100);
        settling.publish(200);
        // It may have begun when 100 was published.
        assert_eq!(settling.list(&set(&["a"]), now).settled, 100);
        settling.publish(300);
        assert_eq!(settling.list(&set(&["a", "b"]), now).settled, 100);
        // b came when 200 had been published.
        assert_eq!(settling.list(&set(&["b"]), now).settled, 200);
        assert!(settling.is_moving());
        let seen = settling.list(&set(&[]), now);
        assert_eq!((seen.settled, seen.arrived), (300, None));
        assert!(!settling.is_moving());
    }

    #[test]
    fn the_late_are_not_waited_for_and_not_forgotten() {
        let (mut settling, now) = (Settling::default(), Instant::now());
        settling.publish(100);
        settling.list(&set(&[]), now);
        settling.publish(200);
        settling.list(&set(&["a"]), now);
        settling.publish(900);
        let seen = settling.list(&set(&["a"]), now + PATIENCE);
        assert_eq!((seen.settled, seen.arrived), (900, None));
        assert!(settling.is_moving());
        let seen = settling.list(&set(&[]), now + PATIENCE);
        assert_eq!((seen.settled, seen.arrived), (900, Some(100)));
        assert!(!settling.is_moving());
    }
}
