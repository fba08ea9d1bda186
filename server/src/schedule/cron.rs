//! The real times that a cron expression means in a time zone.
//!
//! The expression is matched against wall clocks only, and this file says when a clock on the wall shows such a time.
//! croner has rules of its own for that, which differ from the usual ones where several hours are named, and which
//! give up in a zone that leaves out a whole day.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use croner::Cron;

use crate::catalog::parse_cron;

/// When a cron expression fires in a time zone.
///
/// - An expression that names its hours (`30 2 * * *`) means times of the day: each comes once. One that the clock
///   leaves out comes right after the gap, and several in one gap come as one; of one that the clock shows twice the
///   first counts.
/// - An expression of every hour or every few hours (`0 * * * *`, `*/10 */2 * * *`) follows real time: it comes
///   whenever the clock shows such a time, twice where it shows it twice.
pub struct Ticks {
    cron: Cron,
    zone: Tz,
    /// It names no hours.
    hourly: bool,
}

impl Ticks {
    /// Reads an expression; `None` where it is none.
    pub fn new(expression: &str, zone: Tz) -> Option<Self> {
        let cron = parse_cron(expression).ok()?;
        let hours = expression.split_whitespace().nth(1)?;
        let hourly = ["*", "?", "0-23"].iter().any(|every| hours.starts_with(every));
        Some(Self { cron, zone, hourly })
    }

    /// The first time after `after`. `None`: there is none that can be said.
    pub fn after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = after.with_timezone(&self.zone).naive_local();
        // Where the clock shows this time twice, what it showed this long ago it may show again.
        let again = match self.zone.from_local_datetime(&local) {
            LocalResult::Ambiguous(first, second) => second - first,
            _ => TimeDelta::zero(),
        };
        let mut wall = local - again;
        let mut found: Option<DateTime<Utc>> = None;
        loop {
            wall = self.cron.find_next_occurrence(&wall.and_utc(), false).ok()?.naive_utc();
            if found.is_some() && (again.is_zero() || wall > local + again) {
                return found;
            }
            let next = self.shown(wall).into_iter().flatten().filter(|time| *time > after).min();
            found = found.into_iter().chain(next).min();
            if again.is_zero() && found.is_some() {
                return found;
            }
        }
    }

    /// When the clock shows `wall`, or what counts for it.
    fn shown(&self, wall: NaiveDateTime) -> [Option<DateTime<Utc>>; 2] {
        match self.zone.from_local_datetime(&wall) {
            LocalResult::Single(time) => [Some(time.to_utc()), None],
            LocalResult::Ambiguous(first, second) => {
                [Some(first.to_utc()), self.hourly.then(|| second.to_utc())]
            }
            LocalResult::None if self.hourly => [None, None],
            LocalResult::None => {
                let after_gap = GapInfo::new(&wall, &self.zone).and_then(|gap| gap.end);
                [after_gap.map(|time| time.to_utc()), None]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first `count` times after `after`, as the clock in the zone shows them.
    fn shown(expression: &str, zone: Tz, after: &str, count: usize) -> Vec<String> {
        let ticks = Ticks::new(expression, zone).unwrap();
        let mut time: DateTime<Utc> = after.parse().unwrap();
        let mut shown = Vec::new();
        for _ in 0..count {
            time = ticks.after(time).unwrap();
            shown.push(time.with_timezone(&zone).format("%d %H:%M%:z").to_string());
        }
        shown
    }

    #[test]
    fn without_a_change_of_the_clock_times_are_those_of_the_zone() {
        assert_eq!(
            shown("30 6 * * MON-FRI", Tz::Asia__Kolkata, "2026-01-01T12:00:00Z", 3),
            ["02 06:30+05:30", "05 06:30+05:30", "06 06:30+05:30"]
        );
        assert_eq!(shown("0 6 * * *", Tz::UTC, "2026-01-01T06:00:00Z", 1), ["02 06:00+00:00"]);
        assert_eq!(shown("0 6 * * *", Tz::UTC, "2026-01-01T05:59:59.999Z", 1), ["01 06:00+00:00"]);
    }

    #[test]
    fn a_time_that_the_clock_leaves_out_comes_once_right_after_the_gap() {
        // 02:00 to 03:00 on 29 March.
        let spring = "2026-03-28T12:00:00Z";
        assert_eq!(
            shown("30 2 * * *", Tz::Europe__Paris, spring, 2),
            ["29 03:00+02:00", "30 02:30+02:00"],
            "one time"
        );
        assert_eq!(
            shown("0,15,30 2,14 * * *", Tz::Europe__Paris, spring, 5),
            ["28 14:00+01:00", "28 14:15+01:00", "28 14:30+01:00", "29 03:00+02:00", "29 14:00+02:00"],
            "several hours and minutes are as much times of the day as one"
        );
        assert_eq!(
            shown("30 2,3 * * *", Tz::America__New_York, "2026-03-08T05:00:00Z", 3),
            ["08 03:00-04:00", "08 03:30-04:00", "09 02:30-04:00"]
        );
        // Half an hour only: 02:00 to 02:30 on 4 October.
        assert_eq!(
            shown("15 2 * * *", Tz::Australia__Lord_Howe, "2026-10-03T12:00:00Z", 2),
            ["04 02:30+11:00", "05 02:15+11:00"]
        );
    }

    #[test]
    fn a_time_that_the_clock_shows_twice_comes_once() {
        // 03:00 back to 02:00 on 25 October.
        let autumn = "2026-10-24T12:00:00Z";
        assert_eq!(shown("30 2 * * *", Tz::Europe__Paris, autumn, 2), ["25 02:30+02:00", "26 02:30+01:00"]);
        assert_eq!(
            shown("*/30 2 * * *", Tz::Europe__Paris, autumn, 3),
            ["25 02:00+02:00", "25 02:30+02:00", "26 02:00+01:00"]
        );
        assert_eq!(
            shown("30 2 * * *", Tz::Europe__Paris, "2026-10-25T00:30:00Z", 1),
            ["26 02:30+01:00"],
            "asked between the two"
        );
        assert_eq!(
            shown("45 1 * * *", Tz::Australia__Lord_Howe, "2026-04-04T12:00:00Z", 2),
            ["05 01:45+11:00", "06 01:45+10:30"]
        );
    }

    #[test]
    fn an_expression_of_every_hour_follows_real_time() {
        assert_eq!(
            shown("0 * * * *", Tz::Europe__Paris, "2026-03-28T23:30:00Z", 3),
            ["29 01:00+01:00", "29 03:00+02:00", "29 04:00+02:00"],
            "the gap"
        );
        assert_eq!(
            shown("30 * * * *", Tz::Europe__Paris, "2026-10-24T23:50:00Z", 3),
            ["25 02:30+02:00", "25 02:30+01:00", "25 03:30+01:00"],
            "twice"
        );
        assert_eq!(
            shown("*/20 */1 * * *", Tz::Australia__Lord_Howe, "2026-04-04T14:35:00Z", 4),
            ["05 01:40+11:00", "05 01:40+10:30", "05 02:00+10:30", "05 02:20+10:30"],
            "half an hour twice"
        );
    }

    #[test]
    fn a_zone_may_leave_out_a_whole_day() {
        // Apia went from 29 to 31 December 2011.
        assert_eq!(
            shown("0 6 * * *", Tz::Pacific__Apia, "2011-12-29T12:00:00Z", 3),
            ["29 06:00-10:00", "31 00:00+14:00", "31 06:00+14:00"]
        );
        assert_eq!(
            shown("0 6 * * FRI", Tz::Pacific__Apia, "2011-12-29T12:00:00Z", 2),
            ["31 00:00+14:00", "06 06:00+14:00"],
            "the Friday was left out"
        );
        assert_eq!(
            shown("0 */12 * * *", Tz::Pacific__Apia, "2011-12-29T12:00:00Z", 3),
            ["29 12:00-10:00", "31 00:00+14:00", "31 12:00+14:00"]
        );
    }

    #[test]
    fn the_rarest_days_are_found() {
        assert_eq!(
            shown("0 0 29 2 *", Tz::UTC, "2026-01-01T00:00:00Z", 2),
            ["29 00:00+00:00", "29 00:00+00:00"]
        );
        assert!(Ticks::new("nonsense", Tz::UTC).is_none());
    }

    const ZONES: [Tz; 6] = [
        Tz::Europe__Paris,
        Tz::America__New_York,
        Tz::Australia__Lord_Howe,
        Tz::Asia__Kolkata,
        Tz::Pacific__Apia,
        Tz::UTC,
    ];
    const EXPRESSIONS: [&str; 9] = [
        "* * * * *",
        "*/7 * * * *",
        "0 */2 * * *",
        "30 * * * *",
        "15 2 * * *",
        "*/10 1-3 * * *",
        "0,30 0,2 * * SUN",
        "59 23 * * *",
        "30 2 31 12 *",
    ];

    /// Every time of two years around the changes of the clock, found by asking each minute what the clock shows.
    fn by_looking(ticks: &Ticks, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let matches = |wall: NaiveDateTime| ticks.cron.is_time_matching(&wall.and_utc()).unwrap();
        let local = |time: DateTime<Utc>| time.with_timezone(&ticks.zone).naive_local();
        let minute = TimeDelta::minutes(1);
        let mut times = Vec::new();
        let mut highest = local(from - TimeDelta::days(2));
        let mut time = from - TimeDelta::days(2);
        while time <= to {
            let wall = local(time);
            let due = if ticks.hourly {
                matches(wall)
            } else {
                // What the clock has newly reached or jumped over.
                let mut due = false;
                while highest < wall {
                    highest += minute;
                    due |= matches(highest);
                }
                due
            };
            if due && time > from {
                times.push(time);
            }
            time += minute;
        }
        times
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn times_are_those_that_a_person_before_the_clock_would_see(
            zone in prop::sample::select(&ZONES[..]),
            expression in prop::sample::select(&EXPRESSIONS[..]),
            start in prop_oneof![
                // Around the changes of 2026 in Paris, New York and Lord Howe, Apia's lost day, and any time.
                Just(1_774_742_400_i64), Just(1_792_886_400), Just(1_772_949_600), Just(1_775_311_200),
                Just(1_325_152_800), 1_262_304_000_i64..2_000_000_000,
            ],
            shift in 0_i64..86_400,
        ) {
            let from = DateTime::from_timestamp((start + shift) / 60 * 60, 0).unwrap();
            let to = from + TimeDelta::days(2);
            let ticks = Ticks::new(expression, zone).unwrap();
            let mut found = Vec::new();
            let mut time = from;
            while let Some(next) = ticks.after(time).filter(|next| *next <= to) {
                prop_assert!(next > time, "time goes on");
                found.push(next);
                time = next;
            }
            prop_assert_eq!(found, by_looking(&ticks, from, to));
        }
    }
}
