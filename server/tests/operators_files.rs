//! What operators load and read beside the program, held against the metrics that really exist: the documentation names
//! every metric and no other, and no expression of the alert rules or the dashboard names a metric or a label that is
//! never there. And each test that the threat model names is there.

#![expect(clippy::unwrap_used, reason = "a panic in a helper of the tests is the failure report")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use connectord::telemetry::metrics::{Kind, Metric, TABLE};
use serde_json::Value;

/// Labels that have few values.
const FEW: [&str; 10] =
    ["connector", "consumer", "outcome", "reason", "trigger", "mode", "step", "state", "cause", "operation"];

/// What Prometheus itself puts on each series.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The metric that a series name belongs to: a histogram's series have endings.
fn metric_of(series: &str) -> Option<&'static Metric> {
    TABLE.iter().find(|metric| match metric.kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|end| series.strip_suffix(end).is_some_and(|base| base == metric.name)),
        Kind::Counter | Kind::Gauge => metric.name == series,
    })
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Sign(char),
}

/// The names and signs of an expression; texts, numbers, durations and variables are left out.
fn tokens(expression: &str) -> Vec<Token> {
    let letters: Vec<char> = expression.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    while at < letters.len() {
        let letter = letters[at];
        at += 1;
        match letter {
            '"' => {
                while letters[at] != '"' {
                    at += 1 + usize::from(letters[at] == '\\');
                }
                at += 1;
            }
            '[' => {
                while letters[at] != ']' {
                    at += 1;
                }
                at += 1;
            }
            _ if letter.is_ascii_digit() || letter == '$' => {
                while at < letters.len() && (is_name(letters[at]) || letters[at] == '.') {
                    at += 1;
                }
            }
            _ if is_name(letter) => {
                let start = at - 1;
                while at < letters.len() && is_name(letters[at]) {
                    at += 1;
                }
                tokens.push(Token::Name(letters[start..at].iter().collect()));
            }
            _ if letter.is_whitespace() => {}
            sign => tokens.push(Token::Sign(sign)),
        }
    }
    tokens
}

/// What an expression names: series, each with the labels that it is selected by, and the labels that it is grouped by.
#[derive(Debug, Default)]
struct Named {
    series: Vec<(String, Vec<String>)>,
    grouped: Vec<String>,
}

fn named(expression: &str) -> Named {
    const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];
    let tokens = tokens(expression);
    let mut named = Named::default();
    let mut rest = tokens.iter().peekable();
    while let Some(token) = rest.next() {
        let Token::Name(name) = token else { continue };
        let opens = |sign: char, next: Option<&&Token>| next.is_some_and(|next| **next == Token::Sign(sign));
        if GROUPING.contains(&name.as_str()) {
            assert!(opens('(', rest.peek()), "{name} without labels: {expression}");
            for token in rest.by_ref().take_while(|token| **token != Token::Sign(')')) {
                named.grouped.extend(if let Token::Name(label) = token { Some(label.clone()) } else { None });
            }
        } else if opens('(', rest.peek())
            || OPERATORS.contains(&name.as_str())
            || matches!(rest.peek(), Some(Token::Name(next)) if GROUPING.contains(&next.as_str()))
        {
            // A function, an aggregation, or between two expressions.
        } else {
            let mut labels = Vec::new();
            if opens('{', rest.peek()) {
                for token in rest.by_ref().take_while(|token| **token != Token::Sign('}')) {
                    labels.extend(if let Token::Name(label) = token { Some(label.clone()) } else { None });
                }
            }
            named.series.push((name.clone(), labels));
        }
    }
    named
}

/// Checks an expression, and gives the labels that its result may have.
fn check(place: &str, expression: &str) -> BTreeSet<String> {
    let named = named(expression);
    assert!(
        !named.series.is_empty() || expression.contains("vector("),
        "{place}: it names no metric: {expression}"
    );
    let mut there: BTreeSet<String> = TARGET_LABELS.into_iter().map(str::to_owned).collect();
    for (series, labels) in named.series {
        let known: &[&str] = if series == "up" {
            &[]
        } else {
            metric_of(&series)
                .unwrap_or_else(|| panic!("{place}: there is no metric {series}: {expression}"))
                .labels
        };
        let is_known = |label: &str| known.contains(&label) || TARGET_LABELS.contains(&label);
        for label in &labels {
            assert!(is_known(label), "{place}: {series} has no label {label}: {expression}");
        }
        there.extend(known.iter().map(|label| (*label).to_owned()));
        if series.ends_with("_bucket") {
            there.insert("le".to_owned());
        }
    }
    for label in &named.grouped {
        assert!(there.contains(label), "{place}: nothing has the label {label}: {expression}");
    }
    if named.grouped.is_empty() { there } else { named.grouped.into_iter().collect() }
}

/// The labels that a text puts in: `{{label}}` or `{{ $labels.label }}`.
fn put_in(text: &str) -> Vec<String> {
    let parts = text.split("{{").skip(1).map(|part| part.split("}}").next().unwrap().trim());
    parts.map(|part| part.trim_start_matches("$labels.").to_owned()).collect()
}

#[test]
fn the_documentation_names_every_metric_and_no_other() {
    let documentation = read("docs/metrics.md");
    let row = |metric: &Metric| {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        format!("| `{}` | {} | {labels} | {} |", metric.name, metric.kind, metric.help)
    };
    let missing: Vec<String> =
        TABLE.iter().map(row).filter(|row| !documentation.lines().any(|line| line == row)).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks:\n{}", missing.join("\n"));
    let pages = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")).unwrap();
    for page in pages.map(|page| page.unwrap().path()).filter(|page| page.is_file()) {
        let text = fs::read_to_string(&page).unwrap();
        for word in text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
            let is_metric = word.starts_with("connectord_");
            let exists = metric_of(word).is_some() || TABLE.iter().any(|metric| metric.name == word);
            assert!(!is_metric || exists, "{} names {word}, which does not exist", page.display());
        }
    }
}

#[test]
fn names_and_labels_of_metrics_are_as_they_should_be() {
    let mut names = BTreeSet::new();
    for metric in TABLE {
        assert!(names.insert(metric.name), "{} is there twice", metric.name);
        assert!(metric.name.starts_with("connectord_"), "{}", metric.name);
        assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
        assert!(metric.kind != Kind::Histogram || metric.name.ends_with("_seconds"), "{}", metric.name);
        assert!(metric.help.ends_with(['.', ')']) && !metric.help.contains(['|', '\n']), "{}", metric.name);
        // A version and the kind of store are one series each.
        let has_few = |label: &&str| FEW.contains(label) || metric.name == "connectord_build_info";
        assert!(metric.labels.iter().all(has_few), "{}: a label may have many values", metric.name);
    }
}

#[test]
fn the_alert_rules_name_what_exists_and_say_what_to_do() {
    let rules: Value = serde_yaml_ng::from_str(&read("deploy/prometheus/alerts.yml")).unwrap();
    let mut alerts = BTreeSet::new();
    for group in rules["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let alert = rule["alert"].as_str().unwrap();
            assert!(alerts.insert(alert.to_owned()), "{alert} is there twice");
            let labels = check(alert, rule["expr"].as_str().unwrap());
            assert!(["critical", "warning", "info"].contains(&rule["labels"]["severity"].as_str().unwrap()));
            for annotation in ["summary", "runbook"] {
                let text = rule["annotations"][annotation]
                    .as_str()
                    .unwrap_or_else(|| panic!("{alert}: no {annotation}"));
                for label in put_in(text) {
                    assert!(labels.contains(&label), "{alert}: its result has no label {label}");
                }
            }
            // A runbook names metrics too.
            let runbook = rule["annotations"]["runbook"].as_str().unwrap();
            for quoted in
                runbook.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains("connectord_"))
            {
                if !TABLE.iter().any(|metric| metric.name == quoted) {
                    check(alert, quoted);
                }
            }
        }
    }
    assert!(alerts.len() > 10, "{alerts:?}");
}

#[test]
fn the_dashboard_names_what_exists() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/connectord.json")).unwrap();
    let mut shown = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have one id: {panel}");
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let labels = check(title, expression);
            for label in put_in(target["legendFormat"].as_str().unwrap()) {
                assert!(labels.contains(&label), "{title}: its result has no label {label}");
            }
            shown.extend(
                named(expression)
                    .series
                    .into_iter()
                    .filter_map(|(series, _)| metric_of(&series))
                    .map(|metric| metric.name),
            );
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["query"]["query"].as_str() else { continue };
        let (metric, label) =
            query.strip_prefix("label_values(").unwrap().trim_end_matches(')').split_once(", ").unwrap();
        assert!(metric_of(metric).unwrap().labels.contains(&label), "{query}");
    }
    let missing: Vec<_> =
        TABLE.iter().map(|metric| metric.name).filter(|name| !shown.contains(name)).collect();
    assert_eq!(missing, ["connectord_process_uptime_seconds"; 0], "the dashboard shows everything");
}

#[test]
fn an_expression_that_names_what_is_not_there_is_found() {
    let finds = |expression: &str| std::panic::catch_unwind(|| check("test", expression)).is_err();
    assert!(!finds(
        "sum by (connector) (rate(connectord_runs_ended_total{outcome=\"a{b\"}[5m])) > 0.5 and on (job) up == 0"
    ));
    assert!(finds("connectord_runs_end_total"), "another name");
    assert!(finds("connectord_runs_queued{connector=\"x\"}"), "a label that it has not");
    assert!(finds("sum by (reason) (connectord_runs_queued)"), "grouped by what is not there");
    assert!(finds("connectord_run_duration_seconds"), "a histogram has no series of its own name");
    assert!(finds("1 + 1"), "nothing at all");
}

/// The sources of all tests.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.file_stem().unwrap().to_string_lossy().into_owned());
            found.push(fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn each_test_that_the_threat_model_names_is_there() {
    let mut all = Vec::new();
    for folder in ["server", "clients", "connectors", "connector-sdk", "proto"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder), &mut all);
    }
    let text = read("docs/threat-model.md");
    // What stands between single backticks and has the words of a test's name.
    let names: BTreeSet<&str> = text.split('`').skip(1).step_by(2).collect();
    let is_name = |name: &&str| {
        name.matches('_').count() >= 3
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let named: Vec<&str> = names.iter().copied().filter(is_name).collect();
    assert!(named.len() > 40, "{named:?}");
    let is_there = |name: &str| {
        let function = format!("fn {name}(");
        all.iter().any(|source| source == name || source.contains(&function))
    };
    let missing: Vec<&str> = named.into_iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "the threat model names tests that are not there: {missing:?}");
}
