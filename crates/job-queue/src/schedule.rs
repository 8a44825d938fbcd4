//! Schedules: cron expressions in a time zone, kept in the database.

use std::str::FromStr as _;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use tokio_postgres::GenericClient;
use uuid::Uuid;

use crate::error::Error;
use crate::job::{Job, Priority};
use crate::new_job::payload_of;
use crate::sql;

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

/// A cron expression in a time zone.
///
/// Five fields (minute, hour, day of month, month, day of week), or six with seconds first. When clocks go forward, a time that
/// does not exist that day fires at the next one that does; when they go back, a fixed time fires once, at its first occurrence, and
/// `*` and steps go on through both hours (Vixie cron's rules, by croner).
#[derive(Clone, Debug)]
pub struct Times {
    cron: Cron,
    zone: Tz,
}

impl Times {
    /// Reads both.
    ///
    /// # Errors
    /// An expression or a zone that cannot be read.
    pub fn parse(cron: &str, zone: &str) -> Result<Self, Error> {
        let zone = Tz::from_str(zone).map_err(|_unknown| Error::Invalid {
            what: "the time zone",
            value: zone.to_owned(),
            rule: "a name of the IANA database, such as Europe/Berlin or UTC",
        })?;
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let cron = parser.parse(cron).map_err(|error| Error::Cron {
            cron: cron.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self { cron, zone })
    }

    /// The first firing after a time; `None` when there is none any more.
    #[must_use]
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = self
            .cron
            .find_next_occurrence(&time.with_timezone(&self.zone), false)
            .ok()?;
        Some(next.with_timezone(&Utc))
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
    use chrono::TimeZone as _;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn following(cron: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let times = Times::parse(cron, zone).unwrap();
        let mut time = at(from);
        (0..count)
            .map(|_| {
                time = times.next_after(time).unwrap();
                time.format("%Y-%m-%dT%H:%MZ").to_string()
            })
            .collect()
    }

    #[test]
    fn a_time_of_day_follows_its_zone_through_the_year() {
        // Berlin: +1 until 29 March 2026, then +2.
        let days = following("30 9 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3);
        assert_eq!(
            days,
            ["2026-03-28T08:30Z", "2026-03-29T07:30Z", "2026-03-30T07:30Z"]
        );
    }

    #[test]
    fn a_time_that_does_not_exist_fires_at_the_next_one() {
        // 02:30 on 29 March 2026 is skipped in Berlin: 02:00 becomes 03:00, which is 01:00 UTC.
        let days = following("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2);
        assert_eq!(days, ["2026-03-29T01:00Z", "2026-03-30T00:30Z"]);
    }

    #[test]
    fn a_time_that_comes_twice_fires_once() {
        // 02:30 on 25 October 2026 comes at 00:30 and at 01:30 UTC.
        let days = following("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(days, ["2026-10-25T00:30Z", "2026-10-26T01:30Z"]);
    }

    #[test]
    fn every_half_hour_means_every_half_hour_when_clocks_go_back() {
        let times = following("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 6);
        assert_eq!(
            times,
            [
                "2026-10-25T00:00Z",
                "2026-10-25T00:30Z",
                "2026-10-25T01:00Z",
                "2026-10-25T01:30Z",
                "2026-10-25T02:00Z",
                "2026-10-25T02:30Z"
            ]
        );
    }

    /// Each local day once, whatever the clocks do: zones whose hour is skipped or doubled at 2, at midnight, by half an hour, twice a
    /// year around Ramadan, and on the day line.
    #[test]
    fn a_daily_time_fires_once_on_each_day_there_is() {
        for (zone, year, days) in [
            ("Europe/Berlin", 2026, 365),
            ("America/New_York", 2026, 365),
            ("Australia/Lord_Howe", 2026, 365),
            ("America/Santiago", 2026, 365),
            ("Africa/Casablanca", 2026, 365),
            ("Africa/Cairo", 2026, 365),
            ("Pacific/Apia", 2012, 366),
        ] {
            for cron in [
                "0 0 * * *",
                "15 1 * * *",
                "0 2 * * *",
                "30 2 * * *",
                "15 3 * * *",
                "30 23 * * *",
            ] {
                let times = Times::parse(cron, zone).unwrap();
                let tz: Tz = zone.parse().unwrap();
                let begin = tz
                    .with_ymd_and_hms(year, 1, 1, 12, 0, 0)
                    .unwrap()
                    .with_timezone(&Utc);
                let end = tz
                    .with_ymd_and_hms(year + 1, 1, 1, 12, 0, 0)
                    .unwrap()
                    .with_timezone(&Utc);
                let mut fired = Vec::new();
                let mut time = begin;
                while let Some(next) = times.next_after(time).filter(|next| *next <= end) {
                    assert!(next > time, "{cron} {zone}: {next} after {time}");
                    fired.push(next.with_timezone(&tz).date_naive());
                    time = next;
                }
                let mut dates = fired.clone();
                dates.dedup();
                assert_eq!(fired, dates, "{cron} in {zone}: twice on one day");
                assert_eq!(fired.len(), days, "{cron} in {zone}");
            }
        }
    }

    /// An hour of time is an hour of time: `*` goes on through what is doubled, and leaves out nothing that there is.
    #[test]
    fn every_hour_and_every_quarter_keep_their_distance() {
        for zone in ["Europe/Berlin", "America/New_York", "America/Santiago", "UTC"] {
            for (cron, step) in [("0 * * * *", 60), ("*/15 * * * *", 15)] {
                let times = Times::parse(cron, zone).unwrap();
                let mut time = at("2026-01-01T00:00:00Z");
                while time < at("2027-01-01T00:00:00Z") {
                    let next = times.next_after(time).unwrap();
                    assert_eq!((next - time).num_minutes(), step, "{cron} in {zone} after {time}");
                    time = next;
                }
            }
        }
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

    #[test]
    fn what_cannot_be_read_is_named() {
        let zone = Times::parse("* * * * *", "Mars/Olympus").unwrap_err();
        assert!(zone.to_string().contains("Mars/Olympus"), "{zone}");
        let cron = Times::parse("every day", "UTC").unwrap_err();
        assert!(cron.to_string().contains("every day"), "{cron}");
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
