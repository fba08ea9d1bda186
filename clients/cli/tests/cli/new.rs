//! `new`: the folder, what is refused, what is said to do next, and that what was made is a connector.

use std::path::Path;

use superfasttt_conformance::{Level, Options, Target, run};
use tempfile::TempDir;

use crate::support::{Ran, command, template_program};

/// Nobody is asked: the command needs no server.
const NOWHERE: &str = "unix:///no/such/socket";

async fn new(parent: &Path, line: &str) -> Ran {
    let mut command = command(NOWHERE, &format!("new {line}"));
    command.current_dir(parent);
    Ran::of(command).await
}

/// A checkout with the folder of an SDK.
fn checkout(language: &str) -> TempDir {
    let checkout = tempfile::tempdir().unwrap();
    let sdk = checkout.path().join("connector-sdk").join(language);
    std::fs::create_dir_all(&sdk).unwrap();
    std::fs::write(sdk.join("README.md"), "").unwrap();
    checkout
}

#[tokio::test]
async fn each_language_has_what_its_toolchain_needs_and_names_the_sdk_by_a_way_that_leads_there() {
    for (language, file) in [
        ("rust", "Cargo.toml"),
        ("python", "pyproject.toml"),
        ("typescript", "package.json"),
        ("go", "go.mod"),
    ] {
        let checkout = checkout(language);
        let ran = new(checkout.path(), &format!("acme-wiki --lang {language}")).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        let folder = checkout.path().join("acme-wiki");
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(text.contains(&format!("../connector-sdk/{language}")), "{text}");
        assert!(ran.err.contains(file), "{}", ran.err);
        let next: Vec<&str> = ran.out.lines().map(str::trim).collect();
        assert_eq!(next.len(), 3, "{}", ran.out);
        assert!(next[0].starts_with("cd acme-wiki && "), "{}", ran.out);
        assert!(next[1].starts_with("connectorctl dev . --set ") && next[2] == "connectorctl conformance .");
    }
}

#[tokio::test]
async fn programs_are_told_the_files_and_the_next_commands() {
    let checkout = checkout("go");
    let ran = new(checkout.path(), "wiki --lang go --output json").await;
    let made = &ran.json()[0];
    let folder = made["folder"].as_str().unwrap();
    let files = made["files"].as_array().unwrap();
    assert!(files.iter().all(|file| Path::new(folder).join(file.as_str().unwrap()).is_file()), "{made}");
    assert_eq!(made["next"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let checkout = checkout("python");
    let folder = checkout.path().join("wiki");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("connector.py"), "mine").unwrap();
    let ran = new(checkout.path(), "wiki --lang python").await;
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("wiki is there already"), "{}", ran.err);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    assert_eq!(std::fs::read_to_string(folder.join("connector.py")).unwrap(), "mine");
}

#[tokio::test]
async fn what_cannot_be_meant_makes_nothing() {
    let checkout = checkout("rust");
    for (line, code, told) in [
        ("My_Wiki --lang rust", 2, "lower-case letters, digits and hyphens"),
        ("../wiki --lang rust", 2, "cannot be the id"),
        ("wiki --lang cobol", 2, "possible values: rust, python, typescript, go"),
        ("wiki --lang rust --dir nowhere", 2, "name a folder with --dir"),
        ("wiki --lang go --sdk .", 1, "has no connector-sdk/go"),
    ] {
        let ran = new(checkout.path(), line).await;
        assert_eq!(ran.code, code, "{line}: {}", ran.err);
        assert!(ran.err.contains(told), "{line}: {}", ran.err);
    }
    assert_eq!(std::fs::read_dir(checkout.path()).unwrap().count(), 1, "only connector-sdk");
}

/// In Rust, because that toolchain is there; of the other languages see `make test-templates`.
#[tokio::test]
async fn what_was_made_passes_conformance_at_the_highest_level() {
    let checkout = checkout("rust");
    // The id that the program was built with.
    let ran = new(checkout.path(), "my-service --lang rust").await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let folder = checkout.path().join("my-service");
    template_program(&folder);
    let report = run(Target::Folder(folder), &Options::default(), |_| {}).await.unwrap();
    let bad = report.checks.iter().filter(|check| !check.outcome.holds());
    let told: Vec<String> = bad.map(|check| check.to_text()).collect();
    assert_eq!(report.level, Some(Level::Survives), "{}", told.join("\n"));
}
