use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;

fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

fn every(text: &str) -> Schedule {
    Schedule { frequency: Some(text.parse().unwrap()), ..Schedule::default() }
}

fn both(frequency: &str, full: &str) -> Schedule {
    Schedule { full_frequency: Some(full.parse().unwrap()), ..every(frequency) }
}

/// Without jitter, so that times can be written out.
fn exact(schedule: Schedule) -> Schedule {
    Schedule { jitter: Some(Duration::ZERO), ..schedule }
}

#[test]
fn without_a_schedule_nothing_is_due() {
    assert_eq!(next("a", &Schedule::default(), None, at("2026-01-01T00:00:00Z")), None);
    assert!(!is_full("a", &Schedule::default(), None, at("2026-01-01T00:00:00Z")));
}

#[test]
fn the_ticks_of_an_interval_do_not_drift() {
    let schedule = every("15m");
    let first = next("a", &schedule, None, at("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(first.cause, Trigger::Schedule);
    let late = first.at + TimeDelta::seconds(100);
    assert_eq!(next("a", &schedule, None, late).unwrap().at, first.at + TimeDelta::minutes(15));
    let long_after = first.at + TimeDelta::days(3) + TimeDelta::seconds(1);
    let caught_up = next("a", &schedule, None, long_after).unwrap().at;
    assert_eq!(caught_up, first.at + TimeDelta::days(3) + TimeDelta::minutes(15), "once, not once per tick");
}

#[test]
fn connections_of_one_interval_spread_over_it() {
    let now = at("2026-01-01T00:00:00Z");
    let mut per_minute = [0_u32; 15];
    for number in 0..15_000 {
        let due = next(&format!("connection-{number}"), &every("15m"), None, now).unwrap().at;
        let into = usize::try_from((due - now).num_milliseconds() - 1).unwrap() / 60_000;
        per_minute[into] += 1;
    }
    assert!(per_minute.iter().all(|count| (850..1_150).contains(count)), "{per_minute:?}");
}

#[test]
fn connections_of_one_cron_expression_spread_over_the_jitter() {
    let before = at("2026-01-01T05:59:59Z");
    // The least and the most that a time is put off by.
    let spread_of = |schedule: &Schedule, period: TimeDelta| {
        let put_off = |number: u32| {
            let due = next(&number.to_string(), schedule, None, before).unwrap().at;
            due.timestamp_millis().rem_euclid(period.num_milliseconds())
        };
        let put_off: Vec<_> = (0..2_000).map(put_off).collect();
        (*put_off.iter().min().unwrap(), *put_off.iter().max().unwrap())
    };
    let within =
        |(low, high): (i64, i64), limit: i64| low < limit / 50 && high < limit && high > limit * 49 / 50;
    let jitter = |text: &str| Schedule { jitter: Some(Duration::from_secs(600)), ..every(text) };
    assert!(within(spread_of(&every("0 * * * *"), TimeDelta::hours(1)), 60_000), "a minute by default");
    let often = spread_of(&every("*/5 * * * *"), TimeDelta::minutes(5));
    assert!(within(often, 30_000), "at most a tenth of what lies between");
    assert!(within(spread_of(&jitter("0 * * * *"), TimeDelta::hours(1)), 600_000), "as it was said");
    let often = spread_of(&jitter("* * * * *"), TimeDelta::minutes(1));
    assert!(within(often, 60_000), "never past the next one");
    assert_eq!(spread_of(&exact(every("0 * * * *")), TimeDelta::hours(1)), (0, 0));
}

#[test]
fn a_time_that_was_put_off_is_still_to_come_after_its_tick() {
    let schedule = every("0 6 * * *");
    let due = next("a", &schedule, None, at("2026-01-01T05:00:00Z")).unwrap().at;
    assert!(due > at("2026-01-01T06:00:00.001Z"), "{due}");
    assert_eq!(next("a", &schedule, None, at("2026-01-01T06:00:00.001Z")).unwrap().at, due);
    assert_eq!(next("a", &schedule, None, due).unwrap().at, due + TimeDelta::days(1));
}

#[test]
fn cron_is_read_in_its_time_zone() {
    let schedule = exact(Schedule { time_zone: Tz::Europe__Paris, ..every("0 6 * * MON-FRI") });
    let due = |now| next("a", &schedule, None, at(now)).unwrap().at;
    assert_eq!(due("2026-03-27T12:00:00Z"), at("2026-03-30T04:00:00Z"), "summer time began on the 29th");
    assert_eq!(due("2026-01-01T12:00:00Z"), at("2026-01-02T05:00:00Z"));
}

#[test]
fn the_earlier_of_both_frequencies_is_next_and_a_tick_of_both_is_one_full_run() {
    let schedule = exact(both("0 */6 * * *", "0 0 * * SUN"));
    let last_full = Some(at("2026-01-04T00:10:00Z"));
    let due = |now| next("a", &schedule, last_full, at(now)).unwrap();
    // 4 and 11 January are Sundays.
    let ordinary = Due { at: at("2026-01-10T18:00:00Z"), cause: Trigger::Schedule, full: false };
    assert_eq!(due("2026-01-10T12:00:00Z"), ordinary);
    let full = Due { at: at("2026-01-11T00:00:00Z"), cause: Trigger::Schedule, full: true };
    assert_eq!(due("2026-01-10T18:00:00Z"), full);
    // The full run of the 11th did not go through: the next one makes up for it.
    assert_eq!(due("2026-01-11T00:00:00Z"), Due { at: at("2026-01-11T06:00:00Z"), ..full });

    let apart = exact(both("0 12 * * *", "0 3 * * SUN"));
    let due = next("a", &apart, last_full, at("2026-01-10T12:00:00Z")).unwrap();
    assert_eq!(due, Due { at: at("2026-01-11T03:00:00Z"), ..full }, "a full tick of its own");
}

#[test]
fn the_ticks_of_a_longer_interval_are_ticks_of_the_shorter_one() {
    let schedule = both("15m", "7d");
    let mut last_full = at("2026-01-01T00:00:00Z");
    let mut now = next("a", &schedule, Some(last_full), last_full).unwrap().at;
    let mut fulls = Vec::new();
    for _ in 0..(4 * 24 * 30) {
        let due = next("a", &schedule, Some(last_full), now).unwrap();
        assert_eq!(due.at - now, TimeDelta::minutes(15), "no tick of its own");
        now = due.at;
        if due.full {
            fulls.push(now);
            last_full = now + TimeDelta::minutes(7);
        }
    }
    assert!(fulls.len() >= 4);
    assert!(fulls.windows(2).all(|pair| pair[1] - pair[0] == TimeDelta::days(7)), "{fulls:?}");
}

#[test]
fn a_full_run_that_is_being_queued_is_not_due_once_more_for_its_jitter() {
    // Every minute is put off by up to 6 s, midnight by up to 60 s: the first full run comes with the minute's.
    let schedule = both("* * * * *", "0 0 * * *");
    let before = at("2026-01-01T23:59:30Z");
    let due = next("some-id", &schedule, Some(at("2026-01-01T00:01:00Z")), before).unwrap();
    assert!(due.full && due.at - at("2026-01-02T00:00:00Z") < TimeDelta::seconds(6), "{due:?}");
    let following = next("some-id", &schedule, Some(due.at), due.at).unwrap();
    assert_eq!(following, Due { at: due.at + TimeDelta::minutes(1), full: false, ..due });
}

#[test]
fn what_was_never_listed_is_listed_by_the_first_run() {
    let schedule = both("15m", "7d");
    assert!(is_full("a", &schedule, None, at("2026-01-01T00:00:00Z")));
    assert!(next("a", &schedule, None, at("2026-01-01T00:00:00Z")).unwrap().full);
    assert!(!is_full("a", &every("15m"), None, at("2026-01-01T00:00:00Z")), "the engine knows by itself");
}

#[test]
fn a_planned_time_comes_beside_the_schedule_and_once() {
    let mut schedule = exact(every("0 6 * * *"));
    schedule.planned_at = Some(at("2026-01-01T09:30:00Z"));
    schedule.planned_full = true;
    let due = |schedule: &Schedule, now| next("a", schedule, None, at(now)).unwrap();
    let scheduled = Due { at: at("2026-01-01T06:00:00Z"), cause: Trigger::Schedule, full: false };
    let planned = Due { at: at("2026-01-01T09:30:00Z"), cause: Trigger::Planned, full: true };
    assert_eq!(due(&schedule, "2026-01-01T05:00:00Z"), scheduled);
    assert_eq!(due(&schedule, "2026-01-01T06:00:00Z"), planned);
    let missed = at("2026-01-03T00:00:00Z");
    assert_eq!(due(&schedule, "2026-01-03T00:00:00Z"), Due { at: missed, ..planned }, "never before now");
    schedule.forget_planned(missed);
    assert_eq!(due(&schedule, "2026-01-03T00:00:00Z"), Due { at: at("2026-01-03T06:00:00Z"), ..scheduled });
    let only = Schedule { planned_at: Some(at("2026-01-01T09:30:00Z")), ..Schedule::default() };
    assert_eq!(due(&only, "2026-01-01T05:00:00Z"), Due { full: false, ..planned });
}

#[test]
fn a_clock_that_was_far_ahead_does_not_put_off_full_runs() {
    let schedule = both("15m", "7d");
    let now = at("2026-01-01T00:00:00Z");
    assert!(is_full("a", &schedule, Some(now + TimeDelta::days(3650)), now), "that cannot be true");
    assert!(!is_full("a", &schedule, Some(now + TimeDelta::seconds(1)), now), "another replica's clock");
}

fn frequencies() -> impl Strategy<Value = Frequency> {
    let intervals =
        (1_u64..=366 * 24 * 3600).prop_map(|seconds| Frequency::Every(Duration::from_secs(seconds)));
    let short = (1_u64..=3600).prop_map(|seconds| Frequency::Every(Duration::from_secs(seconds)));
    let crons = prop::sample::select(
        &["* * * * *", "*/15 * * * *", "0 */2 * * *", "30 2 * * *", "0 6 * * MON-FRI", "0 0 1 * *"][..],
    );
    prop_oneof![intervals, short, crons.prop_map(|cron| Frequency::Cron(cron.to_owned()))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Wherever the clock stands, and wherever it jumps to.
    #[test]
    fn the_next_time_is_after_now_and_at_most_one_period_off(
        id in "[a-z0-9-]{1,36}",
        frequency in frequencies(),
        full_frequency in prop::option::of(frequencies()),
        zone in prop::sample::select(&[Tz::UTC, Tz::Europe__Paris, Tz::Australia__Lord_Howe, Tz::Pacific__Apia][..]),
        jitter in prop::option::of(0_u64..=3600),
        last_full in prop::option::of(0_i64..4_000_000_000),
        micros in 0_i64..4_000_000_000_000_000,
    ) {
        let schedule = Schedule {
            frequency: Some(frequency.clone()),
            full_frequency,
            time_zone: zone,
            jitter: jitter.map(Duration::from_secs),
            ..Schedule::default()
        };
        let now = DateTime::from_timestamp_micros(micros).unwrap();
        let last_full = last_full.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        let due = next(&id, &schedule, last_full, now).unwrap();
        prop_assert!(due.at > now);
        let bound = match &frequency {
            Frequency::Every(every) => TimeDelta::from_std(*every).unwrap(),
            // A month, an hour of jitter, and a clock that is put forward.
            Frequency::Cron(_) => TimeDelta::days(31) + TimeDelta::hours(2),
        };
        prop_assert!(due.at - now <= bound, "{due:?}");
        prop_assert_eq!(due.full, is_full(&id, &schedule, last_full, due.at));
        // Asking again before it is due changes nothing.
        let between = now + (due.at - now) / 2;
        prop_assert_eq!(next(&id, &schedule, last_full, between).unwrap().at, due.at);
        // The one after is later, and ticks of an interval keep their distance.
        let after = next(&id, &schedule, last_full, due.at).unwrap();
        prop_assert!(after.at > due.at);
        if let (Frequency::Every(every), None) = (&frequency, &schedule.full_frequency) {
            prop_assert_eq!(after.at - due.at, TimeDelta::from_std(*every).unwrap());
        }
    }
}
