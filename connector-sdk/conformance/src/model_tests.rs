use superfasttt_proto::connector::v1::{Container, Page, Present};

use super::*;

fn page(scope: &str, changes: Vec<change::Kind>, checkpoint: Option<Checkpoint>) -> PullResponse {
    let changes = changes.into_iter().map(|kind| Change { kind: Some(kind) }).collect();
    let page = Page { scope: scope.to_owned(), changes, checkpoint };
    PullResponse { kind: Some(pull_response::Kind::Page(page)) }
}

fn document(id: &str, title: &str) -> change::Kind {
    change::Kind::Document(DocumentEnvelope { id: id.into(), title: title.into(), ..Default::default() })
}

fn complete(cursor: &str) -> Option<Checkpoint> {
    Some(Checkpoint { cursor: cursor.into(), has_more: false, listing_complete: true })
}

fn listed(documents: &[&str]) -> Model {
    let mut model = Model::default();
    let changes = documents.iter().map(|id| document(id, "t")).collect();
    model.commit(PullMode::Full, &page("", changes, complete("c")));
    model
}

#[test]
fn a_complete_listing_deletes_what_it_did_not_name() {
    let mut model = listed(&["a", "b"]);
    let aged = model.aged();
    assert_eq!(aged.ids().len(), 3);
    model = aged;
    model.commit(PullMode::Full, &page("", vec![document("a", "new")], complete("d")));
    assert_eq!(model.ids().into_iter().collect::<Vec<_>>(), ["a"]);
    assert_eq!(model.states(PullMode::Incremental)[0].cursor, b"d");
}

#[test]
fn an_error_spares_what_it_names_and_one_without_a_name_spares_all() {
    let error = |target| change::Kind::ItemError(ItemError { target, ..Default::default() });
    let mut model = listed(&["a", "b"]);
    let named = error(Some(item_error::Target::Id("a".into())));
    model.commit(PullMode::Full, &page("", vec![named], complete("d")));
    assert_eq!(model.ids().into_iter().collect::<Vec<_>>(), ["a"]);
    let mut model = listed(&["a", "b"]);
    model.commit(PullMode::Full, &page("", vec![error(None)], complete("d")));
    assert_eq!(model.ids().len(), 2);
}

#[test]
fn a_listing_goes_on_with_what_it_saw_before_it_was_cut() {
    let mut model = listed(&["a", "b"]).aged();
    let checkpoint = Checkpoint { cursor: b"half".to_vec(), has_more: true, listing_complete: false };
    model.commit(PullMode::Full, &page("", vec![document("a", "n")], Some(checkpoint)));
    assert_eq!(model.states(PullMode::Full)[0].cursor, b"half");
    assert_eq!(model.states(PullMode::Incremental)[0].cursor, b"c");
    model.commit(PullMode::Full, &page("", vec![document("b", "n")], complete("d")));
    assert_eq!(model.ids().len(), 2);
    assert!(model.states(PullMode::Full).is_empty());
}

#[test]
fn a_deletion_in_another_scope_removes_nothing_and_one_of_a_folder_what_is_under_it() {
    let mut model = listed(&["a"]);
    let deletion = |id: &str| {
        let target = Some(deletion::Target::Id(id.into()));
        change::Kind::Deletion(Deletion { target, with_descendants: true })
    };
    model.commit(PullMode::Incremental, &page("other", vec![deletion("a")], None));
    assert_eq!(model.ids().len(), 1);
    let folder = change::Kind::Container(Container { id: "f".into(), ..Default::default() });
    let under = change::Kind::Document(DocumentEnvelope {
        id: "u".into(),
        parent_id: "f".into(),
        ..Default::default()
    });
    model.commit(PullMode::Incremental, &page("", vec![folder, under, deletion("f")], None));
    assert_eq!(model.ids().into_iter().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn what_is_present_at_another_version_is_wanted() {
    let mut model = listed(&["a"]);
    let present =
        |id: &str, version: &str| change::Kind::Present(Present { id: id.into(), version: version.into() });
    model.commit(PullMode::Full, &page("", vec![present("a", ""), present("b", "1")], None));
    assert_eq!(model.take_wanted().into_iter().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn differences_are_told_by_field() {
    let (mut one, two) = (listed(&["a", "b"]), listed(&["a", "c"]));
    one.commit(PullMode::Incremental, &page("", vec![document("a", "other")], None));
    let told = one.compare(&two).told().unwrap();
    assert!(
        told.contains(r#"missing: "c""#) && told.contains("title") && told.contains(r#"too many: "b""#),
        "{told}"
    );
    assert_eq!(two.compare(&two).told(), None);
}
