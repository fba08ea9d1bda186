use std::ffi::OsString;
use std::fs;

use clap::{CommandFactory, Parser};
use secrecy::ExposeSecret;

use super::*;
use crate::config::{ByteSize, Command, ConfigCommand, Isolation, SslMode};

/// Loads a file's text below an environment and arguments.
fn load(file: &str, environment: &[(&str, &str)], args: &[&str]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("connectord.toml");
    fs::write(&path, file).unwrap();
    let path = path.to_str().unwrap();
    let args = Args::parse_from(["connectord", "--config", path].iter().chain(args));
    let environment = Environment::of(
        environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))),
    );
    Config::load(&args, &environment).map_err(|mut error| {
        for problem in &mut error.problems {
            if matches!(problem.origin, Origin::File(_)) {
                problem.origin = Origin::File("FILE".into());
            }
        }
        error
    })
}

fn problems(file: &str, environment: &[(&str, &str)]) -> String {
    load(file, environment, &[]).expect_err("a configuration with problems").to_string()
}

#[test]
fn the_commented_default_file_is_the_default() {
    let from_file = load(DEFAULT_FILE, &[], &[]).unwrap();
    assert_eq!(format!("{from_file:#?}"), format!("{:#?}", Config::default()));
}

#[test]
fn the_commented_default_file_names_every_key() {
    fn keys(section: impl serde::Serialize) -> Vec<String> {
        let value = serde_json::to_value(section).unwrap();
        value.as_object().unwrap().keys().cloned().collect()
    }
    let config = Config::default();
    for (section, keys) in [
        ("server.tls", keys(config.server.tls.clone())),
        ("server", keys(config.server)),
        ("data", keys(config.data)),
        ("database", keys(config.database)),
        ("vault", keys(config.vault)),
        ("connectors", keys(config.connectors)),
        ("process", keys(config.process)),
        ("sync", keys(config.sync)),
        ("content", keys(config.content)),
        ("documents", keys(config.documents)),
        ("runs", keys(config.runs)),
        ("audit", keys(config.audit)),
        ("log", keys(config.log)),
        ("telemetry", keys(config.telemetry)),
    ] {
        let text = DEFAULT_FILE.split(&format!("\n[{section}]\n")).nth(1).expect(section);
        let text = text.split("\n[").next().unwrap();
        for key in keys {
            let there =
                text.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")));
            assert!(there, "{section}.{key} is not in the default file");
        }
    }
}

#[test]
fn each_layer_goes_over_the_one_before() {
    let file = "[data]\ndir = \"file\"\n[sync]\nmax_concurrent_runs = 2\nsweep_share = 1\n[process]\nisolation = \"shared\"";
    let environment = [
        ("CONNECTORD_DATA__DIR", "environment"),
        ("CONNECTORD_SYNC__MAX_CONCURRENT_RUNS", "3"),
        ("CONNECTORD_CONNECTORS__WATCH", "false"),
        ("CONNECTORD_PROCESS__MEMORY_LIMIT_BYTES", "536870912"),
        ("CONNECTORD_PROCESS__START_TIMEOUT", "1m 30s"),
        ("HOME", "/not/ours"),
    ];
    let config = load(file, &environment, &["--data-dir", "argument", "--connectors-dir", "c"]).unwrap();
    assert_eq!(config.data.dir, Path::new("argument"));
    assert_eq!(config.connectors.dir, Path::new("c"));
    assert!(!config.connectors.watch);
    assert_eq!(config.sync.max_concurrent_runs, 3);
    assert!((config.sync.sweep_share - 1.0).abs() < f64::EPSILON);
    assert_eq!(config.process.isolation, Isolation::Shared);
    assert_eq!(config.process.memory_limit_bytes, ByteSize::mib(512));
    assert_eq!(config.process.start_timeout.as_secs(), 90);
    assert_eq!(load(file, &environment, &[]).unwrap().data.dir, Path::new("environment"));
}

#[test]
fn a_connector_has_a_section_of_its_own() {
    let file =
        "[connectors]\nwatch = false\n[connectors.google-drive]\nenabled = false\n[connectors.watch]\n";
    assert!(problems(file, &[]).contains("is not TOML"), "a key and a section of one name");
    let file = "[connectors]\nwatch = false\n[connectors.google-drive]\nenabled = false\n";
    let connectors = load(file, &[], &[]).unwrap().connectors;
    assert_eq!((connectors.watch, connectors.disabled()), (false, vec!["google-drive".to_owned()]));
    let environment = [
        ("CONNECTORD_CONNECTORS__GOOGLE_DRIVE__ENABLED", "true"),
        ("CONNECTORD_CONNECTORS__DIR__ENABLED", "false"),
        ("CONNECTORD_CONNECTORS__DIR", "elsewhere"),
    ];
    let connectors = load(file, &environment, &[]).unwrap().connectors;
    assert_eq!(
        (connectors.disabled(), connectors.dir.as_path()),
        (vec!["dir".to_owned()], Path::new("elsewhere"))
    );

    let told = problems(
        "[connectors.a]\nenabled = \"no\"\n[connectors.b]\nenable = true\n[sync.fast]\nx = 1\n",
        &[("CONNECTORD_SYNC__SLOW__X", "1")],
    );
    assert!(told.contains("connectors.a.enabled: \"no\" is not true or false"), "{told}");
    assert!(told.contains("connectors.b.enable: there is no such key; did you mean enabled?"), "{told}");
    assert!(
        told.contains("sync.fast: there is no such section") && told.contains("sync.slow: there is"),
        "{told}"
    );
}

#[test]
fn a_collector_is_named_by_its_address() {
    let telemetry = |endpoint: &str| problems("", &[("CONNECTORD_TELEMETRY__OTLP_ENDPOINT", endpoint)]);
    assert!(load("", &[("CONNECTORD_TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:4317")], &[]).is_ok());
    for wrong in ["", "127.0.0.1:4317", "grpc://collector:4317", "https://c:4317", "http://"] {
        assert!(telemetry(wrong).contains("telemetry.otlp_endpoint: "), "{wrong}");
    }
}

#[test]
fn all_problems_are_told_at_once_with_key_and_origin() {
    let file = r#"
        stray = 1
        [sync]
        sweep_share = 2
        sweep_mim = 3
        stall_timeout = "soon"
        retry_backoff_initial = "1h"
        [process]
        isolation = "none"
        memory_limit_bytes = "1GB"
        [sever]
        token = "x"
    "#;
    let environment = [
        ("CONNECTORD_SERVER__CONTROL_LISTEN", "0.0.0.0:7070"),
        ("CONNECTORD_SYNC__COMMIT_MAX_CHANGES", "many"),
        ("CONNECTORD_RUNS__LOG_MAX_RECORDS", "-1"),
        ("CONNECTORD_TOKEN", "x"),
        ("CONNECTORD_LOG__FILTER", "connectord=loud"),
    ];
    insta::assert_snapshot!(problems(file, &environment), @r#"
    the configuration has 13 problems:
      stray: it is no section; write keys below a [section] line (from FILE)
      there is no such variable; write CONNECTORD_SECTION__KEY, with two underscores between (from CONNECTORD_TOKEN)
      sever: there is no such section; did you mean server? (from FILE)
      process.isolation: unknown variant `none`, expected one of `shared`, `organization`, `connection` (from FILE)
      process.memory_limit_bytes: "1GB" is not a size; write for example "512MiB" or 536870912 (from FILE)
      sync.commit_max_changes: "many" is not a whole number of 0 or more (from CONNECTORD_SYNC__COMMIT_MAX_CHANGES)
      sync.stall_timeout: "soon" is not a duration; write for example "15m" or "30s" (from FILE)
      sync.sweep_mim: there is no such key; did you mean sweep_min? (from FILE)
      runs.log_max_records: -1 is not a whole number of 0 or more (from CONNECTORD_RUNS__LOG_MAX_RECORDS)
      server.control_listen: 0.0.0.0:7070 can be reached from other machines; set server.token, server.token_file or server.require_token, or listen on 127.0.0.1 (from CONNECTORD_SERVER__CONTROL_LISTEN)
      sync.sweep_share: 2 is not a share; write a number from 0.0 to 1.0 (from FILE)
      sync.retry_backoff_initial: it must be more than zero and at most retry_backoff_max (5m) (from FILE)
      log.filter: "connectord=loud" is not a filter (error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5); write for example "info" (from CONNECTORD_LOG__FILTER)
    "#);
}

#[test]
fn a_file_that_is_not_toml_says_the_line_and_quotes_nothing() {
    let told = problems("[server]\ntoken = \"hunter2\" oops\n", &[]);
    assert!(told.contains("line 2 is not TOML"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let args = Args::parse_from(["connectord", "--config", "/nowhere/connectord.toml"]);
    let told = Config::load(&args, &Environment::default()).unwrap_err().to_string();
    assert!(told.contains("the file cannot be read") && told.contains("/nowhere/connectord.toml"), "{told}");
}

#[test]
fn the_token_comes_as_a_value_or_from_a_file_but_not_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "from-the-file\n").unwrap();
    let path = path.to_str().unwrap();
    let token = |environment: &[(&str, &str)]| {
        let config = load("", environment, &[]).unwrap();
        config.server.token.map(|token| token.expose_secret().to_owned())
    };
    assert_eq!(token(&[]), None);
    // Digits alone are still a text.
    assert_eq!(token(&[("CONNECTORD_SERVER__TOKEN", "12345")]).as_deref(), Some("12345"));
    assert_eq!(token(&[("CONNECTORD_SERVER__TOKEN_FILE", path)]).as_deref(), Some("from-the-file"));
    let both = [("CONNECTORD_SERVER__TOKEN", "a"), ("CONNECTORD_SERVER__TOKEN_FILE", path)];
    assert!(problems("", &both).contains("keep one of the two"));
    assert!(problems("", &[("CONNECTORD_SERVER__TOKEN_FILE", "/nowhere")]).contains("cannot be read"));
    assert!(problems("", &[("CONNECTORD_SERVER__TOKEN", "")]).contains("the token is empty"));
    assert!(problems("", &[("CONNECTORD_SERVER__TOKEN", "a b")]).contains("visible ASCII"));
}

#[test]
fn a_listener_that_others_can_reach_needs_a_token() {
    let open = ("CONNECTORD_SERVER__CONTROL_LISTEN", "0.0.0.0:7070");
    let told = problems("", &[open]);
    assert!(
        told.contains("server.control_listen: 0.0.0.0:7070 can be reached from other machines"),
        "{told}"
    );
    assert!(load("", &[open, ("CONNECTORD_SERVER__TOKEN", "t")], &[]).is_ok());
    assert!(load("", &[("CONNECTORD_SERVER__CONTROL_LISTEN", "[::1]:7070")], &[]).is_ok());
}

#[test]
fn secrets_are_never_shown() {
    let environment = [("CONNECTORD_SERVER__TOKEN", "hunter2")];
    let config = load("", &environment, &[]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(format!("{config:?}").contains("REDACTED"));
    assert!(!serde_json::to_string(&config.server).unwrap().contains("hunter2"));
    let environment = Environment::of([("CONNECTORD_SERVER__TOKEN".into(), "hunter2".into())]);
    assert!(!format!("{environment:?}").contains("hunter2"));
    // Also where it is written as something that no token can be.
    assert!(!problems("[server]\ntoken = 123456", &[]).contains("123456"));
    assert!(!problems("[server]\ntoken = [\"hunter2\"]", &[]).contains("hunter2"));
}

#[test]
fn the_database_comes_as_a_value_or_from_a_file_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("url");
    fs::write(&path, "postgres://me:hunter2@db/x?sslmode=require&connect_timeout=3\n").unwrap();
    let path = path.to_str().unwrap();
    let config = load("", &[("CONNECTORD_DATABASE__URL_FILE", path)], &[]).unwrap();
    let target = config.database.target().unwrap();
    assert_eq!(target.sslmode, SslMode::Require);
    assert_eq!(target.url.expose_secret(), "postgres://me:hunter2@db/x?connect_timeout=3");
    assert!(!format!("{config:?}{target:?}").contains("hunter2"));
    assert!(!serde_json::to_string(&config.database).unwrap().contains("hunter2"));
    let url = |url| ("CONNECTORD_DATABASE__URL", url);
    assert!(
        problems("", &[("CONNECTORD_DATABASE__URL_FILE", path), url("postgres://db/x")]).contains("keep one")
    );
    for (wrong, told) in [
        ("mysql://me:hunter2@db/x", "does not begin with postgres://"),
        ("postgres://me:hunter2@db/x?sslmode=hunter2", "none of disable, prefer, require, verify-full"),
        ("postgres://me:hunter2@db:port/x", "database.url: it is no URL of a database"),
        (
            "postgres://me:hunter2@db/x?sslrootcert=/ca.pem",
            "certificates are checked only with sslmode verify-full",
        ),
    ] {
        let problems = problems("", &[url(wrong)]);
        assert!(problems.contains(told) && !problems.contains("hunter2"), "{problems}");
    }
    let keys = [url("postgres://db/x?sslmode=disable"), ("CONNECTORD_DATABASE__SSLMODE", "verify-full")];
    let config = load("", &keys, &[]).unwrap();
    assert_eq!(
        config.database.target().unwrap().sslmode,
        SslMode::VerifyFull,
        "the key comes before the URL"
    );
    assert!(problems("[database]\nmax_connections = 1", &[]).contains("write at least 2"));
    assert!(problems("[database]\nlock_timeout = \"0s\"", &[]).contains("it is zero"));
}

#[test]
fn the_command_line_is_well_formed() {
    Args::command().debug_assert();
    let args = Args::parse_from(["connectord", "config", "check", "--config", "x.toml"]);
    assert_eq!(args.command, Some(Command::Config(ConfigCommand::Check)));
    assert_eq!(args.config.as_deref(), Some(Path::new("x.toml")));
    assert_eq!(Args::parse_from(["connectord", "extract-worker"]).command, Some(Command::ExtractWorker));
}
