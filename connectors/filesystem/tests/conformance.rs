//! The connector reaches the highest level of the conformance kit.

use std::os::unix::fs::symlink;
use std::path::Path;

use superfasttt_conformance::{Level, Options, Target, run};

/// On one thread: the kernel ends what a thread started when that ends.
#[tokio::test]
async fn it_passes_conformance_at_the_highest_level() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for file in ["manifest.json", "conformance.json"] {
        std::fs::copy(source.join(file), folder.path().join(file)).unwrap();
    }
    symlink(env!("CARGO_BIN_EXE_connector-filesystem"), folder.path().join("connector")).unwrap();
    let target = Target::Folder(folder.path().to_owned());
    let report = run(target, &Options::default(), |_| {}).await.unwrap();
    let bad = report.checks.iter().filter(|check| !check.outcome.holds());
    let told: Vec<String> = bad.map(|check| check.to_text()).collect();
    assert_eq!(report.level, Some(Level::Survives), "{}", told.join("\n"));
}
