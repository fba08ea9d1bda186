//! What the connector does wrong.

use std::str::FromStr;

macro_rules! faults {
    ($($fault:ident)*) => {
        /// One thing that is wrong; [`Fault::Nothing`]: nothing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $(#[doc = stringify!($fault)] $fault,)*
        }

        impl FromStr for Fault {
            type Err = &'static str;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                match name {
                    $(stringify!($fault) => Ok(Fault::$fault),)*
                    _ => Err("there is no such fault"),
                }
            }
        }
    };
}

faults! {
    Nothing
    // serves
    EndsAtStart
    DescribesAnotherManifest
    DescribesOtherCapabilities
    ServiceHasNoHealth
    HasNoReflection
    DescribesWithoutToken
    IsHealthyWithoutToken
    ServesDiscoverUndeclared
    FailsTestConnection
    NamesACheckInWords
    IgnoresSigterm
    // syncs
    SendsAnEmptyMessage
    SendsAnEmptyCursor
    SendsRawUnasked
    TitlesAreTooLong
    ItemErrorsHaveNoReason
    HasNoPermissions
    HasAnUnknownVisibility
    TimesAreInMilliseconds
    IdsComeTwice
    IdsAreRandom
    CompletesAfterAnUnnamedError
    CompletesAnIncremental
    NeverCompletes
    MetadataIsAgainstItsSchema
    RawIsAgainstItsSchema
    RawNamesAnUnknownSchema
    DocumentsCountTheirReadings
    NormalizeIsRandom
    NormalizeGivesOthersThanPull
    NormalizeLeavesOneOut
    ListLeavesOneOut
    ListHasOtherVersions
    TargetedLeavesOneOut
    TargetedInventsDocuments
    ContentIsShort
    ContentIgnoresTheLimit
    ErrorsHaveNoReason
    ErrorsNameTheWrongActor
    ErrorsLoseTheWait
    EndsAtABadCursor
    TakesABadCursor
    TakesACursorFromTheFuture
    CursorIsAhead
    SkipsAnItemOnResume
    CompletesAtOnceOnResume
    IncrementalSendsEverything
    IncrementalMissesChanges
    IncrementalMissesDeletions
    // survives
    KeepsTheListingInMemory
    WorksOnAfterACancel
    LeavesAThreadPerCancel
    SharesSettings
    IgnoresItsRateLimit
    LeaksMemory
    LogsTheKey
    LogsTheKeyInBase64
    TellsTheKeyInAnError
    SpeaksOnStdout
}
