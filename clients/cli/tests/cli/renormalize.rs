//! Re-normalization: begun, and told before.

use serde_json::json;
use superfasttt_proto::connector::v1::Error;
use superfasttt_proto::control::v1::document_difference::Kind;
use superfasttt_proto::control::v1::{
    DocumentDifference, PreviewRenormalizationResponse, RenormalizationTotals,
};

use crate::fake::Fake;
use crate::support::Server;

fn preview() -> Vec<PreviewRenormalizationResponse> {
    let document = |id: &str, kind: Kind, fields: &[&str]| DocumentDifference {
        id: id.to_owned(),
        kind: kind.into(),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        ..DocumentDifference::default()
    };
    let error = Some(Error { message: "no title".to_owned(), ..Error::default() });
    let broken = DocumentDifference { error, ..document("c", Kind::BecomesError, &[]) };
    let totals = RenormalizationTotals {
        kept: 3,
        examined: 3,
        unchanged: 1,
        changed: 1,
        become_error: 1,
        ..Default::default()
    };
    vec![
        PreviewRenormalizationResponse {
            documents: vec![
                document("a", Kind::Unchanged, &[]),
                document("b", Kind::Changed, &["title", "metadata.owner"]),
            ],
            ..Default::default()
        },
        PreviewRenormalizationResponse { documents: vec![broken], ..Default::default() },
        PreviewRenormalizationResponse { totals: Some(totals), done: true, ..Default::default() },
    ]
}

#[tokio::test]
async fn a_preview_shows_what_differs_and_how_much() {
    let server = Server::start(Fake { preview: preview(), ..Fake::default() }).await;
    let ran = server.run("connections renormalize docs --preview --sample 7").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{ran:?}");
    assert!(lines[1].contains("title, metadata.owner") && lines[2].contains("no title"), "{ran:?}");
    assert!(ran.err.contains("1 unchanged, 1 changed"), "{ran:?}");
    let asked = server.fake.asked.previews.lock().unwrap();
    assert_eq!((asked[0].sample_size, asked[0].all), (7, false));
}

#[tokio::test]
async fn a_program_gets_each_document_and_then_the_totals() {
    let server = Server::start(Fake { preview: preview(), ..Fake::default() }).await;
    let ran = server.run("-o json connections renormalize docs --preview --all").await;
    let lines = ran.json();
    assert_eq!(lines[0], json!({"id": "a", "kind": "KIND_UNCHANGED"}));
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[3]["totals"]["becomeError"], "1");
    assert!(server.fake.asked.previews.lock().unwrap()[0].all);
}

#[tokio::test]
async fn a_preview_that_breaks_off_is_no_preview() {
    let mut broken = preview();
    broken.pop();
    let server = Server::start(Fake { preview: broken, ..Fake::default() }).await;
    let ran = server.run("connections renormalize docs --preview").await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let ran = server.run("connections renormalize docs --sample 5").await;
    assert_eq!(ran.code, 2, "a sample of what? {ran:?}");
}
