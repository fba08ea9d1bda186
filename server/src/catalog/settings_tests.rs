use serde_json::json;

use super::*;

fn manifest(settings: &Value) -> Manifest {
    let text =
        json!({"id": "demo", "auth": {"type": "none"}, "sync": {"mode": "full"}, "settings": settings});
    Manifest::parse(&text.to_string()).unwrap()
}

fn filesystem_like() -> Manifest {
    manifest(&json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["root"],
        "properties": {
            "root": {"type": "string", "minLength": 1, "x-picker": "folder"},
            "include": {"type": "array", "items": {"type": "string"}, "default": ["**"]},
            "max_bytes": {"type": "integer", "default": 1000},
            "password": {"type": "string", "minLength": 8, "x-secret": true},
            "proxy": {
                "type": "object",
                "properties": {"url": {"type": "string"}, "port": {"type": "integer", "default": 8080}},
            },
        },
    }))
}

fn problems(manifest: &Manifest, settings: &Value) -> Vec<String> {
    let problems = validate_settings(manifest, settings).expect_err("settings with problems");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn every_field_with_a_problem_is_named() {
    let settings = json!({"include": ["a", 7], "max_bytes": "big", "colour": "red"});
    let mut told = problems(&filesystem_like(), &settings);
    told.sort();
    assert_eq!(
        told,
        [
            "`colour`: there is no such setting",
            "`include[1]`: 7 is not of type string",
            "`max_bytes`: \"big\" is not of type integer",
            "`root`: it is missing",
        ]
    );
}

#[test]
fn a_secret_value_is_never_in_a_message() {
    for password in [json!("hunter2"), json!(1_234_567)] {
        let told = problems(&filesystem_like(), &json!({"root": "/", "password": password})).join("\n");
        assert!(told.starts_with("`password`: the value"), "{told}");
        assert!(!told.contains("hunter2") && !told.contains("1234567"), "{told}");
    }
}

#[test]
fn settings_that_are_no_object_are_refused() {
    assert_eq!(problems(&filesystem_like(), &json!([])), ["``: it is not an object"]);
}

#[test]
fn a_connector_without_settings_takes_none() {
    let text = r#"{"id": "demo", "auth": {"type": "none"}, "sync": {"mode": "full"}}"#;
    let manifest = Manifest::parse(text).unwrap();
    assert_eq!(validate_settings(&manifest, &json!({})), Ok(()));
    assert_eq!(problems(&manifest, &json!({"root": "/"})), ["`root`: there is no such setting"]);
}

#[test]
fn defaults_fill_what_a_person_left_out() {
    let manifest = filesystem_like();
    let filled = apply_defaults(&manifest, &json!({"root": "/srv", "max_bytes": 5, "proxy": {"url": "u"}}));
    assert_eq!(
        filled,
        json!({"root": "/srv", "max_bytes": 5, "include": ["**"], "proxy": {"url": "u", "port": 8080}})
    );
    assert_eq!(apply_defaults(&manifest, &json!({"root": "/srv"})).get("proxy"), None);
}

#[test]
fn secrets_are_removed_wherever_the_schema_puts_them() {
    let manifest = manifest(&json!({
        "type": "object",
        "$defs": {"account": {"type": "object", "properties": {"key": {"x-secret": true}, "self": {"$ref": "#/$defs/account"}}}},
        "properties": {
            "top": {"x-secret": true},
            "accounts": {"type": "array", "items": {"$ref": "#/$defs/account"}},
            "tokens": {"type": "object", "additionalProperties": {"type": "string", "x-secret": true}},
        },
        "oneOf": [{"properties": {"either": {"x-secret": true}}}, true],
    }));
    let settings = json!({
        "top": "s", "either": "s", "shown": 1, "tokens": {"a": "s"},
        "accounts": [{"name": "n", "key": "s", "self": {"name": "m", "key": "s"}}],
    });
    assert_eq!(
        without_secrets(&manifest, &settings),
        json!({"shown": 1, "tokens": {}, "accounts": [{"name": "n", "self": {"name": "m"}}]})
    );
    assert!(manifest.settings.secret_fields().contains(&"accounts[].key".to_owned()));
}

#[test]
fn the_values_of_secrets_are_found_wherever_the_schema_puts_them() {
    use secrecy::ExposeSecret;
    let manifest = manifest(&json!({
        "type": "object",
        "properties": {
            "top": {"x-secret": true},
            "accounts": {"type": "array", "items": {"properties": {"key": {"x-secret": true}}}},
            "tokens": {"type": "object", "additionalProperties": {"type": "string", "x-secret": true}},
        },
    }));
    let settings = json!({
        "top": {"any": ["a", 12345678], "how": {"deep": "b"}}, "shown": "no", "tokens": {"a": "c", "b": "d"},
        "accounts": [{"name": "no", "key": "e"}, {"key": "f"}, "no"],
    });
    let values = secret_values(&manifest, &settings);
    let mut values: Vec<_> = values.iter().map(|value| value.expose_secret().to_owned()).collect();
    values.sort();
    assert_eq!(values, ["12345678", "a", "b", "c", "d", "e", "f"]);
}

#[test]
fn pickers_are_found() {
    let picker = Picker { field: "root".to_owned(), picker: "folder".to_owned() };
    assert_eq!(filesystem_like().settings.pickers(), [picker]);
}
