use prost::Message;
use superfasttt_proto::connector::v1::{
    Checkpoint, Container, DocumentEnvelope, Permissions, PermissionsChange, Present, change,
};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::store::suite::support::{feed_after, find, wanted};
use crate::store::sync_states::{Listing, ListingMode};
use crate::sync::testing::{
    Rig, complete, cursor, document, document_with, failure, part, part_of, unopened_part,
};

fn deletion(target: Target, with_descendants: bool) -> Change {
    Change::Deletion { target, with_descendants }
}

fn failed(target: Target) -> Change {
    Change::ItemError(item_error("", target, false, failure(Reason::AccessDenied)))
}

fn failures(count: usize) -> Vec<Change> {
    (0..count).map(|number| failed(Target::Id(format!("failed-{number}")))).collect()
}

fn id(id: &str) -> Target {
    Target::Id(id.to_owned())
}

fn folder(id: &str, parent: &str) -> change::Kind {
    change::Kind::Container(Container {
        id: id.to_owned(),
        parent_id: parent.to_owned(),
        name: id.to_owned(),
        locator: format!("at/{id}"),
    })
}

fn within(id: &str, parent: &str) -> change::Kind {
    document_with(id, |envelope| {
        envelope.parent_id = parent.to_owned();
        envelope.locator = format!("at/{id}");
    })
}

async fn plain() -> Rig {
    Rig::new(|_, _| {}).await
}

#[tokio::test]
async fn i1_changes_and_the_cursor_that_covers_them_are_one() {
    let rig = plain().await;
    let parts = vec![
        part("", vec![document("1"), document("2")], None),
        part("", vec![document("3")], Some(cursor("c"))),
    ];
    let outcome = rig.pull(PullMode::Full, parts).await.unwrap();
    assert!(outcome.cut.is_none() && outcome.received && outcome.progressed && outcome.has_more.is_empty());
    assert_eq!(rig.ids().await, ["1", "2", "3"]);
    let state = rig.state("").await.unwrap();
    assert_eq!((state.listing_cursor.as_deref(), state.generation), (Some(b"c".as_slice()), 1));
    let run = rig.store.run(&rig.context.run).await.unwrap().unwrap();
    assert_eq!((run.counts.created, run.counts.changes, run.counts.pages), (3, 3, 2));
    assert_eq!(rig.context.report.run().counts, run.counts, "who watches sees the same");
}

#[tokio::test]
async fn i2_a_page_that_comes_again_changes_nothing() {
    let rig = plain().await;
    let pages = || vec![part("", vec![document("1"), document("2")], Some(cursor("c")))];
    rig.pull(PullMode::Full, pages()).await.unwrap();
    let before = feed_after(&rig.store, 0).await;
    let outcome = rig.pull(PullMode::Full, pages()).await.unwrap();
    assert!(!outcome.progressed, "the cursor is the same");
    assert_eq!(feed_after(&rig.store, 0).await, before);
    let counts = rig.store.run(&rig.context.run).await.unwrap().unwrap().counts;
    assert_eq!((counts.created, counts.unchanged), (2, 2));
}

#[tokio::test]
async fn i10_too_many_items_that_fail_stop_the_run_before_the_page_counts() {
    let limits = |limits: &mut crate::sync::Limits, _: &mut _| {
        limits.item_error_min = 3;
        limits.item_error_share = 0.5;
        limits.commit_max_changes = 1;
    };
    // Read before, failed in the page: stops.
    for (read, fails, stops) in [(1, 3, false), (1, 4, true), (4, 4, false), (3, 4, true), (100, 90, false)] {
        let rig = Rig::new(limits).await;
        let documents = (0..read).map(|number| document(&format!("{number}"))).collect();
        let before = part("", documents, Some(cursor("before")));
        let Part { end, .. } = part("", Vec::new(), Some(cursor("after")));
        let result = rig.pull(PullMode::Incremental, vec![before, part_of("", failures(fails), end)]).await;
        let told = format!("{fails} failed, {read} read");
        let at = rig.state("").await.unwrap().cursor.unwrap();
        let errors = rig.store.count_item_errors(rig.connection.key).await.unwrap();
        match result {
            Err(Stop::Failed(error)) if stops => {
                assert_eq!(error.reason, Reason::TooManyItemErrors, "{told}");
                assert_eq!(
                    (at.as_slice(), errors),
                    (b"before".as_slice(), fails as u64),
                    "{told}: a person sees why"
                );
            }
            Ok(_) if !stops => {
                assert_eq!((at.as_slice(), errors), (b"after".as_slice(), fails as u64), "{told}")
            }
            other => panic!("{told}: {other:?}"),
        }
        assert_eq!(rig.ids().await.len(), read, "{told}");
    }
}

#[tokio::test]
async fn an_item_error_shields_and_is_cleared_when_the_item_is_read() {
    let rig = plain().await;
    let page = part_of("", vec![failed(id("1")), failed(id("2"))], PartEnd::None);
    rig.pull(PullMode::Full, vec![page]).await.unwrap();
    assert_eq!(rig.store.shields(rig.connection.key, "").await.unwrap().len(), 2);
    assert_eq!(rig.store.count_item_errors(rig.connection.key).await.unwrap(), 2);
    rig.pull(PullMode::Incremental, vec![part("", vec![document("1")], None)]).await.unwrap();
    rig.pull(PullMode::Incremental, vec![part_of("", vec![deletion(id("2"), false)], PartEnd::None)])
        .await
        .unwrap();
    assert_eq!(rig.store.count_item_errors(rig.connection.key).await.unwrap(), 0);
    let state = rig.state("").await.unwrap();
    assert!(!state.listing_unreliable, "whoever can name it need not mistrust the listing");
}

#[tokio::test]
async fn an_error_that_names_nothing_makes_the_listing_unreliable() {
    let rig = plain().await;
    rig.pull(PullMode::Full, vec![part_of("", vec![failed(Target::Unnamed)], PartEnd::None)]).await.unwrap();
    assert!(rig.state("").await.unwrap().listing_unreliable);
}

#[tokio::test]
async fn a_subtree_goes_with_its_folder_in_stream_order() {
    for target in [id("top"), Target::Locator("at/top".to_owned())] {
        let rig = plain().await;
        let mut page = part(
            "",
            vec![folder("top", ""), folder("mid", "top"), within("1", "mid"), within("2", "")],
            None,
        );
        page.changes.push(deletion(target, true));
        let after = part("", vec![within("3", "top")], Some(cursor("c"))).changes;
        page.changes.extend(after);
        page.end = PartEnd::Checkpoint(cursor("c"));
        rig.pull(PullMode::Incremental, vec![page]).await.unwrap();
        assert_eq!(rig.ids().await, ["2", "3"]);
        assert_eq!(rig.store.parent_of(rig.connection.key, "mid").await.unwrap(), None);
        assert_eq!(rig.state("").await.unwrap().cursor.as_deref(), Some(b"c".as_slice()));
    }
}

#[tokio::test]
async fn a_large_subtree_goes_a_batch_at_a_time_and_what_is_under_it_first() {
    let rig = Rig::new(|limits, _| limits.sweep_batch = 3).await;
    let mut changes = vec![folder("top", ""), folder("x", "y"), folder("y", "x"), within("in-circle", "x")];
    for number in 0..7 {
        let name = format!("f{number}");
        changes.push(folder(&name, "top"));
        changes.extend((0..7).map(|inner| within(&format!("d{number}-{inner}"), &name)));
        changes.push(within(&format!("t{number}"), "top"));
    }
    // A document may hold others.
    changes.push(within("under-a-document", "t3"));
    changes.push(within("elsewhere", "another"));
    let mut page = part("", changes, None);
    page.changes.push(deletion(id("top"), true));
    page.changes.push(deletion(id("x"), true));
    rig.pull(PullMode::Incremental, vec![page]).await.unwrap();
    assert_eq!(rig.ids().await, ["elsewhere"]);
    for container in ["top", "f0", "f6", "x", "y"] {
        let parent = rig.store.parent_of(rig.connection.key, container).await.unwrap();
        assert_eq!(parent, None, "{container}");
    }
    let counts = rig.store.run(&rig.context.run).await.unwrap().unwrap().counts;
    assert_eq!(counts.deleted, 7 * 7 + 7 + 2);
    // What holds something goes after it: cut off anywhere, the rest is found from what was named.
    let order: Vec<_> = feed_after(&rig.store, 0).await.into_iter().filter(|row| row.gone).collect();
    let place = |id: &str| order.iter().position(|row| row.id == id).unwrap();
    assert!(place("under-a-document") < place("t3"));
}

#[tokio::test]
async fn i7_permissions_that_cannot_be_kept_make_a_document_private() {
    let rig = plain().await;
    let open = document_with("1", |envelope| {
        let permissions = envelope.permissions.get_or_insert_default();
        permissions.visibility = "public".to_owned();
    });
    rig.pull(PullMode::Full, vec![part("", vec![open], None)]).await.unwrap();
    let crowd = Permissions { allow: vec![String::new(); 10_001], ..Permissions::default() };
    let change = |id: &str| {
        let permissions = Some(crowd.clone());
        change::Kind::Permissions(PermissionsChange { id: id.to_owned(), permissions })
    };
    let page = part("", vec![change("1"), change("unknown")], Some(cursor("c")));
    rig.pull(PullMode::Incremental, vec![page]).await.unwrap();
    let row = rig.store.document(rig.connection.key, "1").await.unwrap().unwrap();
    let envelope = DocumentEnvelope::decode(row.envelope.as_slice()).unwrap();
    assert_eq!(
        envelope.permissions.unwrap(),
        super::super::envelope::private(),
        "who was let in may be shut out now"
    );
    assert_eq!(row.text.as_deref(), Some("text of 1"), "and nothing else of it");
    assert_eq!(rig.store.count_item_errors(rig.connection.key).await.unwrap(), 2, "a person sees why");
}

#[tokio::test]
async fn an_error_by_locator_goes_when_what_has_it_is_read() {
    let rig = plain().await;
    let error = |locator: &str| failed(Target::Locator(locator.to_owned()));
    let page = part_of("", vec![error("at/1"), error("at/2")], PartEnd::None);
    rig.pull(PullMode::Incremental, vec![page]).await.unwrap();
    let mut page = part_of("", vec![error("at/3")], PartEnd::None);
    page.changes.extend(part("", vec![within("1", ""), within("3", "")], None).changes);
    rig.pull(PullMode::Incremental, vec![page]).await.unwrap();
    let filter = Default::default();
    let left = rig.store.item_errors(rig.connection.key, filter, None, 10).await.unwrap().items;
    let left: Vec<_> = left.into_iter().map(|left| left.error.target).collect();
    assert_eq!(left, [Target::Locator("at/2".to_owned())]);
}

#[tokio::test]
async fn a_deletion_by_locator_finds_one_document_and_never_another() {
    let rig = plain().await;
    let mut page = part("", vec![folder("top", ""), within("1", "top"), within("2", "top")], None);
    page.changes.push(deletion(Target::Locator("at/1".to_owned()), false));
    page.changes.push(deletion(Target::Locator("at/nowhere".to_owned()), true));
    let foreign = part_of("b", vec![deletion(Target::Locator("at/2".to_owned()), false)], PartEnd::None);
    rig.pull(PullMode::Incremental, vec![page, foreign]).await.unwrap();
    assert_eq!(rig.ids().await, ["2"]);
}

#[tokio::test]
async fn a_folder_that_comes_and_goes_in_one_transaction_is_gone() {
    let rig = plain().await;
    let mut page = part("", vec![folder("top", "above")], None);
    page.changes.push(deletion(id("top"), false));
    rig.pull(PullMode::Incremental, vec![page]).await.unwrap();
    assert_eq!(rig.store.parent_of(rig.connection.key, "top").await.unwrap(), None);
    let mut page = part_of("", vec![deletion(id("top"), false)], PartEnd::None);
    page.changes.extend(part("", vec![folder("top", "above")], None).changes);
    rig.pull(PullMode::Incremental, vec![page]).await.unwrap();
    assert!(rig.store.parent_of(rig.connection.key, "top").await.unwrap().is_some());
}

#[tokio::test]
async fn a_removed_scope_takes_only_what_it_owns() {
    let rig = Rig::new(|limits, _| limits.sweep_batch = 2).await;
    let ids = ["1", "2", "3", "4", "5"];
    let removed = vec![
        part("a", ids.map(document).into(), Some(cursor("a"))),
        part("b", vec![document("5"), document("6")], Some(cursor("b"))),
        part_of("a", Vec::new(), PartEnd::ScopeRemoved(Cause::Gone)),
        part_of("never-met", Vec::new(), PartEnd::ScopeRemoved(Cause::AccessLost)),
    ];
    let mut committer = rig.committer().await;
    rig.pull_with(&mut committer, PullMode::Incremental, removed.into_iter().map(Pending::Ready).collect())
        .await
        .unwrap();
    assert_eq!(rig.ids().await, ["5", "6"]);
    assert_eq!(rig.state("a").await, None);
    assert_eq!(committer.scopes.names(|_| true), ["b"]);
    assert_eq!(committer.counts.deleted, 4);
    let counts = rig.store.run(&rig.context.run).await.unwrap().unwrap().counts;
    assert_eq!(counts.deleted, 4);
}

#[tokio::test]
async fn scopes_are_kept_apart() {
    let rig = plain().await;
    let more = Checkpoint { has_more: true, ..cursor("b") };
    let parts = vec![
        part("a", vec![document("1")], Some(complete("a"))),
        part("b", vec![document("2")], Some(more)),
        part("c", vec![document("3")], None),
    ];
    let outcome = rig.pull(PullMode::Full, parts).await.unwrap();
    assert_eq!(outcome.has_more.into_iter().collect::<Vec<_>>(), ["b"]);
    let listing = async |scope: &str| rig.state(scope).await.unwrap().listing;
    assert_eq!(listing("a").await, Listing::Complete);
    assert_eq!((listing("b").await, listing("c").await), (Listing::UnderWay, Listing::UnderWay));
}

#[tokio::test]
async fn a_scope_that_stops_has_no_more_and_is_not_complete() {
    let rig = plain().await;
    let more = Checkpoint { has_more: true, ..cursor("1") };
    let stops = PartEnd::ScopeError(failure(Reason::AccessDenied));
    let parts = vec![
        part("a", vec![document("1")], Some(more)),
        part_of("a", Vec::new(), stops),
        part("a", Vec::new(), Some(complete("2"))),
    ];
    let outcome = rig.pull(PullMode::Full, parts).await.unwrap();
    assert!(outcome.has_more.is_empty());
    assert_eq!(outcome.scope_errors, [("a".to_owned(), failure(Reason::AccessDenied))]);
    assert_eq!(rig.state("a").await.unwrap().listing, Listing::UnderWay, "it has said that it stopped");
}

#[tokio::test]
async fn an_upsert_with_a_slow_fetch_never_lands_after_a_newer_deletion() {
    let rig = plain().await;
    let (go, wait) = oneshot::channel::<()>();
    let slow = AbortOnDropHandle::new(tokio::spawn(async move {
        wait.await.unwrap();
        Ok(part("", vec![document("1")], None))
    }));
    let last = part_of("", vec![deletion(id("1"), false)], PartEnd::Checkpoint(cursor("c")));
    let pending = vec![
        Pending::Ready(part("", vec![document("0")], None)),
        Pending::Fetching(slow),
        Pending::Ready(last),
    ];
    let mut committer = rig.committer().await;
    let mut changes = rig.store.feed_changes();
    let pull = rig.pull_with(&mut committer, PullMode::Incremental, pending);
    let release = async {
        // What is ready does not wait for what is not.
        changes.changed().await.unwrap();
        assert_eq!(rig.ids().await, ["0"]);
        go.send(()).unwrap();
    };
    let (outcome, ()) = tokio::join!(pull, release);
    outcome.unwrap();
    assert_eq!(rig.ids().await, ["0"]);
}

#[tokio::test]
async fn a_content_that_cuts_the_pull_leaves_the_cursor_before_it() {
    let rig = plain().await;
    let cut = AbortOnDropHandle::new(tokio::spawn(async { Err(failure(Reason::RateLimited)) }));
    let pending = vec![
        Pending::Ready(part("", vec![document("1")], Some(cursor("before")))),
        Pending::Fetching(cut),
        Pending::Ready(part("", vec![document("3")], Some(cursor("after")))),
    ];
    let outcome = rig.pull_with(&mut rig.committer().await, PullMode::Incremental, pending).await.unwrap();
    assert_eq!(outcome.cut, Some(failure(Reason::RateLimited)));
    assert!(outcome.progressed);
    assert_eq!(rig.state("").await.unwrap().cursor.as_deref(), Some(b"before".as_slice()));
    assert_eq!(rig.ids().await, ["1"]);
}

#[tokio::test]
async fn i3_who_lost_the_claim_stops_and_remembers_nothing_of_it() {
    let rig = plain().await;
    let mut committer = rig.committer().await;
    rig.store.claim_connection(rig.connection.key).await.unwrap();
    let pending = vec![Pending::Ready(part("", vec![document("1")], Some(cursor("c"))))];
    let stopped = rig.pull_with(&mut committer, PullMode::Incremental, pending).await;
    assert!(matches!(stopped, Err(Stop::Fenced)), "{stopped:?}");
    assert!(rig.ids().await.is_empty());
    assert_eq!((committer.counts, committer.scopes.all().count()), (RunCounts::default(), 0));
}

#[tokio::test]
async fn what_is_only_present_is_asked_for_where_that_can_be_done() {
    for targeted in [true, false] {
        let rig = Rig::new(|_, capabilities| capabilities.targeted = targeted).await;
        rig.pull(PullMode::Full, vec![part("", vec![document("1"), document("2")], None)]).await.unwrap();
        let present = |id: &str, version: &str| {
            change::Kind::Present(Present { id: id.to_owned(), version: version.to_owned() })
        };
        let mut committer = rig.committer().await;
        let changes = vec![present("1", "1"), present("2", "2"), present("3", "1")];
        let pending = vec![Pending::Ready(part("", changes, None))];
        rig.pull_with(&mut committer, PullMode::Full, pending).await.unwrap();
        let stored = rig.store.wanted(rig.connection.key, "", 10).await.unwrap();
        let errors = rig.store.count_item_errors(rig.connection.key).await.unwrap();
        if targeted {
            assert_eq!(
                (stored, errors),
                (vec![wanted("2", "2"), wanted("3", "1")], 0),
                "with the page itself"
            );
            assert!(committer.wanted_stand);
        } else {
            assert_eq!((stored, errors), (vec![], 2));
            assert_eq!(committer.counts.item_errors, 2);
        }
    }
}

#[tokio::test]
async fn i7_permissions_alone_reach_the_feed_without_the_text() {
    let rig = plain().await;
    rig.pull(PullMode::Full, vec![part("", vec![document("1")], None)]).await.unwrap();
    let public = Permissions { visibility: "public".to_owned(), ..Permissions::default() };
    let change =
        change::Kind::Permissions(PermissionsChange { id: "1".to_owned(), permissions: Some(public) });
    let nobody = change::Kind::Permissions(PermissionsChange { id: "nobody".to_owned(), permissions: None });
    rig.pull(PullMode::Incremental, vec![part("", vec![change, nobody], None)]).await.unwrap();
    let row = feed_after(&rig.store, 0).await.remove(0);
    let envelope: superfasttt_proto::connector::v1::DocumentEnvelope =
        prost::Message::decode(row.envelope.as_slice()).unwrap();
    assert_eq!(envelope.permissions.unwrap().visibility, "public");
    assert!(row.content_offset < row.offset);
    assert_eq!(row.text.as_deref(), Some("text of 1"), "to a reader who has seen nothing");
    assert_eq!(find(&rig.store, &rig.connection, "nobody").await, None);
}

/// What a run counted: created, updated, unchanged.
async fn counted(rig: &Rig) -> (u64, u64, u64) {
    let counts = rig.store.run(&rig.context.run).await.unwrap().unwrap().counts;
    (counts.created, counts.updated, counts.unchanged)
}

fn renamed(id: &str, title: &str) -> change::Kind {
    document_with(id, |envelope| title.clone_into(&mut envelope.title))
}

#[tokio::test]
async fn i2_a_document_that_comes_byte_for_byte_is_seen_without_being_opened() {
    let rig = plain().await;
    let documents = || vec![document("1"), document("2"), document("3")];
    rig.pull(PullMode::Full, vec![part("", documents(), Some(complete("c")))]).await.unwrap();
    let before = feed_after(&rig.store, 0).await;
    let states = rig.committer().await.scopes.begin_listing(
        &[String::new()],
        ListingMode::Full,
        false,
        rig.context.clock.now(),
    );
    rig.store.save_sync_states(rig.context.fence, states, None).await.unwrap();
    let again = unopened_part("", documents(), Some(complete("c")));
    assert!(again.changes.iter().all(|change| matches!(change, Change::Unopened(_))));
    rig.pull(PullMode::Full, vec![again]).await.unwrap();
    assert_eq!(counted(&rig).await, (3, 0, 3));
    assert_eq!(feed_after(&rig.store, 0).await, before);
    for id in ["1", "2", "3"] {
        let seen = find(&rig.store, &rig.connection, id).await.unwrap();
        assert_eq!(seen.generation, 2, "{id} was seen in the second listing");
    }
}

#[tokio::test]
async fn an_unopened_document_that_differs_in_anything_is_opened() {
    let rig = plain().await;
    rig.pull(PullMode::Full, vec![part("", vec![document("1"), document("2")], None)]).await.unwrap();
    // Another title, another scope, a new document, and one that breaks a limit.
    let long = document_with("long", |envelope| envelope.url = "x".repeat(10_000));
    let changes = vec![renamed("1", "other"), document("3"), long];
    let parts = vec![unopened_part("", changes, None), unopened_part("b", vec![document("2")], None)];
    rig.pull(PullMode::Full, parts).await.unwrap();
    assert_eq!(counted(&rig).await, (3, 1, 1));
    assert_eq!(find(&rig.store, &rig.connection, "2").await.unwrap().scope, "b");
    assert_eq!(find(&rig.store, &rig.connection, "long").await, None);
    assert_eq!(rig.store.count_item_errors(rig.connection.key).await.unwrap(), 1);
}

#[tokio::test]
async fn i7_permissions_that_changed_in_between_are_put_back_by_the_message_of_before() {
    let rig = plain().await;
    rig.pull(PullMode::Full, vec![part("", vec![document("1")], None)]).await.unwrap();
    let public = Permissions { visibility: "public".to_owned(), ..Permissions::default() };
    let change =
        change::Kind::Permissions(PermissionsChange { id: "1".to_owned(), permissions: Some(public) });
    rig.pull(PullMode::Incremental, vec![part("", vec![change], None)]).await.unwrap();
    rig.pull(PullMode::Full, vec![unopened_part("", vec![document("1")], None)]).await.unwrap();
    assert_eq!(counted(&rig).await, (1, 2, 0), "the message says private again");
    rig.pull(PullMode::Full, vec![unopened_part("", vec![document("1")], None)]).await.unwrap();
    assert_eq!(counted(&rig).await, (1, 2, 1));
}

#[tokio::test]
async fn the_same_said_in_other_bytes_is_known_from_then_on() {
    let rig = plain().await;
    let order = |names: [&str; 2]| {
        document_with("1", |envelope| {
            let allow = names.map(str::to_owned).to_vec();
            envelope.permissions = Some(Permissions { allow, ..Permissions::default() });
        })
    };
    let hash = async || find(&rig.store, &rig.connection, "1").await.unwrap().message_hash.unwrap();
    rig.pull(PullMode::Full, vec![part("", vec![order(["user:a", "user:b"])], None)]).await.unwrap();
    let first = hash().await;
    rig.pull(PullMode::Full, vec![unopened_part("", vec![order(["user:b", "user:a"])], None)]).await.unwrap();
    assert_eq!(counted(&rig).await, (1, 0, 1));
    assert_ne!(hash().await, first);
}

#[tokio::test]
async fn groups_that_follow_each_other_closely_see_what_the_one_before_did() {
    let rig = Rig::new(|limits, _| limits.commit_max_changes = 1).await;
    let gone = part_of("", vec![deletion(id("1"), false)], PartEnd::None);
    let parts = vec![
        part("", vec![document("1")], None),
        part("", vec![renamed("1", "other")], None),
        part("", vec![document("2")], None),
        unopened_part("", vec![renamed("1", "other")], None),
        gone,
        part("", vec![document("1")], None),
    ];
    rig.pull(PullMode::Incremental, parts).await.unwrap();
    assert_eq!(counted(&rig).await, (3, 1, 1), "made, renamed, seen, deleted and made again");
    assert_eq!(rig.ids().await, ["1", "2"]);
}
