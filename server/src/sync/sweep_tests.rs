use superfasttt_proto::connector::v1::{Capabilities, Container, PullMode, change};

use super::*;
use crate::store::documents::Commit;
use crate::store::item_errors::{Shield, Target};
use crate::store::suite::support::{at, put_with};
use crate::sync::Limits;
use crate::sync::testing::{Rig, document_with, part};

/// Documents of scope "" of which the first `absent` were last seen in listing 1 and the others in listing 2, which is
/// complete.
async fn listed(rig: &Rig, total: usize, absent: usize) -> ScopeState {
    let documents = (0..total).map(|number| {
        put_with(&format!("{number:04}"), |put| put.generation = if number < absent { 1 } else { 2 })
    });
    let state = ScopeState { generation: 2, listing: Listing::Complete, ..ScopeState::default() };
    let commit = Commit {
        run: rig.context.run.clone(),
        documents: documents.collect(),
        states: vec![state.clone()],
        ..Commit::default()
    };
    rig.store.commit(rig.context.fence, commit, at(0)).await.unwrap();
    state
}

/// What sweeping one scope came to.
struct One {
    state: ScopeState,
    held: Option<HeldSweep>,
}

async fn swept(rig: &Rig, state: ScopeState) -> (One, RunCounts) {
    let mut counts = RunCounts::default();
    let mut swept = sweep(&rig.context, vec![state], false, &mut counts).await.unwrap();
    let state = swept.states.remove(0);
    assert_eq!(rig.state("").await.unwrap(), state, "what is returned is what is stored");
    (One { state, held: swept.held.pop() }, counts)
}

/// Scopes `0`, `1`, … of so many documents each, of which as many were not named by the complete listing 2.
async fn listed_scopes(rig: &Rig, scopes: &[(usize, usize)]) -> Vec<ScopeState> {
    let mut commit = Commit { run: rig.context.run.clone(), ..Commit::default() };
    for (place, (total, absent)) in scopes.iter().enumerate() {
        let scope = place.to_string();
        commit.documents.extend((0..*total).map(|number| {
            put_with(&format!("{scope}-{number:03}"), |put| {
                put.scope.clone_from(&scope);
                put.generation = if number < *absent { 1 } else { 2 };
            })
        }));
        commit.states.push(ScopeState {
            scope,
            generation: 2,
            listing: Listing::Complete,
            ..ScopeState::default()
        });
    }
    let states = commit.states.clone();
    rig.store.commit(rig.context.fence, commit, at(0)).await.unwrap();
    states
}

fn as_configured(limits: &mut Limits, _: &mut Capabilities) {
    limits.sweep_batch = 7;
}

async fn shield(rig: &Rig, shields: &[(Target, bool)]) {
    let shields = shields.iter().map(|(target, with_descendants)| Shield {
        scope: String::new(),
        target: target.clone(),
        with_descendants: *with_descendants,
    });
    let commit = Commit { run: rig.context.run.clone(), shields: shields.collect(), ..Commit::default() };
    rig.store.commit(rig.context.fence, commit, at(0)).await.unwrap();
}

fn id(id: &str) -> Target {
    Target::Id(id.to_owned())
}

fn locator(locator: &str) -> Target {
    Target::Locator(locator.to_owned())
}

#[tokio::test]
async fn i5_a_suspiciously_large_sweep_waits_for_a_person() {
    // Over 20 % and over 50, or all of 10 or more.
    let cases = [
        (100, 0, false, false),
        (100, 20, false, false),
        (100, 50, false, false),
        (100, 51, false, true),
        (255, 51, false, false),
        (254, 51, false, true),
        (1000, 201, false, true),
        (9, 9, false, false),
        (10, 10, false, true),
        (10, 9, false, false),
        // A person changed the settings: whatever that leaves out, but not everything.
        (100, 99, true, false),
        (100, 100, true, true),
        (1, 1, true, true),
    ];
    for (total, absent, for_settings, waits) in cases {
        let told = format!("{absent} of {total}, settings {for_settings}");
        let rig = Rig::new(as_configured).await;
        let state = ScopeState { listing_for_settings: for_settings, ..listed(&rig, total, absent).await };
        let (swept, counts) = swept(&rig, state).await;
        assert_eq!(swept.held.is_some(), waits, "{told}");
        let deleted = if waits { 0 } else { absent };
        assert_eq!((counts.deleted, rig.ids().await.len()), (deleted as u64, total - deleted), "{told}");
        assert_eq!((swept.state.listing, swept.state.listing_for_settings), (Listing::None, false));
        if let Some(held) = swept.held {
            assert_eq!((held.absent, held.total), (absent as u64, total as u64), "{told}");
            let stored = swept.state.held.unwrap();
            assert_eq!((stored.generation, stored.absent, stored.total), (2, held.absent, held.total));
        }
    }
}

#[tokio::test]
async fn i5_an_approval_deletes_only_what_is_still_absent() {
    let rig = Rig::new(as_configured).await;
    let state = listed(&rig, 100, 60).await;
    assert!(swept(&rig, state).await.0.held.is_some());
    rig.store.approve_held(rig.connection.key, Vec::new()).await.unwrap();
    // The next listing names one of them again, and misses others that nobody was asked about.
    let again: Vec<_> = (60..70).map(|number| format!("{number:04}")).collect();
    let mut state = rig.state("").await.unwrap();
    state.generation = 3;
    state.listing = Listing::Complete;
    let stored =
        rig.store.stored_documents(rig.connection.key, (0..100).map(|n| format!("{n:04}")).collect()).await;
    let seen = stored.unwrap().into_iter().filter(|document| {
        (document.generation == 2 && !again.contains(&document.id)) || document.id == "0000"
    });
    let documents = seen.map(|document| crate::store::documents::DocumentWrite::Seen {
        key: document.key,
        generation: 3,
        message_hash: None,
    });
    let commit = Commit {
        run: rig.context.run.clone(),
        documents: documents.collect(),
        states: vec![state.clone()],
        ..Commit::default()
    };
    rig.store.commit(rig.context.fence, commit, at(1)).await.unwrap();
    assert_eq!(
        would_delete(&rig.context, std::slice::from_ref(&state)).await.unwrap(),
        [(String::new(), 3)],
        "the ten that nobody was asked about are few"
    );
    let (swept, counts) = swept(&rig, state).await;
    assert!(swept.held.is_none());
    assert_eq!(counts.deleted, 59 + 10);
    assert_eq!(swept.state.approved_generation, None, "an approval is used once");
    assert!(rig.ids().await.contains(&"0000".to_owned()));
}

#[tokio::test]
async fn i5_what_nobody_was_asked_about_waits_beside_an_approval() {
    let rig = Rig::new(as_configured).await;
    let state = listed(&rig, 200, 60).await;
    assert!(swept(&rig, state).await.0.held.is_some());
    rig.store.approve_held(rig.connection.key, Vec::new()).await.unwrap();
    let state = ScopeState { generation: 3, listing: Listing::Complete, ..rig.state("").await.unwrap() };
    let asked = would_delete(&rig.context, std::slice::from_ref(&state)).await.unwrap();
    assert_eq!(asked, [(String::new(), 2)], "only the approved ones");
    let (swept, counts) = swept(&rig, state).await;
    assert_eq!((counts.deleted, rig.ids().await.len()), (60, 140));
    let held = swept.held.unwrap();
    assert_eq!((held.absent, held.total), (140, 200));
}

#[tokio::test]
async fn i5_a_shield_spares_what_is_under_it() {
    let locate = |id: &'static str, parent: &'static str| {
        document_with(id, |envelope| {
            envelope.parent_id = parent.to_owned();
            envelope.locator = format!("at/{id}");
        })
    };
    let folder = |id: &str, parent: &str| {
        change::Kind::Container(Container {
            id: id.to_owned(),
            parent_id: parent.to_owned(),
            name: id.to_owned(),
            locator: format!("at/{id}"),
        })
    };
    // top > mid > 1, 2; top > 3; left <> right > 4; 5 without a folder; 6 under 5.
    type Case<'a> = (&'a [(Target, bool)], &'a [&'a str]);
    let cases: [Case<'_>; 9] = [
        (&[], &[]),
        (&[(id("1"), false)], &["1"]),
        (&[(locator("at/3"), false)], &["3"]),
        (&[(id("top"), false)], &[]),
        (&[(id("top"), true)], &["1", "2", "3"]),
        (&[(locator("at/mid"), true)], &["1", "2"]),
        (&[(id("left"), true)], &["4"]),
        (&[(id("5"), true)], &["5", "6"]),
        (&[(id("nobody"), true), (id("2"), false)], &["2"]),
    ];
    for (shields, spared) in cases {
        let rig = Rig::new(as_configured).await;
        let changes = vec![
            folder("top", ""),
            folder("mid", "top"),
            folder("left", "right"),
            folder("right", "left"),
            locate("1", "mid"),
            locate("2", "mid"),
            locate("3", "top"),
            locate("4", "right"),
            locate("5", ""),
            locate("6", "5"),
        ];
        rig.pull(PullMode::Full, vec![part("", changes, None)]).await.unwrap();
        shield(&rig, shields).await;
        let state = ScopeState { generation: 2, listing: Listing::Complete, ..rig.state("").await.unwrap() };
        let (swept, _) = swept(&rig, state).await;
        assert!(swept.held.is_none());
        assert_eq!(rig.ids().await, spared, "{shields:?}");
        let known = rig.store.parent_of(rig.connection.key, "mid").await.unwrap().is_some();
        assert_eq!(
            known,
            spared.contains(&"2") && spared.contains(&"1"),
            "{shields:?}: what a shield needs is known"
        );
    }
}

#[tokio::test]
async fn i5_a_shield_that_nobody_can_place_spares_everything() {
    let rig = Rig::new(as_configured).await;
    let state = listed(&rig, 20, 5).await;
    shield(&rig, &[(locator("nowhere"), true)]).await;
    let (swept, counts) = swept(&rig, state).await;
    assert_eq!((counts.deleted, rig.ids().await.len()), (0, 20));
    assert_eq!((swept.state.listing, swept.held), (Listing::None, None));
}

#[tokio::test]
async fn i5_a_listing_with_something_skipped_unnamed_deletes_nothing_and_decides_nothing() {
    let rig = Rig::new(as_configured).await;
    let state = listed(&rig, 100, 60).await;
    let (held, _) = swept(&rig, state).await;
    rig.store.approve_held(rig.connection.key, Vec::new()).await.unwrap();
    let state = ScopeState {
        listing_unreliable: true,
        generation: 3,
        listing: Listing::Complete,
        ..rig.state("").await.unwrap()
    };
    let (swept, counts) = swept(&rig, state).await;
    assert_eq!((counts.deleted, rig.ids().await.len()), (0, 100));
    assert_eq!(swept.state.held, held.state.held, "it still waits");
    assert_eq!(swept.state.approved_generation, Some(2), "and is still approved");
}

#[tokio::test]
async fn i5_many_small_scopes_that_vanish_together_wait_as_well() {
    // No scope by itself is suspicious: 60 of 5 documents each, all gone, beside a larger one.
    let mut scopes = vec![(100, 0)];
    scopes.extend([(5, 5); 60]);
    let rig = Rig::new(as_configured).await;
    let states = listed_scopes(&rig, &scopes).await;
    assert!(would_delete(&rig.context, &states).await.unwrap().is_empty(), "nothing is asked for");
    let mut counts = RunCounts::default();
    let swept = sweep(&rig.context, states, false, &mut counts).await.unwrap();
    assert_eq!((swept.held.len(), counts.deleted, rig.ids().await.len()), (60, 0, 400));
    assert_eq!((swept.held[0].absent, swept.held[0].total), (5, 5));
    let held = swept.states.iter().filter(|state| state.held.is_some()).count();
    assert_eq!(held, 60, "each scope shows it");
    // A person approves two of them.
    let approved = vec!["1".to_owned(), "2".to_owned()];
    rig.store.approve_held(rig.connection.key, approved).await.unwrap();
    let mut states = rig.store.sync_states(rig.connection.key).await.unwrap();
    states.retain(|state| state.scope != "0");
    for state in &mut states {
        (state.generation, state.listing) = (3, Listing::Complete);
    }
    let swept = sweep(&rig.context, states, false, &mut counts).await.unwrap();
    assert_eq!((swept.held.len(), counts.deleted), (58, 10), "only what was approved goes");
}

#[tokio::test]
async fn i5_a_few_small_scopes_that_vanish_go() {
    let mut scopes = vec![(100, 0)];
    scopes.extend([(5, 5); 4]);
    let rig = Rig::new(as_configured).await;
    let states = listed_scopes(&rig, &scopes).await;
    assert_eq!(would_delete(&rig.context, &states).await.unwrap().len(), 4);
    let mut counts = RunCounts::default();
    let swept = sweep(&rig.context, states, false, &mut counts).await.unwrap();
    assert_eq!((swept.held.len(), counts.deleted, rig.ids().await.len()), (0, 20, 100));
}

#[tokio::test]
async fn i5_a_standing_shield_keeps_only_what_is_under_it() {
    let rig = Rig::new(as_configured).await;
    let folder = |id: &str, parent: &str| {
        change::Kind::Container(Container {
            id: id.to_owned(),
            parent_id: parent.to_owned(),
            name: id.to_owned(),
            locator: format!("at/{id}"),
        })
    };
    let within =
        |id, parent: &'static str| document_with(id, |envelope| envelope.parent_id = parent.to_owned());
    let folders = vec![folder("locked", ""), folder("deep", "locked"), folder("gone", "")];
    let documents = vec![within("a", "deep"), within("b", "gone")];
    rig.pull(PullMode::Full, vec![part("", [folders, documents].concat(), None)]).await.unwrap();
    let error = |target| crate::store::suite::support::item_error(target);
    let unknown = error(locator("at/nowhere"));
    let item_errors = vec![error(id("a")), error(id("b")), error(locator("at/gone")), unknown.clone()];
    let commit = Commit { run: rig.context.run.clone(), item_errors, ..Commit::default() };
    rig.store.commit(rig.context.fence, commit, at(0)).await.unwrap();
    shield(&rig, &[(id("locked"), true)]).await;
    let state = ScopeState {
        generation: 2,
        listing: Listing::Complete,
        listing_started_at: Some(at(5)),
        ..rig.state("").await.unwrap()
    };
    swept(&rig, state).await;
    assert_eq!(rig.ids().await, ["a"]);
    let known = async |id: &str| rig.store.parent_of(rig.connection.key, id).await.unwrap().is_some();
    assert!(known("locked").await && known("deep").await, "the way up to the shield");
    assert!(!known("gone").await, "nothing shields it");
    let filter = Default::default();
    let errors = rig.store.item_errors(rig.connection.key, filter, None, 10).await.unwrap().items;
    let errors: Vec<_> = errors.into_iter().map(|error| error.error.target).collect();
    assert_eq!(
        errors,
        [unknown.target, id("a")],
        "the others were not met again; these may lie under the shield"
    );
}

#[tokio::test]
async fn shields_count_for_the_share_as_well() {
    let rig = Rig::new(as_configured).await;
    let state = listed(&rig, 100, 60).await;
    shield(&rig, &(0..20).map(|number| (id(&format!("{number:04}")), false)).collect::<Vec<_>>()).await;
    let (swept, counts) = swept(&rig, state).await;
    assert!(swept.held.is_none(), "only 40 are left to delete");
    assert_eq!((counts.deleted, rig.ids().await.len()), (40, 60));
}

#[tokio::test]
async fn only_what_the_scope_owned_before_the_listing_is_swept() {
    let rig = Rig::new(as_configured).await;
    let state = listed(&rig, 4, 2).await;
    let other = put_with("other", |put| put.scope = "b".to_owned());
    let commit = Commit { run: rig.context.run.clone(), documents: vec![other], ..Commit::default() };
    rig.store.commit(rig.context.fence, commit, at(0)).await.unwrap();
    swept(&rig, state).await;
    assert_eq!(rig.ids().await, ["0002", "0003", "other"]);
}
