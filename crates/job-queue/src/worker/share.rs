//! How many of a worker's slots a domain may have.
//!
//! Three times as many as stay free, by which some always do: a domain alone gets three quarters, two get three sevenths each. (The
//! "dynamic thresholds" that switches share their buffers by: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998.)
//! Who has none may take any free one. So a domain whose jobs run for long does not keep another waiting for their end.

/// Below so many slots nothing is kept free: it would be too large a part.
const FEW: usize = 4;

/// How many more jobs a domain that runs `own` may begin, while `running` of the `slots` are taken.
pub(super) fn room(slots: usize, running: usize, own: usize) -> usize {
    let free = slots.saturating_sub(running);
    if slots < FEW {
        return free;
    }
    // The most for which own + most <= 3 * (free - most).
    let most = (3 * free).saturating_sub(own) / 4;
    if own == 0 { most.max(1).min(free) } else { most }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_stays_free() {
        for (slots, most) in [(1, 1), (2, 2), (3, 3), (4, 3), (8, 6), (32, 24), (100, 75)] {
            let mut own = 0;
            while room(slots, own, own) > 0 {
                own += 1;
            }
            assert_eq!((own, room(slots, 0, 0)), (most, most), "of {slots}");
        }
    }

    /// Each domain in turn takes all that it may, and none gives anything back.
    #[test]
    fn the_first_leave_some_for_the_next() {
        for (slots, wanted) in [
            (4, vec![3, 1, 0]),
            (8, vec![6, 1, 1, 0]),
            (32, vec![24, 6, 1, 1, 0]),
        ] {
            let mut running = 0;
            let taken: Vec<usize> = wanted
                .iter()
                .map(|_| {
                    let mut own = 0;
                    while room(slots, running, own) > 0 {
                        own += 1;
                        running += 1;
                    }
                    own
                })
                .collect();
            assert_eq!(taken, wanted, "of {slots}");
        }
    }

    /// As jobs end, shares even out: whoever has more than three times the free ones begins nothing.
    #[test]
    fn two_share_evenly_in_the_end() {
        assert_eq!((room(32, 26, 13), room(32, 26, 20)), (1, 0));
    }

    #[test]
    fn all_are_taken_when_there_are_enough_domains() {
        assert_eq!(room(4, 3, 0), 1);
        assert_eq!(room(4, 4, 0), 0);
        assert_eq!(room(32, 31, 1), 0);
    }
}
