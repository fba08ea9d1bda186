//! The pool with shell scripts in place of the worker: however a worker ends, the document gets a typed verdict.
#![cfg(unix)]

mod support;
#[path = "support/workers.rs"]
mod workers;

use std::time::Duration;

use superfasttt_extract::{ExtractError, Hints, Pool, PoolConfig};
use support::file_of;
use workers::Program;

/// Says that the limits are in place, as a worker does first, and waits for a request: with the frame before it that
/// is more than these bytes.
const READY: &str = "printf '\\000\\000\\000\\021{\"reply\":\"ready\"}'; head -c 120 > /dev/null;";

async fn verdict(script: &str) -> ExtractError {
    let (_program, config) = Program::script(&format!("{READY} {script}"));
    Pool::new(config).extract(file_of(b"x\n").path(), Hints::default()).await.expect_err("it gives no text")
}

#[tokio::test]
async fn a_crash_is_told_by_its_signal_or_exit_code() {
    for (script, how) in [("kill -SEGV $$", "by signal SIGSEGV"), ("exit 3", "with exit code 3")] {
        assert_eq!(verdict(script).await, ExtractError::Crashed { how: how.into() });
    }
}

#[tokio::test]
async fn an_abort_for_want_of_memory_is_told_apart() {
    let script = "echo 'memory allocation of 99 bytes failed' >&2; kill -ABRT $$";
    assert_eq!(verdict(script).await, ExtractError::OutOfMemory);
}

#[tokio::test]
async fn answers_that_no_worker_gives_are_a_crash() {
    let too_long =
        r#"{"reply":"text","text_bytes":9999999999,"truncated":false,"media_type":"a","extractor":"text"}"#;
    let framed = |header: &str| format!("\\000\\000\\000\\{:03o}{header}", header.len());
    for answer in
        [r"\377\377\377\377".to_owned(), framed("{}"), framed(r#"{"reply":"ready"}"#), framed(too_long)]
    {
        assert_eq!(
            verdict(&format!("printf '{answer}'; cat > /dev/null")).await.code(),
            "crashed",
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_silent_worker_is_killed_when_its_time_is_over() {
    let (program, mut config) = Program::script(&format!("{READY} cat > /dev/null; :"));
    config.timeout = Duration::from_millis(200);
    let verdict = Pool::new(config).extract(file_of(b"x\n").path(), Hints::default()).await.unwrap_err();
    assert_eq!(verdict, ExtractError::TimedOut { limit_ms: 200 });
    assert!(program.pids().is_empty());
}

#[tokio::test]
async fn a_document_whose_workers_are_always_killed_is_tried_twice() {
    let (program, config) = Program::script(&format!("echo started >> \"$0.log\"; {READY} kill -KILL $$"));
    let verdict = Pool::new(config).extract(file_of(b"x\n").path(), Hints::default()).await.unwrap_err();
    assert_eq!(verdict, ExtractError::Crashed { how: "by signal SIGKILL".into() });
    assert_eq!(std::fs::read_to_string(program.beside("program.log")).unwrap(), "started\nstarted\n");
}

#[tokio::test]
async fn a_worker_gets_nothing_of_the_server_s_environment() {
    let (program, config) = Program::script("env > \"$0.env\"");
    let failed = Pool::new(config).extract(file_of(b"x\n").path(), Hints::default()).await.unwrap_err();
    assert!(!failed.is_permanent(), "a worker that does not start says nothing about the document");
    let environment = std::fs::read_to_string(program.beside("program.env")).unwrap();
    // The shell itself adds these few.
    assert!(
        environment
            .lines()
            .all(|line| ["PWD=", "OLDPWD=", "SHLVL=", "_="].iter().any(|own| line.starts_with(own)))
    );
}

#[tokio::test]
async fn a_missing_program_is_no_verdict_on_the_document() {
    let pool = Pool::new(PoolConfig::new("/nowhere/worker".into(), Vec::new()));
    let failed = pool.extract(file_of(b"x").path(), Hints::default()).await.unwrap_err();
    assert_eq!((failed.code(), failed.is_permanent()), ("unavailable", false));
}
