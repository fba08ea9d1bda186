//! What a person sees while setting a connection up.

mod support;

use serde_json::{Value, json};
use superfasttt_connector::testing::{connect, settings_struct};
use superfasttt_proto::connector::v1::{DiscoverRequest, TestConnectionRequest, check::Outcome};

use connector_filesystem::Filesystem;
use support::{Folder, settings};

async fn check(settings: Value) -> Vec<(String, Outcome, String)> {
    let settings = Some(settings_struct(settings));
    let request = TestConnectionRequest { settings, contract_revision: 1, credential: None };
    let response = connect(Filesystem).await.test_connection(request).await;
    let checks = response.expect("a failed check is an answer").into_inner().checks;
    checks.into_iter().map(|check| (check.name.clone(), check.outcome(), check.fix)).collect()
}

#[tokio::test]
async fn checks_name_what_is_wrong_and_how_to_mend_it() {
    let folder = Folder::with(&[("file", "")]);
    let good = check(settings(&folder, json!({}))).await;
    assert!(good.iter().all(|(_, outcome, _)| *outcome == Outcome::Passed));
    let bad = check(json!({"root": folder.path().join("file"), "include": ["a["]})).await;
    let failed: Vec<&str> = bad
        .iter()
        .filter(|(_, outcome, fix)| *outcome == Outcome::Failed && !fix.is_empty())
        .map(|(name, ..)| name.as_str())
        .collect();
    assert_eq!(failed, ["patterns_valid", "root_readable"]);
}

#[tokio::test]
async fn folders_are_discovered_level_by_level_and_page_by_page() {
    let folder = Folder::with(&[("a/x/1", ""), ("b/1", ""), ("c/1", ""), ("file", "")]);
    let mut client = connect(Filesystem).await;
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = DiscoverRequest {
            settings: Some(settings_struct(json!({}))),
            contract_revision: 1,
            parent_id: folder.path().to_str().unwrap().to_owned(),
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let response = client.discover(request).await.unwrap().into_inner();
        assert!(response.resources.len() <= 2);
        for resource in response.resources {
            assert_eq!(resource.id, format!("{}/{}", folder.path().display(), resource.name));
            names.push(resource.name);
        }
        page_token = response.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c"]);
    let beside = DiscoverRequest {
        settings: Some(settings_struct(json!({"root": folder.path().join("a")}))),
        contract_revision: 1,
        query: "B".into(),
        ..Default::default()
    };
    let resources = client.discover(beside).await.unwrap().into_inner().resources;
    assert_eq!(resources.iter().map(|resource| resource.name.as_str()).collect::<Vec<_>>(), ["b"]);
}
