//! What a manifest must keep beyond its schema: rules between fields, and schemas that must be schemas.

use std::collections::BTreeSet;

use super::manifest::{Parts, Runtime};
use super::problem::Problem;
use super::schema;

pub(super) fn check(parts: &Parts) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(runtime) = &parts.runtime {
        check_runtime(runtime, &mut problems);
    }
    let names = parts.auth.fields.iter().map(|field| field.name.as_str());
    check_unique("auth.fields", names, &mut problems);
    check_unique("actions", parts.actions.iter().map(|action| action.name.as_str()), &mut problems);
    check_unique("events", parts.events.iter().map(|event| event.name.as_str()), &mut problems);
    for (index, action) in parts.actions.iter().enumerate() {
        for (key, value) in [("input", &action.input), ("output", &action.output)] {
            if let Err(problem) = schema::compile(value) {
                problems.push(problem.under(&format!("actions[{index}].{key}")));
            }
        }
    }
    problems
}

fn check_runtime(runtime: &Runtime, problems: &mut Vec<Problem>) {
    match (&runtime.endpoint, runtime.command.is_empty()) {
        (Some(_), false) => problems.push(Problem::new(
            "runtime",
            "it has both a command and an endpoint",
            "keep \"command\" to start the connector here, or \"endpoint\" to reach it elsewhere",
        )),
        (None, true) => problems.push(Problem::new(
            "runtime",
            "it has neither a command nor an endpoint",
            "write for example \"command\": [\"./connector\"], or leave \"runtime\" out",
        )),
        (Some(endpoint), true) if endpoint.starts_with("https://") && runtime.tls.is_none() => {
            problems.push(Problem::new(
                "runtime.tls",
                "an https endpoint needs it",
                "write for example \"tls\": {\"ca_file\": \"ca.pem\"}",
            ));
        }
        _ => {}
    }
}

fn check_unique<'a>(path: &str, names: impl Iterator<Item = &'a str>, problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            problems.push(Problem::new(
                format!("{path}[{index}].name"),
                format!("{name:?} is there twice"),
                "give each its own name",
            ));
        }
    }
}
