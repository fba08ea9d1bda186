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
    for (index, field) in parts.auth.fields.iter().enumerate() {
        let Some(pattern) = &field.pattern else { continue };
        if schema::compile(&serde_json::json!({"type": "string", "pattern": pattern})).is_err() {
            problems.push(Problem::new(
                format!("auth.fields[{index}].pattern"),
                "it is not a regular expression",
                "mend it as JSON Schema has patterns",
            ));
        }
    }
    check_oauth(parts, &mut problems);
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

fn check_oauth(parts: &Parts, problems: &mut Vec<Problem>) {
    let oauth = &parts.auth.oauth;
    for problem in oauth.problems() {
        problems.push(Problem::new(format!("auth.{}", problem.field), problem.message, problem.fix));
    }
    for name in oauth.settings() {
        let setting = &parts.settings["properties"][&name];
        if setting.is_null() {
            problems.push(Problem::new(
                "auth",
                format!("its addresses hold {{{name}}}, and there is no such setting"),
                "add it to `settings.properties`, or correct the name",
            ));
        } else if setting["x-secret"] == true {
            // An address is shown to people and stands in the logs of whoever is on the way.
            problems.push(Problem::new(
                "auth",
                format!("its addresses hold {{{name}}}, which is a secret setting"),
                "use another setting, or `auth.fields` for the secret",
            ));
        }
    }
}

fn check_runtime(runtime: &Runtime, problems: &mut Vec<Problem>) {
    if runtime.token_file.is_some() && runtime.endpoint.is_none() {
        problems.push(Problem::new(
            "runtime.token_file",
            "there is no endpoint: a connector that is started here gets its token from the server",
            "leave it out",
        ));
    }
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
