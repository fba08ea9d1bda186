//! The page for authors has every check, and none that there is not.

use superfasttt_conformance::checks;

#[test]
fn every_check_stands_in_the_documentation() {
    let page = include_str!("../../../docs/conformance.md");
    let (_, table) = page.split_once("## The checks").unwrap_or_default();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: Vec<&str> = rows.collect();
    let known: Vec<&str> = checks::ALL.iter().map(|check| check.name).collect();
    assert_eq!(documented, known);
}
