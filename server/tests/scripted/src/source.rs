//! The source behind the scripted connector, as far as it asks who is there: which credentials it refuses, and whose
//! account each of them opens.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use superfasttt_proto::connector::v1::credential::Kind;
use superfasttt_proto::connector::v1::{AccountIdentity, Credential};
use superfasttt_proto::error::{ConnectorError, reason_by_name};
use tonic::Status;

/// What a credential's secret leads to; for several fields, the value of any of them.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// Secret to reason: calls that come with it end so, such as with "CREDENTIAL_EXPIRED".
    refuses: BTreeMap<String, String>,
    /// Secret to the id of the account that it opens. The rest open none that is told.
    accounts: BTreeMap<String, String>,
}

impl Source {
    /// Refuses a call that comes with a credential that it does not take.
    pub fn admit(&self, credential: Option<&Credential>) -> Result<(), Status> {
        let secrets = secrets(credential);
        let Some((_, reason)) = self.refuses.iter().find(|(secret, _)| secrets.contains(secret)) else {
            return Ok(());
        };
        let reason = reason_by_name(reason).ok_or_else(|| Status::internal("no such reason"))?;
        Err(ConnectorError::new(reason, "the source refuses the credential").to_status())
    }

    /// Whose account a credential opens.
    pub fn account(&self, credential: Option<&Credential>) -> Option<AccountIdentity> {
        let secrets = secrets(credential);
        let (_, id) = self.accounts.iter().find(|(secret, _)| secrets.contains(secret))?;
        Some(AccountIdentity { id: id.clone(), display_name: String::new(), email: String::new() })
    }
}

/// A credential as a call's facts tell it.
pub fn told(credential: Option<&Credential>) -> Value {
    let Some(credential) = credential else { return Value::Null };
    let mut told = match &credential.kind {
        Some(Kind::Oauth2(token)) => {
            json!({"access_token": token.access_token, "token_type": token.token_type, "scopes": token.scopes})
        }
        Some(Kind::ApiKey(key)) => json!({"key": key.key}),
        Some(Kind::BearerToken(token)) => json!({"token": token.token}),
        Some(Kind::Basic(basic)) => json!({"username": basic.username, "password": basic.password}),
        Some(Kind::ClientCertificate(pair)) => {
            json!({"certificate_pem": pair.certificate_pem, "private_key_pem": pair.private_key_pem})
        }
        Some(Kind::Fields(fields)) => json!({"fields": fields.values}),
        None => json!({}),
    };
    told["extras"] = json!(credential.extras);
    told["expires_at"] = json!(credential.expires_at.as_ref().map(|at| at.seconds));
    told
}

fn secrets(credential: Option<&Credential>) -> Vec<&String> {
    match credential.and_then(|credential| credential.kind.as_ref()) {
        Some(Kind::Oauth2(token)) => vec![&token.access_token],
        Some(Kind::ApiKey(key)) => vec![&key.key],
        Some(Kind::BearerToken(token)) => vec![&token.token],
        Some(Kind::Basic(basic)) => vec![&basic.username, &basic.password],
        Some(Kind::ClientCertificate(pair)) => vec![&pair.private_key_pem],
        Some(Kind::Fields(fields)) => fields.values.values().collect(),
        None => Vec::new(),
    }
}
