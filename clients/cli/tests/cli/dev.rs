//! `dev`: what people and programs see of a pull, the cursor between runs, what goes wrong, and `--watch` to its end.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

use crate::support::{Ran, command, template_program};

/// Nobody is asked: the command needs no server.
const NOWHERE: &str = "unix:///no/such/socket";

/// The connector of the Rust template, with its source beside it.
struct Connector(TempDir);

impl Connector {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/rust");
        symlink(template.join("manifest.json"), folder.path().join("manifest.json")).unwrap();
        template_program(folder.path());
        let connector = Self(folder);
        connector.source("items.jsonl");
        connector
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    /// Makes the source what a file of the template is.
    fn source(&self, name: &str) {
        let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/shared/testdata");
        std::fs::copy(testdata.join(name), self.path().join("source.jsonl")).unwrap();
    }

    fn command(&self, options: &str) -> Command {
        let options = if options.is_empty() { String::new() } else { format!(" {options}") };
        command(NOWHERE, &format!("dev {} --set file=source.jsonl{options}", self.path().display()))
    }

    async fn dev(&self, options: &str) -> Ran {
        Ran::of(self.command(options)).await
    }
}

fn pulled(ran: &Ran) -> Value {
    ran.json().last().unwrap()["pulled"].clone()
}

#[tokio::test]
async fn people_see_a_line_for_each_change_and_the_counts_at_the_end() {
    let connector = Connector::new();
    let ran = connector.dev("").await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 26, "a header and 25 items: {}", ran.out);
    assert!(lines[0].starts_with("CHANGE    ID"), "{}", lines[0]);
    let first: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(first, ["document", "item-1", "Item", "1", "21", "B", "private", "2026-01-01", "09:00"]);
    let failed = lines.iter().find(|line| line.starts_with("failed")).unwrap();
    assert!(
        failed.contains("item-13") && failed.contains("CONTENT_UNREADABLE: the item has no title (must act:")
    );
    let end = ran.err.lines().last().unwrap();
    assert!(end.starts_with("full: 24 documents, 1 item error, 3 checkpoints in "), "{end}");
    assert!(end.ends_with("; the listing is complete"), "{end}");
}

#[tokio::test]
async fn the_next_run_brings_what_changed_and_a_reset_everything() {
    let connector = Connector::new();
    assert_eq!(connector.dev("").await.code, 0);
    connector.source("items-changed.jsonl");
    let ran = connector.dev("--output json").await;
    let lines = ran.json();
    let ids = |kind: &str| {
        let of_kind = lines.iter().filter_map(|line| line[kind]["id"].as_str());
        of_kind.collect::<Vec<_>>().join(" ")
    };
    assert_eq!((ids("document"), ids("deletion")), ("item-7 item-26".into(), "item-9".into()), "{}", ran.out);
    assert_eq!(lines[0]["scope"], "");
    assert_eq!((&pulled(&ran)["mode"], &pulled(&ran)["documents"]), (&"incremental".into(), &2.into()));
    assert_eq!(pulled(&connector.dev("--output json").await)["documents"], 0);
    let again = pulled(&connector.dev("--output json --reset").await);
    assert_eq!((&again["mode"], &again["documents"]), (&"full".into(), &24.into()));
}

#[tokio::test]
async fn a_listing_that_was_ended_early_goes_on_at_its_last_checkpoint() {
    let connector = Connector::new();
    let state = connector.path().join("elsewhere.json");
    let options = format!("--output json --state {}", state.display());
    let ran = connector.dev(&format!("{options} --limit 12")).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(pulled(&ran)["documents"], 12);
    assert!(ran.err.contains("--limit is reached"), "{}", ran.err);
    let rest = connector.dev(&options).await;
    assert_eq!(rest.json()[0]["document"]["id"], "item-11", "the checkpoint is at item 10");
    assert_eq!(pulled(&rest)["listingComplete"], true);
    let full = pulled(&connector.dev(&format!("{options} --mode full")).await);
    assert_eq!(full["documents"], 24, "asked for by name, it begins from nothing");
    assert!(!connector.path().join(".dev-state.json").exists(), "--state was named");
}

#[tokio::test]
async fn a_cursor_that_is_not_taken_lists_everything_as_connectord_does() {
    let connector = Connector::new();
    assert_eq!(connector.dev("").await.code, 0);
    connector.source("others.jsonl");
    let ran = connector.dev("--output json").await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("the cursor is not taken (the source has nothing as new"), "{}", ran.err);
    assert_eq!((&pulled(&ran)["mode"], &pulled(&ran)["documents"]), (&"full".into(), &5.into()));
}

#[tokio::test]
async fn an_error_says_what_happened_who_must_act_and_how() {
    let connector = Connector::new();
    let ran = connector.dev("--mode targeted --id item-7").await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("reason: UNIMPLEMENTED") && ran.err.contains("`capabilities`"), "{}", ran.err);
    std::fs::remove_file(connector.path().join("source.jsonl")).unwrap();
    let ran = connector.dev("").await;
    assert_eq!(ran.code, 1);
    for told in [
        "error: the file cannot be read",
        "reason: NOT_FOUND",
        "who must act: ",
        "what to do: look at the settings",
    ] {
        assert!(ran.err.contains(told), "{told}: {}", ran.err);
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_usage() {
    let connector = Connector::new();
    for (options, told) in [
        ("--set typo=1", "the settings are not valid"),
        ("--mode targeted", "--id <ID>"),
        ("--credential-env NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE"),
        ("--replay /no/such.har", "make it with --record"),
        ("--record a.har --replay b.har", "cannot be used with"),
    ] {
        let ran = connector.dev(options).await;
        assert_eq!(ran.code, 2, "{options}: {}", ran.err);
        assert!(ran.err.contains(told), "{options}: {}", ran.err);
    }
    let ran = Ran::of(command(NOWHERE, "dev /no/such/folder")).await;
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("name a connector's folder"), "{}", ran.err);
}

/// A connector that says what it was given, and ends.
#[tokio::test]
async fn recordings_are_named_to_the_connector_whose_last_words_are_shown_and_no_secret_is_in_its_environment()
 {
    let folder = tempfile::tempdir().unwrap();
    let manifest = r#"{"id": "broken", "auth": {"type": "api_key"}, "sync": {"mode": "full"}}"#;
    std::fs::write(folder.path().join("manifest.json"), manifest).unwrap();
    let program = folder.path().join("connector");
    std::fs::write(&program, "#!/bin/sh\necho '{}'\nenv >&2\nprintf 'ERROR its \\033[2Jend' >&2\nexit 3\n")
        .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = command(
        NOWHERE,
        &format!("dev {} --credential-env KEY_OF_A_TEST --record a.har", folder.path().display()),
    );
    command.current_dir(folder.path()).env("KEY_OF_A_TEST", "hunter2");
    let ran = Ran::of(command).await;
    assert_eq!(ran.code, 1, "{}", ran.err);
    let recording = folder.path().canonicalize().unwrap().join("a.har");
    assert!(ran.err.contains(&format!("CONNECTOR_HTTP_RECORD={}", recording.display())), "{}", ran.err);
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    assert!(ran.err.contains("writes on stdout"), "{}", ran.err);
    assert!(ran.err.contains("ERROR its \u{fffd}[2Jend\n"), "{}", ran.err);
    assert!(
        ran.err.contains("(exit status: 3)") && ran.err.contains("its author must mend it"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn watch_pulls_again_at_a_change_and_ctrl_c_ends_it_with_the_connector() {
    let connector = Connector::new();
    let mut dev = connector.command("--output json --watch").spawn().unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    let mut said = BufReader::new(dev.stderr.take().unwrap()).lines();
    assert_eq!(next_pulled(&mut lines).await["documents"], 24);
    connector.source("items-changed.jsonl");
    assert_eq!(next_pulled(&mut lines).await["documents"], 2);
    // A manifest that is broken ends nothing.
    let manifest = connector.path().join("manifest.json");
    let good = std::fs::read(&manifest).unwrap();
    std::fs::remove_file(&manifest).unwrap();
    std::fs::write(&manifest, "{").unwrap();
    while !said.next_line().await.unwrap().expect("it goes on").contains("the manifest is not valid") {}
    std::fs::write(&manifest, good).unwrap();
    assert_eq!(next_pulled(&mut lines).await["mode"], "incremental");
    let pid = Pid::from_raw(i32::try_from(dev.id().unwrap()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    assert_eq!(dev.wait().await.unwrap().code(), Some(0));
    assert_eq!(processes_of(&connector.path()), Vec::<String>::new());
}

#[tokio::test]
async fn ctrl_c_in_the_middle_of_a_pull_ends_the_connector_too() {
    let connector = Connector::new();
    // A source that never comes to an end.
    let fifo = connector.path().join("source.jsonl");
    std::fs::remove_file(&fifo).unwrap();
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut dev = connector.command("").spawn().unwrap();
    // Opening waits for the connector to read.
    let writer = tokio::fs::OpenOptions::new().write(true).open(&fifo).await.unwrap();
    assert_eq!(processes_of(&connector.path()).len(), 1);
    kill(Pid::from_raw(i32::try_from(dev.id().unwrap()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(dev.wait().await.unwrap().code(), Some(1));
    drop(writer);
    assert_eq!(processes_of(&connector.path()), Vec::<String>::new());
}

async fn next_pulled(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    loop {
        let line = lines.next_line().await.unwrap().expect("it goes on");
        let mut line: Value = serde_json::from_str(&line).unwrap();
        if line.get("pulled").is_some() {
            return line["pulled"].take();
        }
    }
}

/// The command lines of processes whose program is in a folder, of those that still run.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let lines = std::fs::read_dir("/proc").unwrap().flatten();
    // One that has ended meanwhile, or is not waited for yet, has no command line.
    let lines = lines.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| line.starts_with(&folder))
        .collect()
}
