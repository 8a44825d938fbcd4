//! When a schedule fires: cron expressions in a time zone.

use std::str::FromStr as _;

use chrono::offset::Offset as _;
use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};

use crate::error::Error;

/// Clocks that go forward by more leave out what they leave out: a day (Samoa, 30 December 2011), or hours of a station in Antarctica.
const LONGEST_MADE_UP: TimeDelta = TimeDelta::hours(2);
/// How far ahead such a leap is looked for: 29 February comes after eight years at the latest.
const HORIZON: TimeDelta = TimeDelta::days(9 * 366);

/// A cron expression in a time zone.
///
/// Five fields (minute, hour, day of month, month, day of week), or six with seconds first; `L` is a month's last day. When clocks
/// go forward, one fixed time of day (a single hour and minute) that does not exist that day fires at the next one that does; when
/// they go back, it fires once, at its first occurrence. Lists, ranges, steps and `*` leave out what does not exist, and go on
/// through both hours (croner's rules). When clocks go forward by more than two hours, all that they leave out is left out.
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
        // croner gives up where it meets a leap of more than two hours.
        let next = match self.find(time, false) {
            Some(next) => next,
            None => self.find(self.long_leap_after(time)?, true)?,
        };
        // It makes up for the last two hours of what such a leap left out, which leaves two hours more of the day before.
        let made_up = !self
            .cron
            .is_time_matching(&next.with_timezone(&self.zone))
            .unwrap_or(true)
            && self.leap_at(next) > LONGEST_MADE_UP;
        if made_up {
            self.find(next, true)
        } else {
            Some(next)
        }
    }

    fn find(&self, time: DateTime<Utc>, inclusive: bool) -> Option<DateTime<Utc>> {
        let next = self
            .cron
            .find_next_occurrence(&time.with_timezone(&self.zone), inclusive)
            .ok()?;
        Some(next.with_timezone(&Utc))
    }

    /// How far clocks go forward at a moment.
    fn leap_at(&self, time: DateTime<Utc>) -> TimeDelta {
        self.offset(time) - self.offset(time - TimeDelta::seconds(1))
    }

    fn offset(&self, time: DateTime<Utc>) -> TimeDelta {
        let offset = self.zone.offset_from_utc_datetime(&time.naive_utc()).fix();
        TimeDelta::seconds(i64::from(offset.local_minus_utc()))
    }

    /// The next moment at which clocks go forward by more than is made up for.
    fn long_leap_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let hour = TimeDelta::hours(1);
        let mut before = time;
        while before < time + HORIZON {
            let after = before + hour;
            if self.offset(after) - self.offset(before) > LONGEST_MADE_UP {
                // Within the hour, the second.
                return (1..=3600)
                    .map(|seconds| before + TimeDelta::seconds(seconds))
                    .find(|moment| self.leap_at(*moment) > LONGEST_MADE_UP);
            }
            before = after;
        }
        None
    }
}

#[cfg(test)]
mod tests {
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
            ("Pacific/Apia", 2011, 364),
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

    /// Cron, zone, from when (UTC), and the firings that follow, by the zone's clocks.
    const EDGES: &[(&str, &str, &str, &[&str])] = &[
        // 30 December 2011 is left out in Samoa: clocks go from the end of the 29th, ten hours behind UTC, to the 31st.
        (
            "0 9 * * *",
            "Pacific/Apia",
            "2011-12-28T12:00Z",
            &[
                "12-28T09:00-10:00",
                "12-29T09:00-10:00",
                "12-31T09:00+14:00",
                "01-01T09:00+14:00",
            ],
        ),
        (
            "0 0 * * *",
            "Pacific/Apia",
            "2011-12-29T00:00Z",
            &["12-29T00:00-10:00", "12-31T00:00+14:00", "01-01T00:00+14:00"],
        ),
        (
            "59 23 * * *",
            "Pacific/Apia",
            "2011-12-29T00:00Z",
            &["12-28T23:59-10:00", "12-29T23:59-10:00", "12-31T23:59+14:00"],
        ),
        (
            "0 9 30 * *",
            "Pacific/Apia",
            "2011-11-15T00:00Z",
            &["11-30T09:00-10:00", "01-30T09:00+14:00"],
        ),
        (
            "0 9 30 12 *",
            "Pacific/Apia",
            "2011-12-01T00:00Z",
            &["12-30T09:00+14:00"],
        ),
        (
            "0 9 * * 5",
            "Pacific/Apia",
            "2011-12-20T00:00Z",
            &["12-23T09:00-10:00", "01-06T09:00+14:00"],
        ),
        (
            "0 * * * *",
            "Pacific/Apia",
            "2011-12-30T08:30Z",
            &["12-29T23:00-10:00", "12-31T00:00+14:00", "12-31T01:00+14:00"],
        ),
        (
            "0 12 L * *",
            "Pacific/Apia",
            "2011-12-01T00:00Z",
            &["12-31T12:00+14:00", "01-31T12:00+14:00"],
        ),
        // Three hours at once: Casey in Antarctica, 18 October 2009, from 02:00 to 05:00.
        (
            "30 3 * * *",
            "Antarctica/Casey",
            "2009-10-16T00:00Z",
            &["10-17T03:30+08:00", "10-19T03:30+11:00"],
        ),
        // One hour: 02:00 becomes 03:00.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-27T12:00Z",
            &["03-28T02:30+01:00", "03-29T03:00+02:00", "03-30T02:30+02:00"],
        ),
        (
            "30 2 * * *",
            "America/New_York",
            "2026-03-07T12:00Z",
            &["03-08T03:00-04:00", "03-09T02:30-04:00"],
        ),
        (
            "0 30 2 * * *",
            "America/New_York",
            "2026-03-07T12:00Z",
            &["03-08T03:00-04:00", "03-09T02:30-04:00"],
        ),
        (
            "30 1,2 * * *",
            "America/New_York",
            "2026-03-08T00:00Z",
            &["03-08T01:30-05:00", "03-09T01:30-04:00", "03-09T02:30-04:00"],
        ),
        // And back: an hour comes twice.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00Z",
            &["10-25T02:30+02:00", "10-26T02:30+01:00"],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00Z",
            &["11-01T01:30-04:00", "11-02T01:30-05:00"],
        ),
        (
            "30 1,2 * * *",
            "America/New_York",
            "2026-11-01T05:00Z",
            &["11-01T01:30-04:00", "11-01T01:30-05:00", "11-01T02:30-05:00"],
        ),
        (
            "*/30 1 * * *",
            "America/New_York",
            "2026-11-01T04:50Z",
            &[
                "11-01T01:00-04:00",
                "11-01T01:30-04:00",
                "11-01T01:00-05:00",
                "11-01T01:30-05:00",
                "11-02T01:00-05:00",
            ],
        ),
        // Half an hour, forward and back.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00Z",
            &["10-04T02:30+11:00", "10-05T02:15+11:00"],
        ),
        (
            "0 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00Z",
            &["10-04T02:30+11:00", "10-05T02:00+11:00"],
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T00:00Z",
            &["04-05T01:45+11:00", "04-06T01:45+10:30"],
        ),
        (
            "*/15 * * * *",
            "Australia/Lord_Howe",
            "2026-04-04T14:20Z",
            &[
                "04-05T01:30+11:00",
                "04-05T01:45+11:00",
                "04-05T01:30+10:30",
                "04-05T01:45+10:30",
                "04-05T02:00+10:30",
            ],
        ),
        // Days that not every month has, nor every year.
        (
            "0 12 29 2 *",
            "Europe/Berlin",
            "2027-01-01T00:00Z",
            &["02-29T12:00+01:00", "02-29T12:00+01:00"],
        ),
        ("0 12 29 2 *", "UTC", "2096-03-01T00:00Z", &["02-29T12:00+00:00"]),
        (
            "0 12 31 * *",
            "Europe/Berlin",
            "2026-01-01T00:00Z",
            &[
                "01-31T12:00+01:00",
                "03-31T12:00+02:00",
                "05-31T12:00+02:00",
                "07-31T12:00+02:00",
                "08-31T12:00+02:00",
                "10-31T12:00+01:00",
                "12-31T12:00+01:00",
            ],
        ),
        (
            "0 12 L * *",
            "Europe/Berlin",
            "2027-12-15T00:00Z",
            &[
                "12-31T12:00+01:00",
                "01-31T12:00+01:00",
                "02-29T12:00+01:00",
                "03-31T12:00+02:00",
                "04-30T12:00+02:00",
            ],
        ),
        (
            "0 12 L 2 *",
            "UTC",
            "2026-01-01T00:00Z",
            &["02-28T12:00+00:00", "02-28T12:00+00:00", "02-29T12:00+00:00"],
        ),
        (
            "0 12 * * 5L",
            "UTC",
            "2026-01-01T00:00Z",
            &["01-30T12:00+00:00", "02-27T12:00+00:00", "03-27T12:00+00:00"],
        ),
        // The last day of a month and a change of clocks on one and the same: Berlin, 31 March 2024.
        (
            "30 2 L * *",
            "Europe/Berlin",
            "2024-03-01T00:00Z",
            &["03-31T03:00+02:00", "04-30T02:30+02:00"],
        ),
        // Never.
        ("0 12 30 2 *", "UTC", "2026-01-01T00:00Z", &[]),
        ("0 12 31 2,4 *", "Pacific/Apia", "2011-01-01T00:00Z", &[]),
    ];

    #[test]
    fn edges_of_calendars_and_clocks() {
        for (cron, zone, from, firings) in EDGES {
            let (times, tz) = (Times::parse(cron, zone).unwrap(), Tz::from_str(zone).unwrap());
            let mut time = DateTime::parse_from_str(&from.replace('Z', "+0000"), "%Y-%m-%dT%H:%M%z")
                .unwrap()
                .with_timezone(&Utc);
            for (index, wanted) in firings.iter().enumerate() {
                let next = times
                    .next_after(time)
                    .unwrap_or_else(|| panic!("{cron} in {zone} fires no more after {time}"));
                assert!(next > time, "{cron} in {zone}: {next} after {time}");
                let local = next.with_timezone(&tz).format("%m-%dT%H:%M%:z").to_string();
                assert_eq!(local, *wanted, "firing {index} of {cron} in {zone}");
                time = next;
            }
            if firings.is_empty() {
                assert_eq!(times.next_after(time), None, "{cron} in {zone}");
            }
        }
    }

    #[test]
    fn the_next_leap_day_may_be_eight_years_away() {
        let times = Times::parse("0 12 29 2 *", "UTC").unwrap();
        assert_eq!(
            times.next_after(at("2096-02-29T12:00:00Z")),
            Some(at("2104-02-29T12:00:00Z"))
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let zone = Times::parse("* * * * *", "Mars/Olympus").unwrap_err();
        assert!(zone.to_string().contains("Mars/Olympus"), "{zone}");
        let cron = Times::parse("every day", "UTC").unwrap_err();
        assert!(cron.to_string().contains("every day"), "{cron}");
    }
}
