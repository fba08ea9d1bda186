//! A credential as the connector gets it, of the values that a plan names.

use std::collections::BTreeMap;

use superfasttt_proto::connector::v1::credential::Kind;
use superfasttt_proto::connector::v1::{
    ApiKey, BasicCredential, BearerToken, ClientCertificate, Credential, FieldsCredential, OAuthToken,
};

use crate::manifest::Auth;

/// The credential of these values: the rule of connectord, whose names for them are those of the messages' fields.
///
/// # Errors
///
/// A value is missing, or has a name that the kind does not know.
pub(crate) fn of_values(auth: &Auth, values: &BTreeMap<String, String>) -> Result<Credential, String> {
    let names = names(auth);
    if let Some(unknown) = values.keys().find(|name| !names.contains(name)) {
        return Err(format!(
            "the credential has {unknown:?}; an {} credential has: {}",
            auth.kind,
            names.join(", ")
        ));
    }
    let value = |name: &str| values.get(name).cloned().unwrap_or_default();
    let kind = match auth.kind.as_str() {
        "oauth2" => Kind::Oauth2(OAuthToken {
            access_token: value("access_token"),
            token_type: "Bearer".to_owned(),
            scopes: Vec::new(),
        }),
        _ if !auth.fields.is_empty() => Kind::Fields(FieldsCredential { values: values.clone() }),
        "api_key" => Kind::ApiKey(ApiKey { key: value("key") }),
        "bearer_token" => Kind::BearerToken(BearerToken { token: value("token") }),
        "basic" => Kind::Basic(BasicCredential { username: value("username"), password: value("password") }),
        "client_certificate" => Kind::ClientCertificate(ClientCertificate {
            certificate_pem: value("certificate_pem"),
            private_key_pem: value("private_key_pem"),
        }),
        other => return Err(format!("the manifest's auth.type is {other:?}, which takes no credential")),
    };
    Ok(Credential { kind: Some(kind), expires_at: None, extras: BTreeMap::new() })
}

/// The values in a text: a JSON object, or the one value that a connector of this kind asks for.
///
/// # Errors
///
/// It is neither. What it holds is not told.
pub(crate) fn given(auth: &Auth, text: &str) -> Result<BTreeMap<String, String>, String> {
    let text = text.trim();
    if text.starts_with('{') {
        return serde_json::from_str(text)
            .map_err(|_| "the credential is not a JSON object of texts".to_owned());
    }
    match names(auth).as_slice() {
        [name] => Ok(BTreeMap::from([(name.clone(), text.to_owned())])),
        names => {
            Err(format!("the credential has several values: give a JSON object of {}", names.join(", ")))
        }
    }
}

/// The same names with other values, which no source can know.
pub(crate) fn with_canaries(auth: &Auth, canary: &str) -> Option<Credential> {
    let values = names(auth).into_iter().map(|name| (name.clone(), format!("{canary}-{name}"))).collect();
    of_values(auth, &values).ok()
}

/// What a credential of this connector consists of.
fn names(auth: &Auth) -> Vec<String> {
    if auth.kind != "oauth2" && !auth.fields.is_empty() {
        return auth.fields.iter().map(|field| field.name.clone()).collect();
    }
    let names: &[&str] = match auth.kind.as_str() {
        "oauth2" => &["access_token"],
        "api_key" => &["key"],
        "bearer_token" => &["token"],
        "basic" => &["username", "password"],
        "client_certificate" => &["certificate_pem", "private_key_pem"],
        _ => &[],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The values of a credential that are secret: what the contract says, less the fields that the manifest shows.
pub(crate) fn secrets(auth: &Auth, credential: &Credential) -> Vec<String> {
    if let Some(Kind::Fields(fields)) = &credential.kind {
        let secret = |name: &String| auth.fields.iter().any(|field| field.name == *name && field.secret);
        return fields
            .values
            .iter()
            .filter(|(name, _)| secret(name))
            .map(|(_, value)| value.clone())
            .collect();
    }
    credential.secrets().into_iter().map(str::to_owned).collect()
}
