use superfasttt_proto::control::v1::schedule::Overlap as Policy;

use super::*;
use crate::store::ConnectionKey;

fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    at("2026-01-01T00:00:00Z")
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn manifest(sync: &str) -> Manifest {
    Manifest::parse(&format!(r#"{{"id": "demo", "auth": {{"type": "none"}}, "sync": {sync}}}"#)).unwrap()
}

/// Every fault of a schedule that is asked for, as one text each.
fn faults(asked: v1::Schedule) -> Vec<String> {
    let mut faults = Vec::new();
    checked(&asked, None, now(), &mut faults);
    faults
        .into_iter()
        .map(|(field, text)| format!("{}: {text}", field.replace("connection.schedule.", "")))
        .collect()
}

fn connection(schedule: Schedule, cause: Trigger, next: Option<&str>) -> Connection {
    Connection {
        key: ConnectionKey(1),
        id: "some-id".to_owned(),
        organization: "default".to_owned(),
        connector: "demo".to_owned(),
        name: "a".to_owned(),
        settings: serde_json::Map::new(),
        schedule,
        disabled: false,
        paused: false,
        deleting_at: None,
        revision: 1,
        fence: 0,
        synced_settings: None,
        next_run_at: next.map(at),
        next_cause: cause,
        keep_raw: false,
        raw_epoch: 0,
        last_full_at: None,
        last_run: None,
        last_success_at: None,
        failures: 0,
        created_at: now(),
        updated_at: now(),
    }
}

#[test]
fn a_new_connection_follows_its_manifest() {
    let cron = manifest(
        r#"{"mode": "incremental", "frequency": "0 6 * * *", "full_frequency": "7d", "time_zone": "Europe/Paris"}"#,
    );
    let create = |asked: Option<v1::Schedule>| {
        let mut faults = Vec::new();
        let schedule = created(asked.as_ref(), &cron, now(), &mut faults);
        assert_eq!(faults, []);
        schedule
    };
    let default = create(None);
    assert_eq!(default.frequency, Some(Frequency::Cron("0 6 * * *".to_owned())));
    assert_eq!(default.full_frequency, Some("7d".parse().unwrap()));
    assert_eq!(default.time_zone, Tz::Europe__Paris);
    // Who says when it syncs has said nothing of full runs, nor of another place.
    let own = create(Some(v1::Schedule { cron: "0 7 * * *".into(), ..Default::default() }));
    assert_eq!(own, Schedule { frequency: Some("0 7 * * *".parse().unwrap()), ..default.clone() });
    let own = create(Some(v1::Schedule {
        interval: seconds(900),
        full_interval: seconds(0),
        time_zone: "Asia/Kolkata".into(),
        ..Default::default()
    }));
    assert_eq!((own.full_frequency, own.time_zone), (None, Tz::Asia__Kolkata));
    assert_eq!(create(Some(v1::Schedule::default())).frequency, None, "only when asked");
}

#[test]
fn a_schedule_is_shown_as_it_was_asked_for() {
    let asked = v1::Schedule {
        cron: "*/15 8-18 * * MON-FRI".into(),
        time_zone: "Europe/Paris".into(),
        full_cron: "0 3 * * SUN".into(),
        jitter: seconds(30),
        overlap: Policy::Buffer.into(),
        planned_at: Some(timestamp(at("2026-12-01T06:00:00Z"))),
        planned_full: true,
        ..Default::default()
    };
    let mut faults = Vec::new();
    assert_eq!(message(&checked(&asked, None, now(), &mut faults)), asked);
    let asked = v1::Schedule {
        interval: seconds(900),
        full_interval: seconds(86_400),
        overlap: Policy::Skip.into(),
        ..Default::default()
    };
    assert_eq!(message(&checked(&asked, None, now(), &mut faults)), asked);
    assert_eq!(faults, []);
}

#[test]
fn a_cron_expression_that_is_none_is_refused_with_what_is_wrong() {
    let cron = |text: &str| faults(v1::Schedule { cron: text.into(), ..Default::default() });
    let example = "for example \"30 6 * * MON-FRI\" is half past six on working days";
    assert_eq!(
        cron("0 25 * * *"),
        [format!(
            "cron: \"0 25 * * *\" is not a cron expression: the hour is \"25\", and can be 0 to 23, a list, a range, \
             * or */n; {example}"
        )]
    );
    let fields = "is not five fields (minute, hour, day of the month, month, day of the week)";
    assert_eq!(cron("@daily"), [format!("cron: \"@daily\" {fields}; {example}")]);
    assert_eq!(cron("15m"), ["cron: \"15m\" is a length of time: it goes in interval"]);
    assert_eq!(
        cron("0 6 30 2 *"),
        ["cron: \"0 6 30 2 *\" never comes: no month that it names has such a day"]
    );
    assert_eq!(
        faults(v1::Schedule { full_cron: "1h".into(), ..Default::default() }),
        ["full_cron: \"1h\" is a length of time: it goes in full_interval"]
    );
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let wrong = v1::Schedule {
        interval: seconds(900),
        cron: "0 6 * * *".into(),
        full_interval: seconds(367 * 86_400),
        jitter: seconds(3601),
        overlap: 7,
        planned_at: Some(timestamp(at("2025-12-31T23:59:59Z"))),
        time_zone: "Europe/Pariss".into(),
        ..Default::default()
    };
    assert_eq!(
        faults(wrong),
        [
            "cron: goes instead of interval: give one of them",
            "full_interval: must be a whole number of seconds, 1s to 1year 18h",
            "time_zone: there is no time zone \"Europe/Pariss\"; did you mean \"Europe/Paris\"?",
            "jitter: must be a whole number of seconds, 0s to 1h",
            "overlap: is not known: give OVERLAP_SKIP or OVERLAP_BUFFER",
            "planned_at: is past: it says 2025-12-31T23:59:59Z, and the server's clock 2026-01-01T00:00:00Z",
        ]
    );
    for interval in [0, -1, 367 * 86_400, i64::MAX, i64::MIN] {
        assert_eq!(
            faults(v1::Schedule { interval: seconds(interval), ..Default::default() }).len(),
            1,
            "{interval}"
        );
    }
    let half = Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 });
    assert_eq!(faults(v1::Schedule { interval: half, ..Default::default() }).len(), 1);
    let never = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    assert_eq!(faults(v1::Schedule { planned_at: never, ..Default::default() }), ["planned_at: is no time"]);
    assert_eq!(
        faults(v1::Schedule { planned_full: true, ..Default::default() }),
        ["planned_full: needs planned_at: the time of the planned run"]
    );
}

#[test]
fn a_zone_is_found_by_its_city_and_by_what_is_close() {
    let hint = |name: &str| faults(v1::Schedule { time_zone: name.into(), ..Default::default() }).remove(0);
    for (name, meant) in [
        ("Paris", "Europe/Paris"),
        ("new york", "America/New_York"),
        ("europe/paris", "Europe/Paris"),
        ("Europe/Berln", "Europe/Berlin"),
    ] {
        assert!(hint(name).ends_with(&format!("did you mean {meant:?}?")), "{}", hint(name));
    }
    assert!(hint("+01:00").ends_with("give an IANA name such as \"Europe/Paris\""), "{}", hint("+01:00"));
}

#[test]
fn an_update_touches_the_fields_that_are_named() {
    let found = Schedule {
        frequency: Some("15m".parse().unwrap()),
        full_frequency: Some("7d".parse().unwrap()),
        time_zone: Tz::Europe__Paris,
        planned_at: Some(at("2025-12-31T00:00:00Z")),
        ..Schedule::default()
    };
    let update = |asked: v1::Schedule, fields: &[&str]| {
        let mut faults = Vec::new();
        let schedule = updated(&found, &asked, fields, now(), &mut faults);
        (schedule, faults.into_iter().map(|(field, _)| field).collect::<Vec<_>>())
    };
    let cron = v1::Schedule { cron: "0 6 * * *".into(), ..Default::default() };
    let expected = Schedule { frequency: Some("0 6 * * *".parse().unwrap()), ..found.clone() };
    assert_eq!(
        update(cron.clone(), &["interval", "cron"]),
        (expected, vec![]),
        "what was planned stays, though past"
    );
    assert_eq!(
        update(cron.clone(), &["cron"]).1,
        ["connection.schedule.cron"],
        "the interval is still there"
    );
    assert_eq!(update(cron.clone(), &["crom"]).1, ["update_mask"]);
    let whole = Schedule { frequency: Some("0 6 * * *".parse().unwrap()), ..Schedule::default() };
    assert_eq!(update(cron, &[""]), (whole, vec![]));
    let forgotten = Schedule { planned_at: None, ..found.clone() };
    assert_eq!(update(v1::Schedule::default(), &["planned_at", "planned_full"]), (forgotten, vec![]));
}

#[test]
fn a_new_schedule_takes_nothing_away_that_is_due_for_another_reason() {
    let every = Schedule { frequency: Some("15m".parse().unwrap()), ..Schedule::default() };
    let off = Schedule::default();
    let next = |cause, due, schedule: &Schedule| {
        next_due(&connection(every.clone(), cause, Some(due)), schedule, now())
            .map(|next| next.map(|due| due.cause))
    };
    let soon = "2026-01-01T00:00:00Z";
    assert_eq!(next(Trigger::Schedule, soon, &every), Some(Some(Trigger::Schedule)), "times count from now");
    assert_eq!(next(Trigger::Schedule, soon, &off), Some(None));
    assert_eq!(next(Trigger::Settings, soon, &every), None);
    assert_eq!(next(Trigger::Settings, soon, &off), None, "its first sync comes all the same");
    assert_eq!(next(Trigger::Retry, soon, &every), None);
    assert_eq!(next(Trigger::Retry, soon, &off), Some(None), "only when asked");
    assert_eq!(next(Trigger::Retry, "2026-01-01T01:00:00Z", &every), Some(Some(Trigger::Schedule)));
}

#[test]
fn the_reason_names_what_makes_it_due() {
    let both = Schedule {
        frequency: Some("0 12 * * *".parse().unwrap()),
        full_frequency: Some("0 3 * * SUN".parse().unwrap()),
        time_zone: Tz::Europe__Paris,
        jitter: Some(Duration::ZERO),
        ..Schedule::default()
    };
    let told = |schedule: &Schedule, cause, at: &str| {
        let connection = connection(schedule.clone(), cause, Some(at));
        reason(&connection, connection.next_run_at.unwrap())
    };
    assert_eq!(told(&both, Trigger::Schedule, "2026-01-03T11:00:00Z"), "cron 0 12 * * * (Europe/Paris)");
    assert_eq!(
        told(&both, Trigger::Schedule, "2026-01-04T02:00:00Z"),
        "in full cron 0 3 * * SUN (Europe/Paris)"
    );
    let every = Schedule { frequency: Some("15m".parse().unwrap()), ..Schedule::default() };
    assert_eq!(told(&every, Trigger::Schedule, "2026-01-01T00:07:00Z"), "every 15m");
    assert_eq!(
        told(&every, Trigger::Retry, "2026-01-01T00:07:00Z"),
        "the last run failed: it is tried again"
    );
    assert_eq!(told(&every, Trigger::Settings, "2026-01-01T00:07:00Z"), "it is new");
}
