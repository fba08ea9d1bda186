//! Raw items: kept with their documents whatever Normalize says, normalized again without the source.

use superfasttt_proto::connector::v1::{
    Deletion, DocumentEnvelope, ItemError, NormalizeResponse, Permissions, PermissionsChange, PullMode,
    RawItem, Reason, change, deletion, item_error, normalize_response,
};
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::error::ConnectorError;

use super::engine::{Engine, say};
use crate::store::connections::ConnectionChange;
use crate::store::feed::{FeedFilter, Texts};
use crate::store::raw_items::RawItem as Kept;
use crate::store::suite::support::{ALL, feed_after};
use crate::store::sync_states::ScopeState;
use crate::sync::renormalize::{Difference, DifferenceKind, Preview};
use crate::sync::testing::{complete, cursor, document};

type Answer = Result<NormalizeResponse, ConnectorError>;
/// A Normalize that breaks the contract.
type Faulty = fn(Vec<RawItem>) -> Vec<Answer>;

async fn keeping() -> Engine {
    Engine::with(&["incremental", "full_listing"], |new| new.keep_raw = true).await
}

fn raw(id: &str, data: &str) -> change::Kind {
    change::Kind::Raw(RawItem {
        id: id.to_owned(),
        version: "1".to_owned(),
        schema: "text/1".to_owned(),
        data: data.to_owned().into_bytes().into(),
        ..RawItem::default()
    })
}

/// The item's data is the title and the text of its document.
fn envelope(item: RawItem, title: &str) -> DocumentEnvelope {
    let data = String::from_utf8(item.data.into()).unwrap();
    DocumentEnvelope {
        id: item.id,
        title: format!("{title}{data}"),
        content: item.content_ref.is_empty().then_some(data),
        ..DocumentEnvelope::default()
    }
}

fn answer(document: DocumentEnvelope) -> Answer {
    Ok(NormalizeResponse { kind: Some(normalize_response::Kind::Document(document)) })
}

fn refusal(id: &str) -> Answer {
    let error = ItemError {
        target: Some(item_error::Target::Id(id.to_owned())),
        error: Some(ConnectorError::new(Reason::Internal, "cannot be read").to_proto()),
        ..ItemError::default()
    };
    Ok(NormalizeResponse { kind: Some(normalize_response::Kind::ItemError(error)) })
}

/// Makes a document of each item, with `title` before its data; of those whose data is "bad" none.
fn with_title(title: &'static str) -> impl Fn(Vec<RawItem>) -> Vec<Answer> {
    move |items| {
        let answers = items.into_iter().map(|item| match &item.data[..] {
            b"bad" => refusal(&item.id),
            _ => answer(envelope(item, title)),
        });
        answers.collect()
    }
}

async fn kept(engine: &Engine) -> Vec<Kept> {
    engine.store.raw_items(engine.connection.key, "", 1000, usize::MAX).await.unwrap()
}

async fn kept_ids(engine: &Engine) -> Vec<String> {
    kept(engine).await.into_iter().map(|item| item.put.id).collect()
}

async fn titles(engine: &Engine) -> Vec<(String, String)> {
    let filter = FeedFilter::default();
    let (rows, _) = engine.store.list_documents(filter, None, Texts::Omit, ALL).await.unwrap();
    let envelopes = rows.into_iter().map(|row| {
        let bytes = row.envelope;
        <DocumentEnvelope as prost::Message>::decode(bytes.as_slice()).unwrap()
    });
    envelopes.map(|document| (document.id, document.title)).collect()
}

async fn errors(engine: &Engine) -> Vec<(String, Reason)> {
    let listed =
        engine.store.item_errors(engine.connection.key, Default::default(), None, 100).await.unwrap().items;
    let told = listed.into_iter().map(|stored| match stored.error.target {
        crate::store::item_errors::Target::Id(id) => (id, stored.error.reason),
        other => panic!("{other:?}"),
    });
    told.collect()
}

async fn states(engine: &Engine) -> Vec<ScopeState> {
    engine.store.sync_states(engine.connection.key).await.unwrap()
}

fn pair(id: &str, title: &str) -> (String, String) {
    (id.to_owned(), title.to_owned())
}

/// What a preview of everything tells, and its totals: unchanged, changed, become error, newly readable, still error.
async fn preview(engine: &Engine, sample: Option<usize>) -> (Vec<Difference>, [u64; 5]) {
    let entry = engine.scheduler.catalog.get("demo").unwrap();
    let connection = engine.shown().await;
    let normalizer = engine.scheduler.normalizer(&entry.manifest.clone().unwrap(), &connection);
    let session = engine.scheduler.connectors.open(&connection).await.unwrap();
    let in_flight = engine.scheduler.renormalizing();
    let preview = Preview::new(engine.store.clone(), connection, normalizer, session, in_flight, sample);
    let mut preview = preview.await.unwrap();
    let mut told = Vec::new();
    while let Some(differences) = preview.next().await.unwrap() {
        told.extend(differences);
    }
    let totals = preview.totals();
    let told_totals =
        [totals.unchanged, totals.changed, totals.become_error, totals.newly_readable, totals.still_error];
    assert_eq!(told_totals.iter().sum::<u64>(), totals.examined);
    (told, told_totals)
}

#[tokio::test(start_paused = true)]
async fn a_raw_item_is_kept_with_its_document_and_goes_with_it() {
    let engine = keeping().await;
    engine.normalize(with_title(""));
    let changes = vec![raw("1", "one"), document("envelope"), raw("2", "two"), raw("3", "three")];
    engine.pull(vec![say("", changes, Some(complete("1")))]);
    let run = engine.sync().await;
    assert_eq!((run.state, run.counts.created), (State::Succeeded, 4));
    assert_eq!(engine.ids().await, ["1", "2", "3", "envelope"]);
    assert_eq!(kept_ids(&engine).await, ["1", "2", "3"]);
    assert_eq!(engine.normalized(), [3], "one call for a page");
    let told = engine.log(&run.id).await.into_iter().filter(|line| line.contains("envelopes though raw"));
    assert_eq!(told.count(), 1);

    let gone = deletion::Target::Id("1".to_owned());
    let gone = change::Kind::Deletion(Deletion { target: Some(gone), with_descendants: false });
    // In one page: gone, and back again; now an envelope, and gone for good.
    let changes = vec![raw("2", "two"), gone.clone(), raw("1", "again"), gone, document("3")];
    engine.pull(vec![say("", changes, Some(cursor("2")))]);
    engine.sync().await;
    assert_eq!(kept_ids(&engine).await, ["2"]);
    assert_eq!(engine.ids().await, ["2", "3", "envelope"]);
}

#[tokio::test(start_paused = true)]
async fn i10_an_item_that_cannot_be_normalized_is_kept_and_read_by_a_mended_connector() {
    let engine = keeping().await;
    engine.normalize(with_title(""));
    let limits = |items: Vec<RawItem>| {
        let long = |item: RawItem| DocumentEnvelope { title: "x".repeat(5000), ..envelope(item, "") };
        items.into_iter().map(|item| answer(long(item))).collect()
    };
    engine.pull(vec![say("", vec![raw("1", "one"), raw("2", "bad")], Some(complete("1")))]);
    let run = engine.sync().await;
    assert_eq!((run.state, run.counts.item_errors), (State::SucceededWithErrors, 1));
    assert_eq!(
        (engine.ids().await, kept_ids(&engine).await),
        (vec!["1".into()], vec!["1".into(), "2".into()])
    );
    assert_eq!(errors(&engine).await, [("2".to_owned(), Reason::Internal)]);
    let same = preview(&engine, None).await;
    assert_eq!(same.1, [1, 0, 0, 0, 1]);
    assert_eq!(same.0[1].error.as_ref().unwrap().message, "cannot be read");

    engine.normalize(|items| items.into_iter().map(|item| answer(envelope(item, "t:"))).collect());
    let (told, totals) = preview(&engine, None).await;
    assert_eq!(totals, [0, 1, 0, 1, 0]);
    let kinds: Vec<_> = told.iter().map(|difference| (difference.kind, &difference.fields[..])).collect();
    assert_eq!(kinds[0], (DifferenceKind::Changed, &["title".to_owned()][..]));
    assert_eq!(kinds[1], (DifferenceKind::NewlyReadable, &[][..]));
    assert_eq!(titles(&engine).await, [pair("1", "one")], "a preview writes nothing");

    let run = engine.renormalize().await;
    assert_eq!(
        (run.state, run.counts.changes, run.counts.created, run.counts.updated),
        (State::Succeeded, 2, 1, 1)
    );
    assert_eq!(titles(&engine).await, [pair("1", "t:one"), pair("2", "t:bad")]);
    assert!(errors(&engine).await.is_empty());

    // A version that is worse takes nothing away.
    engine.normalize(limits);
    assert_eq!(preview(&engine, None).await.1, [0, 0, 2, 0, 0]);
    let run = engine.renormalize().await;
    assert_eq!((run.state, run.counts.item_errors), (State::SucceededWithErrors, 2));
    assert_eq!(titles(&engine).await, [pair("1", "t:one"), pair("2", "t:bad")]);
    assert_eq!(errors(&engine).await.len(), 2);
    engine.normalize(with_title("t:"));
    engine.renormalize().await;
    assert_eq!(errors(&engine).await, [("2".to_owned(), Reason::Internal)]);
}

#[tokio::test(start_paused = true)]
async fn the_feed_shows_exactly_what_a_re_normalization_changed() {
    let engine = keeping().await;
    engine.normalize(with_title(""));
    let items = (0..450).map(|number| raw(&format!("{number:03}"), &format!("item {number}"))).collect();
    engine.pull(vec![say("", items, Some(complete("1")))]);
    engine.sync().await;
    let head = engine.store.feed_bounds().await.unwrap().head;
    engine.asked();
    engine.normalize(|items| {
        let title = |item: &RawItem| if item.id.ends_with("50") { "new " } else { "" };
        items.into_iter().map(|item| answer(envelope(item.clone(), title(&item)))).collect()
    });
    let (told, totals) = preview(&engine, Some(45)).await;
    assert_eq!((told.len(), totals.iter().sum::<u64>()), (45, 45));
    assert_eq!(preview(&engine, None).await.1, [446, 4, 0, 0, 0]);
    let before = engine.normalized().len();
    let run = engine.renormalize().await;
    assert_eq!((run.state, run.counts.updated, run.counts.unchanged), (State::Succeeded, 4, 446));
    assert_eq!(engine.normalized()[before..], [200, 200, 50], "in batches");
    let told: Vec<_> =
        feed_after(&engine.store, head).await.into_iter().map(|row| (row.id, row.text)).collect();
    let ids: Vec<_> = told.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["050", "150", "250", "350"]);
    assert!(told.iter().all(|(_, text)| text.is_none()), "their texts are the same");
    assert!(engine.asked().is_empty(), "the source was not asked");
}

#[tokio::test(start_paused = true)]
async fn i7_permissions_newer_than_the_item_are_kept() {
    let engine = keeping().await;
    let public = |items: Vec<RawItem>| {
        let document = |item: RawItem| DocumentEnvelope {
            permissions: Some(Permissions { visibility: "public".to_owned(), ..Permissions::default() }),
            ..envelope(item, "")
        };
        items
            .into_iter()
            .map(|item| match &item.data[..] {
                b"bad" => refusal(&item.id),
                _ => answer(document(item)),
            })
            .collect()
    };
    engine.normalize(public);
    let closed = |id: &str| {
        let permissions = Some(Permissions { visibility: "private".to_owned(), ..Permissions::default() });
        change::Kind::Permissions(PermissionsChange { id: id.to_owned(), permissions })
    };
    let changes = vec![raw("1", "one"), raw("2", "bad"), raw("3", "three"), closed("3"), raw("3", "three")];
    engine.pull(vec![say("", changes, Some(complete("1")))]);
    engine.sync().await;
    engine.pull(vec![say("", vec![closed("1"), closed("2")], Some(cursor("2")))]);
    engine.sync().await;
    engine.normalize(move |items| {
        public(items.into_iter().map(|item| RawItem { data: "new".into(), ..item }).collect())
    });
    engine.renormalize().await;
    let (rows, _) = engine.store.list_documents(FeedFilter::default(), None, Texts::Omit, ALL).await.unwrap();
    let shown = rows.into_iter().map(|row| {
        let bytes = row.envelope;
        let document = <DocumentEnvelope as prost::Message>::decode(bytes.as_slice()).unwrap();
        (document.title, document.permissions.unwrap().visibility)
    });
    let shown: Vec<_> = shown.collect();
    assert_eq!(shown, [pair("new", "private"), pair("new", "private"), pair("new", "public")]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_something_else_fails_the_run_and_commits_nothing_past_it() {
    let cases: [(&str, Faulty); 5] = [
        ("another id", |items| items.into_iter().map(|_| answer(DocumentEnvelope::default())).collect()),
        ("an unnamed error", |items| {
            items
                .into_iter()
                .map(|_| {
                    Ok(NormalizeResponse {
                        kind: Some(normalize_response::Kind::ItemError(ItemError::default())),
                    })
                })
                .collect()
        }),
        ("nothing", |_| Vec::new()),
        ("an unknown kind", |items| items.into_iter().map(|_| Ok(NormalizeResponse::default())).collect()),
        ("too much", |items| {
            let twice = items
                .into_iter()
                .flat_map(|item| [answer(envelope(item.clone(), "")), answer(envelope(item, ""))]);
            twice.collect()
        }),
    ];
    for (what, normalize) in cases {
        let engine = keeping().await;
        engine.normalize(normalize);
        engine.pull(vec![say("", vec![raw("1", "one"), raw("2", "two")], Some(complete("1")))]);
        let run = engine.sync().await;
        assert_eq!(run.state, State::Failed, "{what}");
        assert_eq!(run.error.unwrap().reason(), Reason::ProtocolViolation, "{what}");
        assert!(states(&engine).await.iter().all(|state| state.cursor.is_none()), "{what}");
        // The same of what is kept already.
        engine.normalize(with_title(""));
        engine.pull(vec![say("", vec![raw("1", "one"), raw("2", "two")], Some(complete("1")))]);
        engine.sync().await;
        engine.normalize(normalize);
        let run = engine.renormalize().await;
        assert_eq!(
            (run.state, run.error.unwrap().reason()),
            (State::Failed, Reason::ProtocolViolation),
            "{what}"
        );
        assert_eq!(titles(&engine).await, [pair("1", "one"), pair("2", "two")], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_stalls_in_normalize_cuts_the_pull() {
    let engine = keeping().await;
    engine.hang_normalize(true);
    engine.normalize(|items| items.into_iter().take(1).map(|item| answer(envelope(item, ""))).collect());
    for _ in 0..10 {
        engine.pull(vec![say("", vec![raw("1", "one"), raw("2", "two")], Some(complete("1")))]);
    }
    let run = engine.sync().await;
    assert_eq!(run.state, State::Failed);
    assert!(states(&engine).await.iter().all(|state| state.cursor.is_none()), "nothing is committed past it");
    engine.hang_normalize(false);
    engine.normalize(with_title(""));
    assert_eq!(engine.sync().await.state, State::Succeeded);
    assert_eq!(engine.ids().await, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn i10_an_item_at_which_the_connector_crashes_is_passed_over_and_kept() {
    let poison = |items: Vec<RawItem>| {
        let mut answers = Vec::new();
        for item in items {
            if item.id == "poison" {
                answers.push(Err(ConnectorError::new(Reason::ConnectorCrashed, "it crashed")));
                break;
            }
            answers.push(answer(envelope(item, "")));
        }
        answers
    };
    let engine = keeping().await;
    engine.normalize(poison);
    let changes = || vec![raw("a", "a"), raw("poison", "bad"), raw("z", "z")];
    engine.pull(vec![say("", changes(), Some(complete("1")))]);
    engine.pull(vec![say("", changes(), Some(complete("1")))]);
    let run = engine.sync().await;
    assert_eq!((run.state, run.counts.created), (State::SucceededWithErrors, 2), "{run:?}");
    assert_eq!(errors(&engine).await, [("poison".to_owned(), Reason::ConnectorCrashed)]);
    assert_eq!((engine.ids().await.len(), kept_ids(&engine).await.len()), (2, 3));

    engine.normalize(move |items| {
        poison(items.into_iter().map(|item| RawItem { data: "new".into(), ..item }).collect())
    });
    let run = engine.renormalize().await;
    assert_eq!((run.state, run.counts.updated, run.counts.item_errors), (State::SucceededWithErrors, 2, 1));
    assert_eq!(titles(&engine).await, [pair("a", "new"), pair("z", "new")]);
    engine.normalize(with_title(""));
    engine.renormalize().await;
    assert_eq!(errors(&engine).await, [("poison".to_owned(), Reason::Internal)], "now it says why");
}

#[tokio::test(start_paused = true)]
async fn switched_on_the_next_run_collects_without_a_persons_settings_having_changed() {
    let engine = Engine::new().await;
    engine.pull(vec![say("", vec![document("1"), document("2"), document("3")], Some(complete("1")))]);
    engine.sync().await;
    let keep = async |keep_raw| {
        let change = ConnectionChange { keep_raw: Some(keep_raw), ..ConnectionChange::default() };
        engine
            .store
            .update_connection(&engine.connection.id, None, change, engine.shown().await.updated_at)
            .await
            .unwrap();
    };
    keep(true).await;
    engine.normalize(with_title(""));
    engine.pull(vec![say(
        "",
        vec![raw("1", "one"), raw("2", "two"), raw("3", "three")],
        Some(complete("2")),
    )]);
    let run = engine.sync().await;
    assert_eq!((run.mode, run.counts.updated), (PullMode::Full, 3));
    assert_eq!(kept_ids(&engine).await, ["1", "2", "3"]);
    engine.pull(vec![say("", vec![raw("2", "newer")], Some(cursor("3")))]);
    assert_eq!(engine.sync().await.mode, PullMode::Incremental);

    keep(false).await;
    assert!(kept(&engine).await.is_empty());
    engine.pull(vec![say("", vec![document("2")], Some(cursor("4")))]);
    assert_eq!(engine.sync().await.mode, PullMode::Incremental, "nothing has to be listed for that");
    keep(true).await;
    engine.pull(vec![say("", vec![raw("1", "one")], Some(complete("5")))]);
    let run = engine.sync().await;
    assert_eq!((run.mode, run.held_sweeps.len()), (PullMode::Full, 0));
    assert_eq!(kept_ids(&engine).await, ["1"], "what is no longer listed goes as ever");
}

#[tokio::test(start_paused = true)]
async fn content_behind_a_reference_stays_and_is_asked_for_only_where_it_never_came() {
    let engine = keeping().await;
    let behind = |id: &str, data: &str| match raw(id, data) {
        change::Kind::Raw(item) => change::Kind::Raw(RawItem { content_ref: "ref".to_owned(), ..item }),
        _ => unreachable!(),
    };
    engine.normalize(with_title(""));
    // The script's content cannot be read: a verdict that stays.
    engine.pull(vec![say("", vec![behind("1", "one"), behind("2", "bad")], Some(complete("1")))]);
    let run = engine.sync().await;
    assert_eq!(run.counts.contents_fetched, 1);
    assert_eq!(errors(&engine).await.len(), 2);
    engine.normalize(|items| items.into_iter().map(|item| answer(envelope(item, "new "))).collect());
    let run = engine.renormalize().await;
    assert_eq!((run.counts.updated, run.counts.created, run.counts.contents_fetched), (1, 1, 0));
    let mut told = errors(&engine).await;
    told.sort();
    let expected = [("1".to_owned(), Reason::ContentUnreadable), ("2".to_owned(), Reason::SourceUnavailable)];
    assert_eq!(told, expected, "what is wrong with the content is still so");
    // The next sight fetches what never came, and only that.
    engine.pull(vec![say("", vec![behind("1", "one"), behind("2", "two")], Some(cursor("2")))]);
    assert_eq!(engine.sync().await.counts.contents_fetched, 1);
}
