//! I1: whenever connectord dies, the cursor that it hands out at the next pull covers only changes that are stored.

use crate::support::{SCRIPTED, Script, Server, Step, checkpoint, complete, doc, fail, more, text, until};

/// The pages of changes after the first listing, each with its cursor.
const PAGES: usize = 4;

/// Where a pull stops for a kill: at this page, before or after its checkpoint was sent.
type Stop = (usize, bool);

/// A pull that goes on behind page `from`, as a real connector would, and stops for a kill.
fn pull(script: &Script, from: usize, stop: Option<Stop>) -> Vec<Step> {
    let mut steps = Vec::new();
    for page in from + 1..=PAGES {
        // One document of the page's own, and one that every page changes: the newest must win.
        steps.push(doc(&format!("page-{page}"), &format!("v{page}")));
        steps.push(doc("shared", &format!("v{page}")));
        let checkpoint = if page == PAGES { checkpoint(&page.to_string()) } else { more(&page.to_string()) };
        match stop {
            Some((at, after)) if at == page => {
                steps.extend(after.then_some(checkpoint));
                steps.extend([script.touch(&format!("at-{page}-{after}")), script.wait("never")]);
                return steps;
            }
            _ => steps.push(checkpoint),
        }
    }
    steps
}

#[tokio::test]
async fn i1_no_kill_of_the_server_skips_a_change() {
    let mut server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![doc("shared", "v0"), complete("0")]]).await;
    let script = &source.script;
    server.client.sync_well(&source.connection).await;

    let stops: Vec<Stop> = (1..=PAGES).flat_map(|page| [(page, false), (page, true)]).collect();
    script.next_pulls([pull(script, 0, stops.first().copied())]);
    let run = server.client.begin(&source.connection, false).await;
    let mut reached = 0;
    for (number, (page, after)) in stops.iter().copied().enumerate() {
        script.reached(&format!("at-{page}-{after}")).await;
        server.kill9().await;
        // The first pull after the restart only shows which cursor is handed out; it holds until that was looked at.
        let go = format!("go-{page}-{after}");
        script.next_pulls([vec![script.wait(&go), fail("SOURCE_UNAVAILABLE")]]);
        let pulls = script.pulls().len();
        server.restart().await;
        until("a pull after the restart", || script.pulls().len() > pulls).await;

        let (mode, cursor) = script.last_pull();
        assert_eq!(mode, "INCREMENTAL");
        let cursor: usize = cursor.parse().unwrap();
        assert!(cursor >= reached, "the cursor went back from {reached} to {cursor}");
        assert!(cursor < page || after && cursor == page, "cursor {cursor} is ahead of page {page}");
        let documents = server.client.documents(&source.connection).await;
        for covered in 1..=cursor {
            let id = format!("page-{covered}");
            assert_eq!(
                text(&documents, &id),
                format!("text of {id} v{covered}"),
                "cursor {cursor} covers it"
            );
        }
        reached = cursor;
        script.next_pulls([pull(script, cursor, stops.get(number + 1).copied())]);
        script.release(&go);
    }

    let run = server.client.end_of(&run.id).await;
    assert_eq!(run.attempts as usize, stops.len() + 1, "it is one run, gone on with");
    let documents = server.client.documents(&source.connection).await;
    assert_eq!(documents.len(), PAGES + 1);
    assert_eq!(text(&documents, "shared"), format!("text of shared v{PAGES}"));
    let mut told = server.client.feed("").await.told();
    told.sort();
    assert_eq!(told, documents.keys().cloned().collect::<Vec<_>>(), "each once in the feed");
}
