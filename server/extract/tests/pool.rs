//! The pool with real worker processes: reuse, limits, and going on after whatever a document did to its worker.

mod support;
#[path = "support/workers.rs"]
mod workers;

use std::io::Write;
use std::time::Duration;

use superfasttt_extract::Hints;
use support::{file_of, fixture, named};
use workers::Program;

/// A page that takes a debug build seconds to read, and then gives little text.
fn slow_page() -> tempfile::NamedTempFile {
    let page = [b"<i class='a'>\n</i>".repeat(600_000), b"<p>fin".to_vec()].concat();
    file_of(&page)
}

#[tokio::test]
async fn documents_of_each_kind_are_read_by_one_reused_worker() {
    let program = Program::worker();
    let pool = program.pool(|_| {});
    assert!(program.pids().is_empty(), "no worker is started before it is needed");
    let found = pool.extract(&fixture("french.docx"), named("french.docx")).await.unwrap();
    assert!(found.text.contains("Le cœur de l’été : « où êtes-vous, Zoé ? » coûte 12 € à Nîmes"));
    let first = program.pids();
    for name in ["french-latin.pdf", "french.xlsx", "french.odt"] {
        assert!(!pool.extract(&fixture(name), named(name)).await.unwrap().text.is_empty());
    }
    let verdict = pool.extract(&fixture("password.pdf"), named("password.pdf")).await.unwrap_err();
    assert_eq!(verdict.code(), "encrypted");
    assert_eq!((first.len(), program.pids()), (1, first));
}

#[tokio::test]
async fn a_worker_is_replaced_after_its_share_of_documents() {
    let program = Program::worker();
    let pool = program.pool(|config| config.max_requests_per_worker = 2);
    let file = file_of(b"bonjour");
    let mut seen = Vec::new();
    for _ in 0..3 {
        pool.extract(file.path(), Hints::default()).await.unwrap();
        seen.extend(program.pids());
    }
    seen.dedup();
    assert!(seen.len() >= 2, "{seen:?}");
}

#[tokio::test]
async fn documents_wait_for_a_worker_rather_than_start_more() {
    let program = Program::worker();
    let pool = program.pool(|config| config.workers = 2);
    let file = file_of(b"bonjour");
    let all = (0..12).map(|_| {
        let (pool, path) = (pool.clone(), file.path().to_owned());
        tokio::spawn(async move { pool.extract(&path, Hints::default()).await })
    });
    for document in all.collect::<Vec<_>>() {
        assert_eq!(document.await.unwrap().unwrap().text, "bonjour");
    }
    assert!(program.pids().len() <= 2);
}

#[tokio::test]
async fn a_document_over_its_time_is_given_up_and_the_pool_goes_on() {
    let program = Program::worker();
    let pool = program.pool(|config| config.timeout = Duration::from_millis(400));
    let slow = slow_page();
    let verdict = pool.extract(slow.path(), named("slow.html")).await.unwrap_err();
    assert_eq!((verdict.code(), verdict.is_permanent()), ("timed_out", true));
    assert!(program.pids().is_empty(), "its worker is killed");
    assert_eq!(pool.extract(file_of(b"suite").path(), Hints::default()).await.unwrap().text, "suite");
}

#[tokio::test]
async fn a_document_over_its_memory_is_given_up_and_the_pool_goes_on() {
    let program = Program::worker();
    let pool = program.pool(|config| config.memory_bytes = 24 << 20);
    let large = file_of(&b"mots et mots\n".repeat(4 << 20));
    let verdict = pool.extract(large.path(), named("large.txt")).await.unwrap_err();
    assert_eq!((verdict.code(), verdict.is_permanent()), ("out_of_memory", true));
    assert_eq!(pool.extract(file_of(b"suite").path(), Hints::default()).await.unwrap().text, "suite");
    // The same on a worker that has served others before it.
    let verdict = pool.extract(large.path(), named("large.txt")).await.unwrap_err();
    assert_eq!(verdict.code(), "out_of_memory");
}

#[tokio::test]
async fn a_worker_killed_from_outside_costs_the_document_nothing() {
    let program = Program::worker();
    let pool = program.pool(|_| {});
    // A worker that is up already, so that it is the document's and not its start that is cut off.
    pool.extract(file_of(b"bonjour").path(), Hints::default()).await.unwrap();
    let pid = program.pids()[0];
    let slow = slow_page();
    let document = tokio::spawn({
        let (pool, path) = (pool.clone(), slow.path().to_owned());
        async move { pool.extract(&path, named("slow.html")).await }
    });
    tokio::task::yield_now().await;
    program.kill(pid);
    assert_eq!(document.await.unwrap().unwrap().text, "fin");
}

#[tokio::test]
async fn giving_up_on_an_answer_kills_the_worker() {
    let program = Program::worker();
    let pool = program.pool(|_| {});
    let slow = slow_page();
    let given_up =
        tokio::time::timeout(Duration::from_millis(300), pool.extract(slow.path(), named("a.html")));
    assert!(given_up.await.is_err());
    program.wait_for_workers(0).await;
    assert_eq!(pool.extract(file_of(b"suite").path(), Hints::default()).await.unwrap().text, "suite");
}

#[tokio::test]
async fn idle_workers_are_stopped_and_started_again() {
    let program = Program::worker();
    let pool = program.pool(|config| config.idle_timeout = Duration::from_millis(50));
    let file = file_of(b"bonjour");
    pool.extract(file.path(), Hints::default()).await.unwrap();
    program.wait_for_workers(0).await;
    assert_eq!(pool.extract(file.path(), Hints::default()).await.unwrap().text, "bonjour");
}

#[tokio::test]
async fn after_shutdown_there_are_no_workers_and_no_verdicts() {
    let program = Program::worker();
    let pool = program.pool(|_| {});
    let file = file_of(b"bonjour");
    pool.extract(file.path(), Hints::default()).await.unwrap();
    pool.shutdown().await;
    assert!(program.pids().is_empty());
    assert!(!pool.extract(file.path(), Hints::default()).await.unwrap_err().is_permanent());
}

#[tokio::test]
async fn a_worker_has_put_its_limits_on() {
    let program = Program::worker();
    let pool = program.pool(|_| {});
    pool.extract(file_of(b"bonjour").path(), Hints::default()).await.unwrap();
    let pid = program.pids()[0];
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!((limit("Max file size"), limit("Max core file size")), ("0".to_owned(), "0".to_owned()));
    assert_eq!(limit("Max open files"), "32");
    assert_eq!(limit("Max data size"), ((512_u64 + 32) << 20).to_string());
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"));
}

#[test]
fn a_worker_ends_with_its_server_also_in_the_middle_of_a_document() {
    use std::process::{Command, Stdio};
    let mut worker = Command::new(env!("CARGO_BIN_EXE_extract-worker"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let slow = slow_page();
    let path = slow.path().to_str().unwrap();
    let limits = serde_json::to_value(superfasttt_extract::Limits::default()).unwrap();
    let setup = serde_json::json!({"memory_bytes": 512_u64 << 20, "cpu_seconds": 600});
    let request = serde_json::json!({
        "path_bytes": path.len(), "limits": limits, "hints": {"media_type": "text/html", "file_name": null},
    });
    let mut input = worker.stdin.take().unwrap();
    for (header, body) in [(setup, ""), (request, path)] {
        let header = header.to_string();
        input.write_all(&u32::try_from(header.len()).unwrap().to_be_bytes()).unwrap();
        input.write_all(header.as_bytes()).unwrap();
        input.write_all(body.as_bytes()).unwrap();
    }
    drop(input);
    let output = worker.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(
        !String::from_utf8_lossy(&output.stdout).contains("fin"),
        "it did not read the document to its end"
    );
}

#[tokio::test]
async fn a_worker_that_reads_only_its_folder_extracts_from_it_and_from_nowhere_else() {
    if superfasttt_confine::Domain::new().unwrap().is_none() {
        return skipped_without_landlock();
    }
    let program = Program::worker();
    let folder = tempfile::tempdir().unwrap();
    let pool = program.pool(|config| config.folder = Some(folder.path().to_owned()));
    for name in ["french.docx", "french-latin.pdf", "french.xlsx", "french.odt"] {
        let inside = folder.path().join(name);
        std::fs::copy(fixture(name), &inside).unwrap();
        assert!(!pool.extract(&inside, named(name)).await.unwrap().text.is_empty(), "{name}");
        let outside = pool.extract(&fixture(name), named(name)).await.unwrap_err();
        assert!(outside.to_string().to_lowercase().contains("permission denied"), "{name}: {outside}");
    }
    // Not by a link that a document's name leads through, either.
    let link = folder.path().join("link.docx");
    std::os::unix::fs::symlink(std::path::absolute(fixture("french.docx")).unwrap(), &link).unwrap();
    assert!(pool.extract(&link, named("link.docx")).await.is_err());
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests has to see what was left out")]
fn skipped_without_landlock() {
    eprintln!("SKIPPED: this kernel has no Landlock, so nothing is proved of the workers' file system");
}
