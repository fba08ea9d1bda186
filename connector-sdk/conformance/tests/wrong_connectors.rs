//! Each wrong connector is caught by the check that is meant for it, and by no other.

#![expect(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::sync::Mutex;

use superfasttt_conformance::{Level, checks};

/// Each fault with the check that has to catch it.
const FAULTS: &[(&str, &str)] = &[
    ("EndsAtStart", "start"),
    ("DescribesAnotherManifest", "describe"),
    ("DescribesOtherCapabilities", "describe"),
    ("ServiceHasNoHealth", "health"),
    ("HasNoReflection", "reflection"),
    ("DescribesWithoutToken", "token"),
    ("IsHealthyWithoutToken", "token"),
    ("ServesDiscoverUndeclared", "undeclared"),
    ("FailsTestConnection", "test_connection"),
    ("NamesACheckInWords", "test_connection"),
    ("IgnoresSigterm", "stop"),
    ("SendsAnEmptyMessage", "full"),
    ("SendsAnEmptyCursor", "full"),
    ("SendsRawUnasked", "full"),
    ("TitlesAreTooLong", "envelopes"),
    ("ItemErrorsHaveNoReason", "envelopes"),
    ("HasNoPermissions", "permissions"),
    ("HasAnUnknownVisibility", "permissions"),
    ("TimesAreInMilliseconds", "timestamps"),
    ("IdsComeTwice", "ids"),
    ("IdsAreRandom", "ids"),
    ("CompletesAfterAnUnnamedError", "listing"),
    ("CompletesAnIncremental", "listing"),
    ("NeverCompletes", "listing"),
    ("MetadataIsAgainstItsSchema", "schemas"),
    ("RawIsAgainstItsSchema", "schemas"),
    ("RawNamesAnUnknownSchema", "schemas"),
    ("DocumentsCountTheirReadings", "repeat"),
    ("NormalizeIsRandom", "normalize"),
    ("NormalizeGivesOthersThanPull", "normalize"),
    ("NormalizeLeavesOneOut", "normalize"),
    ("ListLeavesOneOut", "list"),
    ("ListHasOtherVersions", "list"),
    ("TargetedLeavesOneOut", "targeted"),
    ("TargetedInventsDocuments", "targeted"),
    ("ContentIsShort", "content"),
    ("ContentIgnoresTheLimit", "content"),
    ("ErrorsHaveNoReason", "errors"),
    ("ErrorsNameTheWrongActor", "errors"),
    ("ErrorsLoseTheWait", "errors"),
    ("EndsAtABadCursor", "cursors"),
    ("TakesABadCursor", "cursors"),
    ("TakesACursorFromTheFuture", "cursors"),
    ("CursorIsAhead", "cut"),
    ("SkipsAnItemOnResume", "cut"),
    ("CompletesAtOnceOnResume", "cut"),
    ("IncrementalSendsEverything", "unchanged"),
    ("IncrementalMissesChanges", "changes"),
    ("IncrementalMissesDeletions", "tombstones"),
    ("KeepsTheListingInMemory", "kill"),
    ("WorksOnAfterACancel", "cancel"),
    ("LeavesAThreadPerCancel", "cancel"),
    ("SharesSettings", "apart"),
    ("IgnoresItsRateLimit", "rate_limits"),
    ("LeaksMemory", "memory"),
    ("LogsTheKey", "secrets"),
    ("LogsTheKeyInBase64", "secrets"),
    ("TellsTheKeyInAnError", "secrets"),
    ("SpeaksOnStdout", "stdout"),
];

/// At once: most of the time is waiting.
const AT_ONCE: usize = 3;

#[test]
fn each_fault_is_caught_by_its_check_and_by_no_other() {
    let (left, wrong) = (Mutex::new(FAULTS.iter()), Mutex::new(Vec::new()));
    let one_only = std::env::var("FAULT").ok();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((fault, check)) = { left.lock().unwrap().next() } {
                    if one_only.as_ref().is_some_and(|only| only != fault) {
                        continue;
                    }
                    let folder = support::folder(fault);
                    // Checks of higher levels are tried on the faults of theirs.
                    let level = checks::ALL.iter().find(|known| known.name == *check).unwrap().level;
                    let report = support::report(folder.path(), level);
                    let failed = support::failed(&report);
                    if failed != [*check] {
                        wrong.lock().unwrap().push(format!(
                            "{fault}: failed {failed:?} and not [{check:?}]\n{}",
                            support::told(&report)
                        ));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_same_connector_without_a_fault_reaches_the_highest_level() {
    let folder = support::folder("Nothing");
    let report = support::report(folder.path(), Level::Survives);
    assert_eq!(report.level, Some(Level::Survives), "{}", support::told(&report));
}

#[test]
fn every_check_has_a_fault_that_it_catches() {
    for check in checks::ALL {
        assert!(
            FAULTS.iter().any(|(_, caught_by)| *caught_by == check.name),
            "{} was never seen to fail",
            check.name
        );
    }
}
