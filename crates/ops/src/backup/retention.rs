//! Which backups are kept: grandfathers, fathers and sons.
//!
//! Of each of the last so many days, weeks and months that have a backup, one is kept: the newest proved one, or where none
//! is proved the newest. Days without a backup do not count, so that a pause, or a clock that has run ahead, takes nothing
//! away. Whatever the policy says, the newest finished backup and the newest proved one stay.

use chrono::{DateTime, Datelike as _, Utc};

/// How many of each are kept.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub daily: u32,
    pub weekly: u32,
    pub monthly: u32,
}

/// A finished backup, as far as its keeping goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub at: DateTime<Utc>,
    pub proved: bool,
}

/// Day, ISO week and month, in UTC.
type Period = fn(DateTime<Utc>) -> (i32, u32);

/// For each of the candidates why it is kept; nothing for those that are not.
pub(super) fn keep(candidates: &[Candidate], policy: Policy) -> Vec<Vec<&'static str>> {
    let mut kept: Vec<Vec<&'static str>> = vec![Vec::new(); candidates.len()];
    let mut mark = |index: usize, why| {
        if let Some(reasons) = kept.get_mut(index) {
            reasons.push(why);
        }
    };
    let mut newest_first: Vec<usize> = (0..candidates.len()).collect();
    let at = |index: &usize| candidates.get(*index).map(|candidate| candidate.at);
    newest_first.sort_by_key(|index| std::cmp::Reverse(at(index)));
    let proved = |index: &usize| candidates.get(*index).is_some_and(|candidate| candidate.proved);
    if let Some(newest) = newest_first.first() {
        mark(*newest, "newest");
    }
    if let Some(newest) = newest_first.iter().find(|index| proved(index)) {
        mark(*newest, "newest proved");
    }
    let periods: [(&'static str, u32, Period); 3] = [
        ("daily", policy.daily, |at| (at.year(), at.ordinal())),
        ("weekly", policy.weekly, |at| {
            (at.iso_week().year(), at.iso_week().week())
        }),
        ("monthly", policy.monthly, |at| (at.year(), at.month())),
    ];
    for (why, count, period) in periods {
        let mut seen: Vec<((i32, u32), usize)> = Vec::new();
        for index in &newest_first {
            let Some(this) = at(index).map(period) else {
                continue;
            };
            match seen.iter_mut().find(|(other, _)| *other == this) {
                // The newest proved one stands for its period.
                Some((_, chosen)) => {
                    if !proved(chosen) && proved(index) {
                        *chosen = *index;
                    }
                }
                None => seen.push((this, *index)),
            }
        }
        for (_, index) in seen.into_iter().take(count as usize) {
            mark(index, why);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        daily: 3,
        weekly: 2,
        monthly: 2,
    };

    /// `2026-11-20T03 p`: proved.
    fn kept(backups: &[&str], policy: Policy) -> Vec<String> {
        let candidates: Vec<Candidate> = backups
            .iter()
            .map(|text| Candidate {
                at: format!("{}:00:00Z", &text[..13]).parse().unwrap(),
                proved: text.ends_with(" p"),
            })
            .collect();
        keep(&candidates, policy)
            .into_iter()
            .zip(backups)
            .filter(|(why, _)| !why.is_empty())
            .map(|(why, text)| format!("{text}: {}", why.join(", ")))
            .collect()
    }

    #[test]
    fn the_policy() {
        let table: &[(&str, &[&str], Policy, &[&str])] = &[
            ("nothing", &[], POLICY, &[]),
            (
                "one unproved one, under a policy that keeps none",
                &["2026-11-20T03"],
                Policy {
                    daily: 0,
                    weekly: 0,
                    monthly: 0,
                },
                &["2026-11-20T03: newest"],
            ),
            (
                "the last proved one stays, however old, under a policy that keeps none",
                &[
                    "2024-01-01T03 p",
                    "2025-01-01T03 p",
                    "2026-11-19T03",
                    "2026-11-20T03",
                ],
                Policy {
                    daily: 0,
                    weekly: 0,
                    monthly: 0,
                },
                &["2025-01-01T03 p: newest proved", "2026-11-20T03: newest"],
            ),
            (
                "days, weeks and months: 2026-11-16 is a Monday",
                &[
                    "2026-08-31T03 p",
                    "2026-09-30T03 p",
                    "2026-10-30T03 p",
                    "2026-11-08T03 p",
                    "2026-11-14T03 p",
                    "2026-11-15T03 p",
                    "2026-11-18T03 p",
                    "2026-11-19T03 p",
                    "2026-11-20T03 p",
                ],
                POLICY,
                &[
                    "2026-10-30T03 p: monthly",
                    "2026-11-15T03 p: weekly",
                    "2026-11-18T03 p: daily",
                    "2026-11-19T03 p: daily",
                    "2026-11-20T03 p: newest, newest proved, daily, weekly, monthly",
                ],
            ),
            (
                "several a day: the newest proved one stands for the day, the newest stays besides",
                &["2026-11-20T01 p", "2026-11-20T02 p", "2026-11-20T03"],
                Policy {
                    daily: 1,
                    weekly: 0,
                    monthly: 0,
                },
                &["2026-11-20T02 p: newest proved, daily", "2026-11-20T03: newest"],
            ),
            (
                "a pause does not count",
                &["2026-01-01T03", "2026-01-02T03", "2026-11-20T03"],
                Policy {
                    daily: 3,
                    weekly: 0,
                    monthly: 0,
                },
                &[
                    "2026-01-01T03: daily",
                    "2026-01-02T03: daily",
                    "2026-11-20T03: newest, daily",
                ],
            ),
            (
                "a clock that ran ahead takes nothing but its own place",
                &[
                    "2026-11-18T03 p",
                    "2026-11-19T03 p",
                    "2026-11-20T03 p",
                    "2036-01-01T03",
                ],
                Policy {
                    daily: 3,
                    weekly: 0,
                    monthly: 0,
                },
                &[
                    "2026-11-19T03 p: daily",
                    "2026-11-20T03 p: newest proved, daily",
                    "2036-01-01T03: newest, daily",
                ],
            ),
            (
                "the first of January is in a week of the old year",
                &["2026-12-28T03", "2027-01-01T03", "2027-01-04T03"],
                Policy {
                    daily: 0,
                    weekly: 5,
                    monthly: 0,
                },
                &["2027-01-01T03: weekly", "2027-01-04T03: newest, weekly"],
            ),
        ];
        for (what, backups, policy, expected) in table {
            assert_eq!(kept(backups, *policy), *expected, "{what}");
            let mut backwards: Vec<&str> = backups.to_vec();
            backwards.reverse();
            let mut same = kept(&backwards, *policy);
            same.reverse();
            assert_eq!(same, *expected, "{what}, in another order");
        }
    }
}
