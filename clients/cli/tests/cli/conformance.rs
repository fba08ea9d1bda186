//! `conformance`: the exit code, the three forms of the report, and what is not tried at all. What the checks find is the
//! library's to test.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{Ran, command};

/// Nobody is asked: the command needs no server.
const NOWHERE: &str = "unix:///no/such/socket";

/// A connector that ends before it is ready.
fn broken_connector() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let manifest = r#"{"id": "broken", "auth": {"type": "none"}, "sync": {"mode": "full"}}"#;
    std::fs::write(folder.path().join("manifest.json"), manifest).unwrap();
    let program = folder.path().join("connector");
    std::fs::write(&program, "#!/bin/sh\necho 'ERROR no <library> here' >&2\nexit 3\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

async fn conformance(folder: &Path, options: &str) -> Ran {
    Ran::of(command(NOWHERE, &format!("conformance {} {options}", folder.display()))).await
}

#[tokio::test]
async fn a_connector_that_does_not_start_reaches_no_level_and_the_report_says_why() {
    let folder = broken_connector();
    let ran = conformance(folder.path(), "--level serves").await;
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.starts_with("1 start            FAILED"), "{}", ran.out);
    assert!(ran.out.contains("(exit status: 3); it last wrote: ERROR no <library> here"), "{}", ran.out);
    assert!(ran.out.contains("contract:") && ran.out.contains("mend:"), "{}", ran.out);
    assert!(ran.err.starts_with("broken reaches no level: 0 passed, 1 failed, 7 not tried"), "{}", ran.err);
}

#[tokio::test]
async fn programs_get_one_object_and_build_servers_junit() {
    let folder = broken_connector();
    let junit = folder.path().join("report.xml");
    let ran =
        conformance(folder.path(), &format!("--level 1 --output json --junit {}", junit.display())).await;
    assert_eq!(ran.code, 1, "{}", ran.err);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&report["level"], &report["wanted"]), (&serde_json::Value::Null, &"serves".into()));
    let start = &report["checks"][0];
    assert_eq!((&start["name"], &start["outcome"]), (&"start".into(), &"failed".into()));
    assert!(start["findings"][0]["fix"].is_string());
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains("tests=\"8\" failures=\"1\" errors=\"0\" skipped=\"7\""), "{junit}");
    assert!(junit.contains("no &lt;library&gt; here"), "{junit}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_usage() {
    let folder = broken_connector();
    for (options, told) in [
        ("--only nothing", "there is no check"),
        ("--level 4", "the levels are"),
        ("--set root=x", "the test settings are not valid"),
        ("--plan /no/such/plan.json --credential-env NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE"),
    ] {
        let ran = conformance(folder.path(), options).await;
        assert_eq!(ran.code, 2, "{options}: {}", ran.err);
        assert!(ran.err.contains(told), "{options}: {}", ran.err);
    }
    let ran = Ran::of(command(NOWHERE, "conformance /no/such/folder")).await;
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("name a connector's folder"), "{}", ran.err);
}
