//! Schedules: cron expressions in a time zone, kept in the database.

use chrono::{DateTime, Utc};
use tokio_postgres::GenericClient;
use uuid::Uuid;

use crate::error::Error;
use crate::job::{Job, Priority};
use crate::new_job::payload_of;
use crate::sql;
use crate::times::Times;

/// What becomes of firings that nobody was there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// They are left out: a firing is due for a minute, then the next one counts.
    Skip,
    /// One job for all of them.
    Once,
    /// A job for each, oldest first.
    All,
}

/// How late a firing may be where missed ones are skipped.
pub(crate) const SKIP_AFTER: chrono::TimeDelta = chrono::TimeDelta::seconds(60);
/// Firings made up for in one go; the rest follows at once.
const AT_ONCE: usize = 500;

impl Missed {
    fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
            Self::All => "all",
        }
    }

    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "once" => Self::Once,
            "all" => Self::All,
            _ => Self::Skip,
        }
    }
}

/// Which firings count now, and which one comes next. `due` is the stored next firing, not after `now`.
pub(crate) fn firings(
    times: &Times,
    missed: Missed,
    due: DateTime<Utc>,
    now: DateTime<Utc>,
) -> (Vec<DateTime<Utc>>, Option<DateTime<Utc>>) {
    match missed {
        Missed::All => {
            let mut all = vec![due];
            let mut next = times.next_after(due);
            while let Some(time) = next.filter(|time| *time <= now && all.len() < AT_ONCE) {
                all.push(time);
                next = times.next_after(time);
            }
            (all, next)
        }
        Missed::Once => (vec![due], times.next_after(now)),
        Missed::Skip => {
            let since = now - SKIP_AFTER;
            let current = if due >= since {
                Some(due)
            } else {
                times.next_after(since)
            };
            let fired = current.filter(|time| *time <= now);
            (fired.into_iter().collect(), times.next_after(now))
        }
    }
}

/// A schedule to be defined.
#[derive(Clone, Debug)]
pub struct NewSchedule {
    name: String,
    domain: Uuid,
    queue: String,
    kind: &'static str,
    priority: Priority,
    max_attempts: u32,
    payload: String,
    cron: String,
    zone: String,
    missed: Missed,
}

impl NewSchedule {
    /// Enqueues `job` in `domain` whenever `cron` says so in UTC, leaving out what was missed.
    ///
    /// # Errors
    /// A payload that [`NewJob::new`](crate::NewJob::new) would refuse.
    pub fn new<J: Job>(
        name: impl Into<String>,
        domain: Uuid,
        cron: impl Into<String>,
        job: &J,
    ) -> Result<Self, Error> {
        let payload = payload_of(job)?;
        Ok(Self {
            name: name.into(),
            domain,
            queue: J::QUEUE.to_owned(),
            kind: J::NAME,
            priority: J::PRIORITY,
            max_attempts: J::MAX_ATTEMPTS,
            payload,
            cron: cron.into(),
            zone: "UTC".to_owned(),
            missed: Missed::Skip,
        })
    }

    /// The time zone that the expression is meant in, by its IANA name.
    #[must_use]
    pub fn time_zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = zone.into();
        self
    }

    /// What becomes of missed firings.
    #[must_use]
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// Defines it in the database, or defines it anew; any number of replicas may do so at every start. The next firing moves only
    /// when the times changed.
    ///
    /// # Errors
    /// An expression or zone that cannot be read, and what the database fails with.
    pub async fn put(&self, client: &impl GenericClient) -> Result<(), Error> {
        let times = Times::parse(&self.cron, &self.zone)?;
        let now: DateTime<Utc> = client.query_one("SELECT now()", &[]).await?.try_get(0)?;
        let next = times.next_after(now);
        let attempts = i32::try_from(self.max_attempts.max(1)).unwrap_or(i32::MAX);
        client
            .execute(
                sql::SCHEDULE_PUT,
                &[
                    &Some(self.domain),
                    &self.name,
                    &self.queue,
                    &self.kind,
                    &self.priority.number(),
                    &attempts,
                    &self.payload,
                    &self.cron,
                    &self.zone,
                    &self.missed.name(),
                    &next,
                ],
            )
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// Catching up goes by the zone's days, too: three of them over the night when clocks change.
    #[test]
    fn missed_firings_across_a_change_of_clocks_are_the_days_that_were() {
        let times = Times::parse("30 2 * * *", "Europe/Berlin").unwrap();
        for (due, now, all) in [
            (
                "2026-03-28T01:30:00Z",
                "2026-03-30T12:00:00Z",
                [
                    "2026-03-28T01:30:00Z",
                    "2026-03-29T01:00:00Z",
                    "2026-03-30T00:30:00Z",
                ],
            ),
            (
                "2026-10-24T00:30:00Z",
                "2026-10-26T12:00:00Z",
                [
                    "2026-10-24T00:30:00Z",
                    "2026-10-25T00:30:00Z",
                    "2026-10-26T01:30:00Z",
                ],
            ),
        ] {
            let (fired, _) = firings(&times, Missed::All, at(due), at(now));
            assert_eq!(fired, all.map(at));
        }
        // Within the doubled hour, the second 02:30 is not another firing.
        let (fired, next) = firings(
            &times,
            Missed::Skip,
            at("2026-10-25T00:30:00Z"),
            at("2026-10-25T00:30:01Z"),
        );
        assert_eq!(
            (fired.as_slice(), next),
            (
                &[at("2026-10-25T00:30:00Z")][..],
                Some(at("2026-10-26T01:30:00Z"))
            )
        );
    }

    /// A worker that was away while Samoa left out 30 December 2011, at 09:00 each day. What is missed is the days that there were.
    #[test]
    fn missed_firings_over_a_day_that_was_left_out() {
        let times = Times::parse("0 9 * * *", "Pacific/Apia").unwrap();
        let (due, now) = (at("2011-12-28T19:00:00Z"), at("2011-12-31T20:00:00Z"));
        let days = [
            "2011-12-28T19:00:00Z",
            "2011-12-29T19:00:00Z",
            "2011-12-30T19:00:00Z",
            "2011-12-31T19:00:00Z",
        ];
        let next = Some(at("2012-01-01T19:00:00Z"));
        assert_eq!(
            firings(&times, Missed::All, due, now),
            (days.map(at).to_vec(), next)
        );
        assert_eq!(firings(&times, Missed::Once, due, now), (vec![due], next));
        assert_eq!(firings(&times, Missed::Skip, due, now), (vec![], next));
        // It comes back half a minute after a firing: that one is not missed.
        let prompt = at("2011-12-30T19:00:30Z");
        let next = Some(at("2011-12-31T19:00:00Z"));
        assert_eq!(
            firings(&times, Missed::Skip, due, prompt),
            (vec![at("2011-12-30T19:00:00Z")], next)
        );
    }

    /// A worker that was away for nine years.
    #[test]
    fn missed_leap_days_are_those_that_there_were() {
        let times = Times::parse("0 12 29 2 *", "UTC").unwrap();
        let (due, now) = (at("2028-02-29T12:00:00Z"), at("2037-01-01T00:00:00Z"));
        let (all, next) = firings(&times, Missed::All, due, now);
        assert_eq!(
            all,
            [
                "2028-02-29T12:00:00Z",
                "2032-02-29T12:00:00Z",
                "2036-02-29T12:00:00Z"
            ]
            .map(at)
        );
        assert_eq!(next, Some(at("2040-02-29T12:00:00Z")));
    }

    #[test]
    fn missed_firings_are_skipped_joined_or_made_up_for() {
        let times = Times::parse("0 * * * *", "UTC").unwrap();
        let (due, now) = (at("2026-01-01T01:00:00Z"), at("2026-01-01T04:30:00Z"));
        let next = Some(at("2026-01-01T05:00:00Z"));
        assert_eq!(firings(&times, Missed::Skip, due, now), (vec![], next));
        assert_eq!(firings(&times, Missed::Once, due, now), (vec![due], next));
        let (all, after) = firings(&times, Missed::All, due, now);
        assert_eq!((all.len(), after), (4, next));
        // In time is in time, whatever the choice.
        let prompt = at("2026-01-01T01:00:02Z");
        for missed in [Missed::Skip, Missed::Once, Missed::All] {
            assert_eq!(
                firings(&times, missed, due, prompt),
                (vec![due], Some(at("2026-01-01T02:00:00Z")))
            );
        }
        // After an outage that ends just behind a firing, that one still counts.
        let (current, _) = firings(&times, Missed::Skip, due, at("2026-01-01T04:00:10Z"));
        assert_eq!(current, [at("2026-01-01T04:00:00Z")]);
    }

    #[test]
    fn a_long_outage_is_made_up_for_in_portions() {
        let times = Times::parse("* * * * *", "UTC").unwrap();
        let due = at("2026-01-01T00:00:00Z");
        let (all, next) = firings(&times, Missed::All, due, at("2026-01-02T00:00:00Z"));
        assert_eq!(all.len(), AT_ONCE);
        assert_eq!(next, times.next_after(*all.last().unwrap()));
    }
}
