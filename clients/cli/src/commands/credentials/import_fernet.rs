//! `credentials import-fernet`: takes over what another system held, sealed with Fernet.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use superfasttt_proto::connector::v1::credential::Kind;
use superfasttt_proto::connector::v1::{Credential, FieldsCredential, OAuthToken};
use superfasttt_proto::control::v1::SetCredentialRequest;
use superfasttt_proto::control::v1::credential_status::State;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::fernet::Keys;
use crate::output::note;
use crate::output::text::word;
use crate::resolve::connection_id;
use crate::secret_input::read;

pub const EXAMPLES: &str = "\
The connections have to be there already. FILE has one JSON object to a line; `-` reads standard input. What is secret in it is \
a Fernet token, and is opened here, with the keys of --key-file, one to a line (as MultiFernet has several). A grant that the \
other system goes on refreshing may end for both: stop it there first.

  {\"connection\": \"drive\", \"access_token\": \"gAAAAA…\", \"refresh_token\": \"gAAAAA…\", \"expires_at\": \"2026-11-22T12:00:00Z\", \"scopes\": [\"read\"]}
  {\"connection\": \"crm\", \"fields\": {\"key\": \"gAAAAA…\"}}

Examples:
  connectorctl credentials import-fernet tokens.jsonl --key-file fernet.key
  psql -At -c \"SELECT …\" | connectorctl credentials import-fernet - --key-file fernet.key";

/// What to take over, and what opens it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file with one JSON object to a line; `-`: standard input
    file: String,
    /// A file with the Fernet keys, one to a line
    #[arg(long, value_name = "PATH")]
    key_file: String,
}

/// A line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    connection: String,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

/// `credentials import-fernet FILE`.
pub async fn run(context: &mut Context, args: Args) -> Result<()> {
    let keys = Keys::parse(&read(&args.key_file)?)
        .map_err(|error| Error::Usage(format!("{}: {error}", args.key_file)))?;
    let text = read(&args.file)?;
    // Everything is opened before anything is sent: a wrong key changes nothing.
    let mut requests = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = |error: String| Error::Usage(format!("line {}: {error}", number + 1));
        let line: Line = serde_json::from_str(line).map_err(|error| at(told(&error)))?;
        let (name, request) = opened(&keys, line).map_err(at)?;
        requests.push((name, request));
    }
    let (all, mut failed) = (requests.len(), 0);
    for (name, mut request) in requests {
        let outcome = match connection_id(context, &name).await {
            Ok(id) => {
                request.connection = id;
                context.client.credentials().set_credential(request).await.map_err(Error::from)
            }
            Err(error) => Err(error),
        };
        let status = outcome.map(|answer| answer.into_inner().credential.unwrap_or_default());
        match status {
            Ok(status) if matches!(status.state(), State::Connected | State::Expiring) => {
                note(&format!("{name}: {}", word(status.state().as_str_name(), "STATE_")));
            }
            Ok(status) => {
                failed += 1;
                let state = word(status.state().as_str_name(), "STATE_");
                note(&format!("{name}: {state}: {}", status.message));
            }
            Err(error) => {
                failed += 1;
                note(&format!("{name}: {error}"));
            }
        }
    }
    note(&format!("{} of {all} taken over", all - failed));
    if failed == 0 { Ok(()) } else { Err(Error::Failed(format!("{failed} of {all} cannot be used yet"))) }
}

/// What is wrong with a line, without the line: it may hold what nobody should see.
fn told(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => {
            "it is not of the form that --help shows: connection, and access_token or fields".to_owned()
        }
        _ => format!("it is no JSON, from column {} on", error.column()),
    }
}

fn opened(keys: &Keys, line: Line) -> std::result::Result<(String, SetCredentialRequest), String> {
    let open = |name: &str, token: String| {
        let opened = keys.open(&token).map_err(|error| format!("{name}: {error}"))?;
        String::from_utf8(opened).map_err(|_| format!("{name}: what is sealed in it is no text"))
    };
    let expires_at = line.expires_at.map(|at| prost_types::Timestamp { seconds: at.timestamp(), nanos: 0 });
    let kind = match (line.access_token, line.fields.is_empty()) {
        (Some(token), true) => Kind::Oauth2(OAuthToken {
            access_token: open("access_token", token)?,
            token_type: line.token_type,
            scopes: line.scopes,
        }),
        (None, false) => {
            let values = line.fields.into_iter().map(|(name, token)| {
                let value = open(&name, token)?;
                Ok((name, value))
            });
            Kind::Fields(FieldsCredential { values: values.collect::<std::result::Result<_, String>>()? })
        }
        _ => return Err("it needs either access_token or fields".to_owned()),
    };
    let refresh_token = line.refresh_token.map(|token| open("refresh_token", token)).transpose()?;
    let credential = Some(Credential { kind: Some(kind), expires_at, ..Credential::default() });
    let refresh_token = refresh_token.unwrap_or_default();
    Ok((line.connection, SetCredentialRequest { connection: String::new(), credential, refresh_token }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const HELLO: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    fn line(text: &str) -> std::result::Result<(String, SetCredentialRequest), String> {
        let line = serde_json::from_str(&text.replace("HELLO", HELLO)).map_err(|error| told(&error))?;
        opened(&Keys::parse(KEY).unwrap(), line)
    }

    #[test]
    fn a_grant_and_a_key_are_what_was_sealed() {
        let (name, request) = line(
            r#"{"connection": "drive", "access_token": "HELLO", "refresh_token": "HELLO", "expires_at": "2026-11-22T12:00:00Z",
                "scopes": ["read"]}"#,
        )
        .unwrap();
        let credential = request.credential.unwrap();
        assert_eq!((name.as_str(), request.refresh_token.as_str()), ("drive", "hello"));
        assert_eq!(credential.expires_at.unwrap().seconds, 1_795_348_800);
        let Some(Kind::Oauth2(token)) = credential.kind else { panic!("it is a grant") };
        assert_eq!((token.access_token.as_str(), token.scopes), ("hello", vec!["read".to_owned()]));
        let (_, request) = line(r#"{"connection": "crm", "fields": {"key": "HELLO"}}"#).unwrap();
        let Some(Kind::Fields(fields)) = request.credential.unwrap().kind else { panic!("they are fields") };
        assert_eq!(fields.values["key"], "hello");
    }

    #[test]
    fn what_is_wrong_with_a_line_is_told_without_the_line() {
        for (text, why) in [
            (r#"{"connection": "crm"}"#, "either access_token or fields"),
            (r#"{"connection": "crm", "fields": {"key": "hunter2"}}"#, "key: it is no Fernet token"),
            (r#"{"connection": "crm", "password": "hunter2"}"#, "form that --help shows"),
            (r#"{"connection": "crm", "fields": "hunter2"}"#, "form that --help shows"),
            (r#"{"connection": hunter2"#, "no JSON"),
        ] {
            let error = line(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
