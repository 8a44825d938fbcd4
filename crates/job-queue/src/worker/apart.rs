//! Domains that have all the slots of this worker that they may have. Claims for all leave them out, so that they find what is behind
//! them in line; what those passed over is claimed for each of these by itself, as slots of its own become free. When nothing of it is
//! left, the domain is one like the others again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

/// After so long, what a domain's transactions have enqueued is committed; the others are found by looks from the beginning.
const SETTLED: Duration = Duration::from_secs(1);
/// A domain that comes back sooner is given more at once.
const SOON: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(super) struct Apart(HashMap<Uuid, Own>);

struct Own {
    /// Nothing of the domain's is below this turn.
    from: i64,
    /// That will hold from this turn on, as of some time.
    next_from: (i64, Instant),
    highest: i64,
    last: (usize, Instant),
}

/// What to claim for one domain.
pub(super) struct Wanted {
    pub(super) domain: Uuid,
    pub(super) from: i64,
    /// Its next job is not as far away.
    pub(super) below: i64,
    pub(super) jobs: usize,
}

impl Apart {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, domain: Uuid) -> bool {
        self.0.contains_key(&domain)
    }

    pub(super) fn domains(&self) -> impl Iterator<Item = Uuid> {
        self.0.keys().copied()
    }

    /// From now on claims for all, which have come as far as `from` and `highest`, leave this domain out.
    pub(super) fn add(&mut self, domain: Uuid, from: i64, highest: i64) {
        let now = Instant::now();
        self.0.entry(domain).or_insert(Own {
            from,
            next_from: (from, now),
            highest,
            last: (0, now),
        });
    }

    /// The next claims begin at the line's beginning.
    pub(super) fn look_back(&mut self) {
        for own in self.0.values_mut() {
            own.from = 0;
        }
    }

    /// What to claim where there is `room`, at most so many at once. `reach` is how far behind a job its domain's next can be.
    pub(super) fn wanted(
        &self,
        room: impl Fn(Uuid) -> usize,
        most: usize,
        highest: i64,
        reach: i64,
    ) -> Vec<Wanted> {
        let want = |(domain, own): (&Uuid, &Own)| {
            let room = room(*domain);
            let (last, when) = own.last;
            let more = if when.elapsed() < SOON { last * 2 } else { 0 };
            (room > 0).then(|| Wanted {
                domain: *domain,
                from: own.from,
                below: own.highest.max(highest).saturating_add(reach),
                jobs: room.max(more).min(most),
            })
        };
        self.0.iter().filter_map(want).collect()
    }

    /// So many were found, at these turns.
    pub(super) fn claimed(&mut self, wanted: &Wanted, turns: &[i64]) {
        if turns.len() < wanted.jobs {
            self.0.remove(&wanted.domain);
            return;
        }
        let (Some(own), Some(first), Some(last)) = (
            self.0.get_mut(&wanted.domain),
            turns.iter().min(),
            turns.iter().max(),
        ) else {
            return;
        };
        let now = Instant::now();
        if now.duration_since(own.next_from.1) >= SETTLED {
            own.from = own.from.max(own.next_from.0);
            own.next_from = (*first, now);
        } else if own.from == 0 {
            own.from = *first;
        }
        own.highest = own.highest.max(*last);
        own.last = (turns.len(), now);
    }
}
