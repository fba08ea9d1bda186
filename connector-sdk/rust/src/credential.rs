//! What a call authenticates with. Printing it never shows a secret.

use std::fmt;

use superfasttt_proto::connector::v1::{self, Reason, credential::Kind};
use superfasttt_proto::error::ConnectorError;

/// A fresh credential. It is good for this call only: keep nothing of it.
#[derive(Clone)]
pub struct Credential(v1::Credential);

impl Credential {
    pub(crate) fn new(credential: v1::Credential) -> Self {
        Self(credential)
    }

    /// The single secret of an OAuth grant, a bearer token or an API key. Of a credential with fields of the manifest that is
    /// the only one, or the one called `key` or `token`.
    ///
    /// # Errors
    ///
    /// SETTINGS_INVALID for a credential that has no such single secret.
    pub fn token(&self) -> Result<&str, ConnectorError> {
        match &self.0.kind {
            Some(Kind::Oauth2(oauth)) => Ok(&oauth.access_token),
            Some(Kind::BearerToken(bearer)) => Ok(&bearer.token),
            Some(Kind::ApiKey(key)) => Ok(&key.key),
            Some(Kind::Fields(fields)) => {
                let only = fields.values.values().next().filter(|_| fields.values.len() == 1);
                let named = ["key", "token"].into_iter().find_map(|name| fields.values.get(name));
                only.or(named).map(String::as_str).ok_or_else(|| self.other_kind("a token"))
            }
            _ => Err(self.other_kind("a token")),
        }
    }

    /// User name and password.
    ///
    /// # Errors
    ///
    /// SETTINGS_INVALID for a credential of another kind.
    pub fn basic(&self) -> Result<(&str, &str), ConnectorError> {
        match &self.0.kind {
            Some(Kind::Basic(basic)) => Ok((&basic.username, &basic.password)),
            Some(Kind::Fields(_)) => Ok((self.field("username")?, self.field("password")?)),
            _ => Err(self.other_kind("a user name and password")),
        }
    }

    /// Certificate chain and private key, both PEM.
    ///
    /// # Errors
    ///
    /// SETTINGS_INVALID for a credential of another kind.
    pub fn client_certificate(&self) -> Result<(&str, &str), ConnectorError> {
        match &self.0.kind {
            Some(Kind::ClientCertificate(pair)) => Ok((&pair.certificate_pem, &pair.private_key_pem)),
            Some(Kind::Fields(_)) => Ok((self.field("certificate_pem")?, self.field("private_key_pem")?)),
            _ => Err(self.other_kind("a client certificate")),
        }
    }

    /// One of the values that the manifest's `auth.fields` declares.
    ///
    /// # Errors
    ///
    /// SETTINGS_INVALID when it was not given.
    pub fn field(&self, name: &str) -> Result<&str, ConnectorError> {
        match &self.0.kind {
            Some(Kind::Fields(fields)) => fields.values.get(name).map(String::as_str),
            _ => None,
        }
        .ok_or_else(|| self.other_kind(&format!("the field {name:?}")))
    }

    /// A value of the token reply that the manifest asked to keep, such as `instance_url`.
    pub fn extra(&self, name: &str) -> Option<&str> {
        self.0.extras.get(name).map(String::as_str)
    }

    /// Whether it is a grant whose tokens the server renews.
    #[cfg(feature = "http")]
    pub(crate) fn is_renewable(&self) -> bool {
        matches!(self.0.kind, Some(Kind::Oauth2(_)))
    }

    /// How a token is presented.
    #[cfg(feature = "http")]
    pub(crate) fn token_type(&self) -> &str {
        match &self.0.kind {
            // Providers write it in small letters, and not all sources take it so.
            Some(Kind::Oauth2(oauth)) if !oauth.token_type.is_empty() => {
                if oauth.token_type.eq_ignore_ascii_case("bearer") { "Bearer" } else { &oauth.token_type }
            }
            _ => "Bearer",
        }
    }

    /// When it ends, UTC, where that is known.
    pub fn expires_at(&self) -> Option<prost_types::Timestamp> {
        self.0.expires_at
    }

    fn kind_name(&self) -> &'static str {
        match &self.0.kind {
            Some(Kind::Oauth2(_)) => "oauth2",
            Some(Kind::ApiKey(_)) => "api_key",
            Some(Kind::BearerToken(_)) => "bearer_token",
            Some(Kind::Basic(_)) => "basic",
            Some(Kind::ClientCertificate(_)) => "client_certificate",
            Some(Kind::Fields(_)) => "fields",
            None => "none",
        }
    }

    fn other_kind(&self, wanted: &str) -> ConnectorError {
        let message =
            format!("this connector needs {wanted}; the credential is of kind {}", self.kind_name());
        ConnectorError::new(Reason::SettingsInvalid, message)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Credential({}, REDACTED)", self.kind_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_a_credential_shows_its_kind_and_no_secret() {
        let oauth = v1::OAuthToken { access_token: "s3cret".into(), ..Default::default() };
        let credential =
            Credential::new(v1::Credential { kind: Some(Kind::Oauth2(oauth)), ..Default::default() });
        assert_eq!(format!("{credential:?}"), "Credential(oauth2, REDACTED)");
        assert_eq!(credential.token().unwrap(), "s3cret");
        assert!(!credential.basic().unwrap_err().to_string().contains("s3cret"));
    }

    #[test]
    fn fields_of_the_manifest_are_read_as_what_they_stand_for() {
        let of = |fields: &[(&str, &str)]| {
            let values =
                fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let kind = Some(Kind::Fields(v1::FieldsCredential { values }));
            Credential::new(v1::Credential { kind, ..Default::default() })
        };
        assert_eq!(of(&[("api", "s3cret")]).token().unwrap(), "s3cret");
        assert_eq!(of(&[("account", "a"), ("token", "s3cret")]).token().unwrap(), "s3cret");
        assert_eq!(of(&[("a", "1"), ("b", "2")]).token().unwrap_err().reason, Reason::SettingsInvalid);
        assert_eq!(of(&[("username", "u"), ("password", "p")]).basic().unwrap(), ("u", "p"));
    }
}
