use super::*;
use superfasttt_oauth::{ClientAuth, CodeMeaning, Flow, Paths, RevocationMethod, TokenMethod, TokenRequest};

use crate::catalog::AuthKind;

/// The two manifests that the project began with. They are valid as they stand, for ever.
const GOOGLE_DRIVE: &str = r#"{
"id": "google-drive",
"name": "Google Drive",
"description": "Synchronisation fichiers et dossiers",
"auth": {
"type": "oauth2",
"scopes": ["https://www.googleapis.com/auth/drive.readonly"]
},
"sync": {
"mode": "incremental",
"frequency": "15m"
},
"permissions": [
"integrations.read",
"integrations.manage"
]
}
"#;
const MON_SERVICE: &str = r#"{
"id": "mon-service",
"auth": { "type": "api_key" },
"sync": { "mode": "incremental" }
}
"#;

fn problems(text: &str) -> Vec<String> {
    let problems = Manifest::parse(text).expect_err("a broken manifest");
    problems.iter().map(ToString::to_string).collect()
}

/// A manifest with `extra` properties beside the required ones.
fn with(extra: &str) -> String {
    format!(r#"{{"id": "demo", "auth": {{"type": "none"}}, "sync": {{"mode": "full"}}, {extra}}}"#)
}

#[test]
fn the_first_manifest_is_valid_as_it_stands() {
    let manifest = Manifest::parse(GOOGLE_DRIVE).unwrap();
    assert_eq!(manifest.id, "google-drive");
    assert_eq!(manifest.name, "Google Drive");
    assert_eq!(manifest.auth.kind, AuthKind::OAuth2);
    assert_eq!(manifest.auth.oauth.flow, Flow::AuthorizationCode);
    assert!(manifest.auth.oauth.pkce);
    assert_eq!(manifest.auth.oauth.scopes, ["https://www.googleapis.com/auth/drive.readonly"]);
    assert_eq!(manifest.sync.frequency, Frequency::Every(Duration::from_secs(900)));
    assert_eq!(manifest.permissions, ["integrations.read", "integrations.manage"]);
    assert_eq!(manifest.raw, GOOGLE_DRIVE);
}

#[test]
fn the_shortest_manifest_gets_a_default_for_everything_else() {
    let manifest = Manifest::parse(MON_SERVICE).unwrap();
    assert_eq!(manifest.name, "mon-service");
    assert_eq!(manifest.version, "0.0.0");
    assert_eq!(manifest.category, "other");
    assert_eq!(manifest.auth.kind, AuthKind::ApiKey);
    assert_eq!(manifest.sync.frequency.to_string(), "1h");
    assert_eq!(manifest.sync.time_zone, chrono_tz::UTC);
    assert_eq!(manifest.capabilities.names(), ["incremental"]);
    assert_eq!(manifest.runtime, None);
}

#[test]
fn every_field_is_read() {
    let manifest = Manifest::parse(
        r#"{
            "$schema": "../manifest.schema.json", "x-note": "for a tool",
            "id": "acme", "version": "1.2.3", "name": "Acme", "description": "d", "category": "crm",
            "icon": "icon.svg", "documentation_url": "https://acme.example/docs",
            "auth": {
                "type": "oauth2", "scopes": ["read"], "authorization_url": "https://{domain}.acme.example/authorize",
                "token_url": "https://{domain}.acme.example/token", "revocation_url": "https://acme.example/revoke",
                "issuer": "https://{domain}.acme.example",
                "flow": "client_credentials", "pkce": false, "request": "json", "method": "get",
                "client_auth": "basic", "authorize_params": {"access_type": "offline"},
                "token_params": {"audience": "api"}, "scope_separator": ",", "token_path": "authed_user",
                "extras": ["instance_url"], "fields": [{"name": "tenant", "secret": false, "help": "h", "placeholder": "p", "pattern": "^[a-z]+$"}],
                "capability_scopes": {"execute": ["write"]}, "optional_scopes": ["o"],
                "optional_scope_param": "optional_scope", "further_scopes": {"user_scope": ["u"]},
                "scope_param": "scopes", "unlisted_scopes": ["offline_access"],
                "scope_aliases": {"read": ["repo"]}, "refreshed_token_path": "",
                "token_fields": {"error": ["error", "code"], "token_type": [], "expires_at": "until"},
                "error_codes": {"gone": "refused"}, "refresh_idle": "90d", "refresh_lifetime": "365d",
                "revocation": {"method": "delete", "request": "json", "auth": "bearer", "token": "access_token",
                               "token_param": "", "params": {"a": "b"}}
            },
            "sync": {"mode": "full", "frequency": "0 */2 * * *", "full_frequency": "7d", "time_zone": "Europe/Paris"},
            "permissions": ["integrations.read"],
            "settings": {"type": "object", "properties": {"domain": {"type": "string"}}},
            "capabilities": ["full_listing", "fetch_content"],
            "rate_limits": [{"requests": 10, "per": "1s", "reach": "connector"}],
            "actions": [{"name": "send", "input": {"type": "object"}, "idempotent": true}],
            "events": [{"name": "file.changed"}],
            "allowed_hosts": ["*.acme.example"],
            "runtime": {"command": ["./acme", "--serve"]}
        }"#,
    )
    .unwrap();
    let oauth = &manifest.auth.oauth;
    assert_eq!(oauth.token_params["audience"], "api");
    assert_eq!(oauth.issuer.as_deref(), Some("https://{domain}.acme.example"));
    assert_eq!((oauth.flow, oauth.pkce), (Flow::ClientCredentials, false));
    assert_eq!((oauth.request, oauth.method), (TokenRequest::Json, TokenMethod::Get));
    assert_eq!((oauth.client_auth, oauth.token_path.as_str()), (ClientAuth::Basic, "authed_user"));
    assert_eq!((oauth.scope_separator.as_str(), oauth.extras[0].as_str()), (",", "instance_url"));
    assert_eq!(oauth.capability_scopes["execute"], ["write"]);
    assert_eq!(oauth.further_scopes["user_scope"], ["u"]);
    assert_eq!(oauth.token_fields.error, Paths::new(&["error", "code"]));
    assert_eq!(oauth.token_fields.access_token, Paths::new(&["access_token"]), "the others stay");
    assert_eq!(oauth.error_codes["gone"], CodeMeaning::Refused);
    assert_eq!(oauth.refresh_idle, Some(Duration::from_secs(90 * 86400)));
    assert_eq!(
        (oauth.revocation.method, oauth.revocation.token_param.as_str()),
        (RevocationMethod::Delete, "")
    );
    assert_eq!(manifest.auth.fields[0].pattern.as_deref(), Some("^[a-z]+$"));
    assert_eq!(manifest.auth.fields[0].name, "tenant");
    assert!(!manifest.auth.fields[0].secret && manifest.auth.fields[0].required);
    assert_eq!(manifest.sync.time_zone, chrono_tz::Europe::Paris);
    assert_eq!(manifest.capabilities.names(), ["full_listing", "fetch_content"]);
    assert_eq!(manifest.rate_limits[0].reach, RateLimitReach::Connector);
    assert!(manifest.actions[0].idempotent);
    assert_eq!(manifest.runtime.unwrap().command, ["./acme", "--serve"]);
}

#[test]
fn a_problem_names_the_path_what_is_wrong_and_the_mend() {
    let text =
        r#"{"id": "demo", "auth": {"type": "none"}, "sync": {"mode": "full", "frequency": "15 minuten"}}"#;
    assert_eq!(
        problems(text),
        [
            r#"`sync.frequency`: "15 minuten" is not a duration or cron; write for example "15m" or "0 */2 * * *""#
        ]
    );
}

#[test]
fn a_schedule_that_cannot_be_followed_is_a_problem_of_the_manifest() {
    let problem = |frequency: &str| {
        let text = format!(
            r#"{{"id": "demo", "auth": {{"type": "none"}}, "sync": {{"mode": "full", "frequency": {frequency:?}}}}}"#
        );
        Manifest::parse(&text).unwrap_err()[0].to_string()
    };
    assert!(
        problem("0 25 * * *").contains("the hour is \"25\", and can be 0 to 23"),
        "{}",
        problem("0 25 * * *")
    );
    assert!(problem("0 6 30 2 *").contains("never comes"), "{}", problem("0 6 30 2 *"));
    assert!(problem("400d").contains("1 second to 366 days"), "{}", problem("400d"));
}

#[test]
fn all_problems_are_told_at_once() {
    let told = problems(
        r#"{"id": "Google Drive", "auth": {"type": "oauth"}, "sync": {"mode": "full", "time_zone": "Paris"},
            "sycn": {}, "allowed_hosts": ["https://x.example"]}"#,
    )
    .join("\n");
    insta::assert_snapshot!(told, @r#"
    `allowed_hosts[0]`: "https://x.example" does not have the form ^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$; write a host name without scheme or path, for example "www.googleapis.com" or "*.sharepoint.com"
    `auth.type`: "oauth" is not one of "oauth2", "api_key", "bearer_token", "basic", "client_certificate", "none"; did you mean "oauth2"?
    `id`: "Google Drive" does not have the form ^[a-z0-9][a-z0-9-]{0,62}$; write 1 to 63 lower-case letters, digits and hyphens that begin with a letter or digit, for example "google-drive"
    `sycn`: there is no such property; did you mean "sync"?
    `sync.time_zone`: "Paris" is not a time zone; write an IANA name, for example "Europe/Paris"
    "#);
}

#[test]
fn what_is_missing_is_named_with_an_example() {
    let told = problems(r#"{"name": "x"}"#).join("\n");
    insta::assert_snapshot!(told, @r#"
    `auth`: it is missing; add for example "auth": {"type": "none"}
    `id`: it is missing; write 1 to 63 lower-case letters, digits and hyphens that begin with a letter or digit, for example "google-drive"
    `sync`: it is missing; add for example "sync": {"mode": "full"}
    "#);
}

#[test]
fn text_that_is_not_json_says_where() {
    let told = problems("{\"id\": \"demo\",\n oops}");
    assert!(told[0].starts_with("manifest.json: it is not JSON: key must be a string at line 2"), "{told:?}");
    assert!(problems("[]")[0].contains("is not of type object"));
    assert!(problems(&"[".repeat(100_000))[0].contains("recursion limit"));
}

#[test]
fn settings_must_be_a_schema_that_fetches_nothing() {
    let told =
        problems(&with(r#""settings": {"type": "object", "properties": {"root": {"type": "strin"}}}"#));
    assert!(
        told[0].starts_with("`settings.properties.root.type`: it is not a valid JSON Schema"),
        "{told:?}"
    );
    let told = problems(&with(r#""settings": {"$ref": "https://example.org/schema.json"}"#));
    assert!(told[0].starts_with("`settings`: it is not a valid JSON Schema"), "{told:?}");
}

#[test]
fn a_runtime_is_a_command_or_an_endpoint() {
    for (runtime, said) in [
        (r#"{"command": ["./x"], "endpoint": "https://x:1", "tls": {"ca_file": "ca.pem"}}"#, "both"),
        (r#"{"endpoint": "https://x.example:7443"}"#, "`runtime.tls`"),
        (r#"{"endpoint": "http://x.example:7443"}"#, "`runtime.endpoint`"),
        (r#"{"command": []}"#, "`runtime.command`"),
        (r#"{"command": "./x"}"#, "is not of type array"),
        (r#"{"x-only": 1}"#, "neither"),
    ] {
        let told = problems(&with(&format!(r#""runtime": {runtime}"#))).join("\n");
        assert!(told.contains(said), "{runtime}: {told}");
    }
    assert!(Manifest::parse(&with(r#""runtime": {"endpoint": "http://127.0.0.1:50051"}"#)).is_ok());
}

#[test]
fn an_oauth_provider_is_checked_where_it_is_declared() {
    let auth = |auth: &str| {
        let text = format!(
            r#"{{"id": "demo", "sync": {{"mode": "full"}}, "auth": {{"type": "oauth2", {auth}}},
                "settings": {{"type": "object", "properties": {{"key": {{"type": "string", "x-secret": true}}}}}}}}"#
        );
        problems(&text).join("\n")
    };
    for (declared, said) in [
        (r#""token_url": "https://{domain}.acme.example/token""#, "there is no such setting"),
        (r#""token_url": "https://{key}.acme.example/token""#, "a secret setting"),
        (r#""token_url": "https://user@acme.example/token""#, "`auth.token_url`: it must not hold `@`"),
        (r#""authorize_params": {"redirect_uri": "https://evil.example"}"#, "`auth.authorize_params`"),
        (r#""extras": ["authed_user.refresh_token"]"#, "`auth.extras`"),
        (r#""client_auth": "bearer""#, "`auth.client_auth`"),
        (r#""capability_scopes": {"exeucte": ["write"]}"#, "`auth.capability_scopes"),
        (r#""error_codes": {"gone": "over"}"#, "is not one of \"refused\""),
        (r#""refresh_idle": "ninety days""#, "`auth.refresh_idle`"),
        (r#""token_fields": {"acess_token": "token"}"#, "did you mean \"access_token\"?"),
        (
            r#""fields": [{"name": "a", "pattern": "("}]"#,
            "`auth.fields[0].pattern`: it is not a regular expression",
        ),
    ] {
        let told = auth(declared);
        assert!(told.contains(said), "{declared}: {told}");
    }
}

/// The example that authors copy.
#[test]
fn the_manifest_in_the_documentation_is_valid() {
    let page = include_str!("../../../docs/write-a-connector.md");
    let mut blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let example = blocks.find(|block| block.contains("oauth2")).unwrap();
    let manifest = Manifest::parse(example).unwrap();
    assert_eq!(manifest.auth.oauth.settings().into_iter().collect::<Vec<_>>(), ["domain"]);
}

#[test]
fn names_are_unique_within_a_manifest() {
    let told = problems(&with(r#""actions": [{"name": "send"}, {"name": "send"}]"#));
    assert_eq!(told, [r#"`actions[1].name`: "send" is there twice; give each its own name"#]);
}

/// The schema is documentation too: a property without a description tells its reader nothing.
#[test]
fn every_property_of_the_schema_has_a_description() {
    fn look(path: &str, node: &Value, missing: &mut Vec<String>) {
        let described = |schema: &Value| schema.get("description").is_some() || schema.get("$ref").is_some();
        for (name, schema) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = format!("{path}.{name}");
            if !described(schema) {
                missing.push(path.clone());
            }
            look(&path, schema, missing);
        }
    }
    let schema: Value = serde_json::from_str(crate::catalog::MANIFEST_SCHEMA).unwrap();
    let mut missing = Vec::new();
    look("", &schema, &mut missing);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        look(name, definition, &mut missing);
    }
    assert_eq!(missing, Vec::<String>::new());
}
