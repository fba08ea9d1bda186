//! The connector that the documentation teaches reaches the highest level of the conformance kit.

use std::os::unix::fs::symlink;
use std::path::Path;

use superfasttt_conformance::{Level, Options, Target, run};

/// On one thread: the kernel ends what a thread started when that ends.
#[tokio::test]
async fn it_passes_conformance_at_the_highest_level() {
    // Cargo builds examples before it runs integration tests, beside the folder of this test's binary.
    let test = std::env::current_exe().unwrap();
    let notes = test.ancestors().nth(2).unwrap().join("examples/notes");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/notes");
    let folder = tempfile::tempdir().unwrap();
    for file in ["manifest.json", "conformance.json"] {
        std::fs::copy(source.join(file), folder.path().join(file)).unwrap();
    }
    symlink(notes, folder.path().join("connector")).unwrap();
    let target = Target::Folder(folder.path().to_owned());
    let report = run(target, &Options::default(), |_| {}).await.unwrap();
    let bad = report.checks.iter().filter(|check| !check.outcome.holds());
    let told: Vec<String> = bad.map(|check| check.to_text()).collect();
    assert_eq!(report.level, Some(Level::Survives), "{}", told.join("\n"));
}
