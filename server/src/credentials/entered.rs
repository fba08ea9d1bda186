//! What a person enters: the fields that a manifest asks for, or that a kind has by itself; checked, and brought into the
//! form that the connector gets.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use superfasttt_proto::connector::v1::credential::Kind;
use superfasttt_proto::connector::v1::{
    ApiKey, BasicCredential, BearerToken, ClientCertificate, Credential, FieldsCredential,
};

use super::reference::{ReferenceError, resolve};
use crate::catalog::{Auth, AuthField, AuthKind};
use crate::config::CredentialsConfig;

/// The longest value: a certificate chain with its key is a few kilobytes.
const MAX_VALUE_BYTES: usize = 64 * 1024;

/// What is wrong with a field, by its name.
pub type Fault = (String, String);

/// What a person enters for a connector: what its manifest asks for, else what the kind has by itself. Nothing for a grant.
pub fn fields(auth: &Auth) -> Vec<AuthField> {
    if auth.kind == AuthKind::OAuth2 {
        return Vec::new();
    }
    if !auth.fields.is_empty() {
        return auth.fields.clone();
    }
    let field = |name: &str, label: &str, secret: bool, required: bool| AuthField {
        name: name.to_owned(),
        label: Some(label.to_owned()),
        help: String::new(),
        placeholder: String::new(),
        pattern: None,
        secret,
        required,
    };
    match auth.kind {
        AuthKind::ApiKey => vec![field("key", "API key", true, true)],
        AuthKind::BearerToken => vec![field("token", "Token", true, true)],
        AuthKind::Basic => {
            vec![field("username", "User name", false, true), field("password", "Password", true, false)]
        }
        AuthKind::ClientCertificate => vec![
            field("certificate_pem", "Certificate chain (PEM)", false, true),
            field("private_key_pem", "Private key (PEM)", true, true),
        ],
        AuthKind::OAuth2 | AuthKind::None => Vec::new(),
    }
}

/// The values of a credential by the names of its fields; `None` where it is of another kind than the connector takes.
fn values(auth: &Auth, credential: Credential) -> Option<BTreeMap<String, String>> {
    let named = |values: Vec<(&str, String)>| {
        Some(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    match (credential.kind?, auth.kind) {
        (Kind::Fields(FieldsCredential { values }), _) => Some(values),
        (Kind::ApiKey(ApiKey { key }), AuthKind::ApiKey) => named(vec![("key", key)]),
        (Kind::BearerToken(BearerToken { token }), AuthKind::BearerToken) => named(vec![("token", token)]),
        (Kind::Basic(BasicCredential { username, password }), AuthKind::Basic) => {
            named(vec![("username", username), ("password", password)])
        }
        (
            Kind::ClientCertificate(ClientCertificate { certificate_pem, private_key_pem }),
            AuthKind::ClientCertificate,
        ) => named(vec![("certificate_pem", certificate_pem), ("private_key_pem", private_key_pem)]),
        _ => None,
    }
}

/// Checks what a person entered, references resolved, and brings it into the form in which it is stored: references as
/// they were entered.
///
/// # Errors
/// Every field that is wrong. No value is told.
pub fn check(
    auth: &Auth,
    credential: Credential,
    allowed: &CredentialsConfig,
) -> Result<Credential, Vec<Fault>> {
    let known = fields(auth);
    let expires_at = credential.expires_at;
    let Some(mut values) = values(auth, credential) else {
        let names: Vec<_> = known.iter().map(|field| field.name.as_str()).collect();
        let text = format!("the connector takes {} ({})", auth.kind.as_str(), names.join(", "));
        return Err(vec![("credential".to_owned(), text)]);
    };
    // Of what is not required, nothing entered is nothing given.
    values.retain(|name, value| {
        !value.is_empty() || known.iter().any(|field| field.name == *name && field.required)
    });
    let mut faults = Vec::new();
    for field in &known {
        let fault = match values.get(&field.name).map(String::as_str) {
            None | Some("") if field.required => Some("is required".to_owned()),
            None => None,
            Some(value) => check_value(field, value, allowed).err(),
        };
        faults.extend(fault.map(|fault| (at(&field.name), fault)));
    }
    for name in values.keys().filter(|name| known.iter().all(|field| field.name != **name)) {
        let names: Vec<_> = known.iter().map(|field| field.name.as_str()).collect();
        faults.push((at(name), format!("the connector has no such field; it has: {}", names.join(", "))));
    }
    if faults.is_empty() { Ok(of_values(auth, values, expires_at)) } else { Err(faults) }
}

fn at(field: &str) -> String {
    format!("credential.fields.values[{field:?}]")
}

fn check_value(field: &AuthField, value: &str, allowed: &CredentialsConfig) -> Result<(), String> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(format!("is longer than {MAX_VALUE_BYTES} bytes"));
    }
    let resolved = resolve(value, allowed).map_err(|error| error.to_string())?;
    let value = resolved.expose_secret();
    if value.is_empty() {
        return Err("refers to nothing: what is there is empty".to_owned());
    }
    if value.contains('\0') {
        return Err("has a zero byte in it".to_owned());
    }
    if field.matches(value) {
        return Ok(());
    }
    let example = match field.placeholder.as_str() {
        "" => String::new(),
        placeholder => format!(", such as {placeholder:?}"),
    };
    Err(format!("has not the form that the connector asks for{example}"))
}

fn of_values(
    auth: &Auth,
    mut values: BTreeMap<String, String>,
    expires_at: Option<prost_types::Timestamp>,
) -> Credential {
    let mut value = |name: &str| values.remove(name).unwrap_or_default();
    let kind = match auth.kind {
        _ if !auth.fields.is_empty() => Kind::Fields(FieldsCredential { values }),
        AuthKind::ApiKey => Kind::ApiKey(ApiKey { key: value("key") }),
        AuthKind::BearerToken => Kind::BearerToken(BearerToken { token: value("token") }),
        AuthKind::Basic => {
            Kind::Basic(BasicCredential { username: value("username"), password: value("password") })
        }
        AuthKind::ClientCertificate => Kind::ClientCertificate(ClientCertificate {
            certificate_pem: value("certificate_pem"),
            private_key_pem: value("private_key_pem"),
        }),
        AuthKind::OAuth2 | AuthKind::None => Kind::Fields(FieldsCredential::default()),
    };
    Credential { kind: Some(kind), expires_at, extras: BTreeMap::new() }
}

/// What a connector gets of what was stored: with what references refer to now.
///
/// # Errors
/// [`ReferenceError`].
pub(super) fn resolved(
    mut credential: Credential,
    allowed: &CredentialsConfig,
) -> Result<Credential, ReferenceError> {
    let in_place = |value: &mut String| {
        resolve(value, allowed).map(|resolved| resolved.expose_secret().clone_into(value))
    };
    match credential.kind.as_mut() {
        Some(Kind::ApiKey(ApiKey { key })) => in_place(key)?,
        Some(Kind::BearerToken(BearerToken { token })) => in_place(token)?,
        Some(Kind::Basic(BasicCredential { username, password })) => {
            in_place(username)?;
            in_place(password)?;
        }
        Some(Kind::ClientCertificate(ClientCertificate { certificate_pem, private_key_pem })) => {
            in_place(certificate_pem)?;
            in_place(private_key_pem)?;
        }
        Some(Kind::Fields(FieldsCredential { values })) => values.values_mut().try_for_each(in_place)?,
        Some(Kind::Oauth2(_)) | None => {}
    }
    Ok(credential)
}
