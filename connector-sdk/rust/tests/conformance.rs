//! The connectors that the documentation teaches reach the highest level of the conformance kit.
#![expect(clippy::unwrap_used, reason = "a panic in a helper of the tests is the failure report")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use superfasttt_conformance::{Level, Options, Target, run};

/// On one thread: the kernel ends what a thread started when that ends.
#[tokio::test]
async fn notes_passes_conformance_at_the_highest_level() {
    assert_survives("notes").await;
}

#[cfg(feature = "http")]
#[tokio::test]
async fn tracker_passes_conformance_at_the_highest_level() {
    assert_survives("tracker").await;
}

async fn assert_survives(example: &str) {
    // Cargo builds examples before it runs integration tests, beside the folder of this test's binary.
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples").join(example);
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for file in ["manifest.json", "conformance.json"] {
        let text = fs::read_to_string(sdk.join("examples").join(example).join(file)).unwrap();
        // The plan names the sample by its place beside the example.
        let samples = sdk.join("../../samples");
        let text = text.replace("../../../../samples", samples.to_str().unwrap());
        fs::write(folder.path().join(file), text).unwrap();
    }
    symlink(program, folder.path().join("connector")).unwrap();
    let target = Target::Folder(folder.path().to_owned());
    let report = run(target, &Options::default(), |_| {}).await.unwrap();
    let bad = report.checks.iter().filter(|check| !check.outcome.holds());
    let told: Vec<String> = bad.map(|check| check.to_text()).collect();
    assert_eq!(report.level, Some(Level::Survives), "{}", told.join("\n"));
}
