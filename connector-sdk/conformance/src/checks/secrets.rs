//! No secret is in the logs or in the stream: neither those of the test credential, whatever was done so far, nor those of
//! a credential that the source refuses.

use prost::Message;
use serde_json::Value;
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{PullMode, PullRequest, TestConnectionRequest};

use crate::canary;
use crate::credential::{secrets, with_canaries};
use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::{End, pull};
use crate::workbench::Workbench;

const NEVER: &str = "\"Required, at most 4 KiB. Without secrets.\" (connector.proto, LogRecord), \"without secrets\" (errors.proto, Error) and \"Secrets of running calls are not in them.\" (connector-sdk/README.md, Serving)";
/// With characters that are written in other ways in addresses.
const CANARY: &str = "canary/7f3e+9c=&d1b5a8";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    // Everything that it can say: what is wrong in a log is wrong at every level.
    let talkative = bench.start_talkative().await?;
    let wire = talkative.wire.clone();
    let auth = &bench.manifest.auth;
    let mut known = bench.credential.as_ref().map(|credential| secrets(auth, credential)).unwrap_or_default();
    known.extend(secret_settings(&bench.manifest.settings, &bench.settings));
    known.extend(bench.process().into_iter().chain([&talkative]).map(|process| process.token.clone()));
    let mut heard: Vec<u8> = Vec::new();
    let mut tried = "the token";
    if let Some(credential) = with_canaries(auth, CANARY) {
        known.extend(secrets(auth, &credential));
        tried = "the token and credentials, a refused one too";
        let test = TestConnectionRequest {
            settings: Some(bench.settings_struct()),
            credential: Some(credential.clone()),
            contract_revision: CONTRACT_REVISION,
        };
        match wire.client().test_connection(test).await {
            Ok(answer) => heard.extend(answer.into_inner().encode_to_vec()),
            Err(status) => {
                heard.extend(format!("{} ", status.message()).bytes().chain(status.details().iter().copied()))
            }
        }
        let request = PullRequest { credential: Some(credential), ..bench.request(PullMode::Full) };
        heard.extend(all_that_came(&pull(&wire, request, None).await));
    }
    heard.extend(all_that_came(&pull(&wire, bench.request(PullMode::Full), None).await));
    let mut findings = Vec::new();
    if let Some(form) = canary::find(&known, &heard) {
        let seen = format!("a secret is {form} in what the connector answered");
        findings.push(Finding::new(
            seen,
            NEVER,
            "leave requests and credentials out of messages, also those of errors",
        ));
    }
    talkative.kill().await;
    let written = bench.output.lock();
    for (name, text) in [("stderr", &written.stderr), ("stdout", &written.stdout)] {
        let line =
            text.split(|byte| *byte == b'\n').find_map(|line| Some((canary::find(&known, line)?, line)));
        if let Some((form, line)) = line {
            let begins: String =
                String::from_utf8_lossy(line).chars().take_while(|c| !c.is_ascii_digit()).take(30).collect();
            let shown = if canary::find(&known, begins.as_bytes()).is_some() { "" } else { begins.as_str() };
            let seen = format!("a secret is {form} in a line on {name} that begins with {shown:?}");
            findings.push(Finding::new(
                seen,
                NEVER,
                "log neither requests nor headers nor credentials, at no level",
            ));
        }
    }
    Ok(Outcome::of(findings, tried))
}

/// Every byte of messages, and of the error at their end.
fn all_that_came(pulled: &crate::pull::Pulled) -> Vec<u8> {
    let mut bytes: Vec<u8> = pulled.messages.iter().flat_map(Message::encode_to_vec).collect();
    if let End::Error(status) = &pulled.end {
        bytes.extend(status.message().bytes());
        bytes.extend(status.details());
    }
    bytes
}

/// The values of settings that the schema marks `x-secret`.
fn secret_settings(schema: &Value, settings: &Value) -> Vec<String> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let secret = properties.filter(|(_, property)| property["x-secret"] == true);
    secret.filter_map(|(name, _)| settings[name].as_str().map(str::to_owned)).collect()
}
