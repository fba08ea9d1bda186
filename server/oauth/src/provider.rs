//! A provider as one connection meets it: the declaration, with the connection's settings in its addresses.

use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;

use crate::declaration::Declaration;
use crate::egress;
use crate::template::Template;
use crate::template_error::{FillError, TemplateError};
use crate::ways::Flow;

/// Which addresses settings may choose.
#[derive(Clone, Copy, Debug)]
pub struct UrlRules<'a> {
    /// The manifest's `allowed_hosts`.
    pub allowed_hosts: &'a [String],
    /// Hosts that the operator added for this connector, in the same form.
    pub operator_hosts: &'a [String],
    /// Whether a provider may be on this machine's loopback, by http too: for development and tests.
    pub allow_loopback: bool,
}

/// Why there is no provider for a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The manifest does not say where.
    #[error("the connector's manifest has no `auth.{0}`; its author must add it")]
    NoUrl(&'static str),
    /// The manifest says it wrongly.
    #[error("`auth.{field}` of the connector's manifest: {error}; its author must correct it")]
    Template {
        /// Which address.
        field: &'static str,
        /// What is wrong.
        error: TemplateError,
    },
    /// The connection's settings do not make the address.
    #[error("`auth.{field}`: {error}")]
    Settings {
        /// Which address.
        field: &'static str,
        /// What is wrong.
        error: FillError,
    },
    /// The address is not encrypted.
    #[error(
        "`auth.{0}` is not https; only a provider on this machine may do without, where the operator allows it"
    )]
    NotHttps(&'static str),
}

/// A provider as one connection meets it.
#[derive(Clone, Debug)]
pub struct Provider {
    pub(crate) declaration: Arc<Declaration>,
    pub(crate) authorization_url: Option<Url>,
    pub(crate) token_url: Url,
    pub(crate) revocation: Option<RevocationUrl>,
    issuer: Option<String>,
}

/// An address in which the token or the client id may be a part; the rest is filled.
#[derive(Clone, Debug)]
pub(crate) struct RevocationUrl {
    template: Template,
    settings: Map<String, Value>,
    allowed_hosts: Vec<String>,
    operator_hosts: Vec<String>,
    allow_loopback: bool,
}

impl RevocationUrl {
    pub(crate) fn fill(&self, token: &str, client_id: &str) -> Result<Url, FillError> {
        let rules = UrlRules {
            allowed_hosts: &self.allowed_hosts,
            operator_hosts: &self.operator_hosts,
            allow_loopback: self.allow_loopback,
        };
        let value = |name: &str| match name {
            "token" => Some(token.to_owned()),
            "client_id" => Some(client_id.to_owned()),
            _ => setting(&self.settings, name),
        };
        self.template.fill(value, &rules)
    }
}

impl Provider {
    /// Fills the addresses of a declaration with the settings of a connection, secrets left out.
    ///
    /// # Errors
    ///
    /// An address that is needed and not there, one that the settings do not fill, or one without https.
    pub fn new(
        declaration: Arc<Declaration>,
        settings: &Map<String, Value>,
        rules: &UrlRules<'_>,
    ) -> Result<Self, ProviderError> {
        let fill = |field: &'static str, text: &Option<String>| -> Result<Option<Url>, ProviderError> {
            let Some(template) = parse(field, text)? else { return Ok(None) };
            let url = template
                .fill(|name| setting(settings, name), rules)
                .map_err(|error| ProviderError::Settings { field, error })?;
            check_scheme(field, &url, rules)?;
            Ok(Some(url))
        };
        let authorization_url = fill("authorization_url", &declaration.authorization_url)?;
        if declaration.flow == Flow::AuthorizationCode && authorization_url.is_none() {
            return Err(ProviderError::NoUrl("authorization_url"));
        }
        let token_url =
            fill("token_url", &declaration.token_url)?.ok_or(ProviderError::NoUrl("token_url"))?;
        let revocation = match parse("revocation_url", &declaration.revocation_url)? {
            None => None,
            Some(template) => {
                let needed = template
                    .settings()
                    .filter_map(|name| Some((name.to_owned(), settings.get(name)?.clone())));
                let revocation = RevocationUrl {
                    settings: needed.collect(),
                    template: template.clone(),
                    allowed_hosts: rules.allowed_hosts.to_vec(),
                    operator_hosts: rules.operator_hosts.to_vec(),
                    allow_loopback: rules.allow_loopback,
                };
                // What is wrong shows now and not on the day of need.
                let url = revocation
                    .fill("x", "x")
                    .map_err(|error| ProviderError::Settings { field: "revocation_url", error })?;
                check_scheme("revocation_url", &url, rules)?;
                Some(revocation)
            }
        };
        let issuer = fill("issuer", &declaration.issuer)?;
        let issuer = issuer.map(|url| as_written(url, declaration.issuer.as_deref().unwrap_or_default()));
        Ok(Self { declaration, authorization_url, token_url, revocation, issuer })
    }

    /// Whether an answer that names this issuer, or none, may be the provider's (RFC 9207 section 2.4). Where the manifest
    /// names one the answer has to, letter by letter: else a provider that people are sent to in good faith could hand
    /// them to us as if they came from another, and get the code of that one. Where it names none, any will do.
    pub fn may_answer(&self, named: Option<&str>) -> bool {
        self.issuer.as_deref().is_none_or(|issuer| named == Some(issuer))
    }

    /// What the manifest says.
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// Where tokens come from.
    pub fn token_url(&self) -> &Url {
        &self.token_url
    }
}

fn parse(field: &'static str, text: &Option<String>) -> Result<Option<Template>, ProviderError> {
    text.as_ref()
        .map(|text| text.parse().map_err(|error| ProviderError::Template { field, error }))
        .transpose()
}

fn check_scheme(field: &'static str, url: &Url, rules: &UrlRules<'_>) -> Result<(), ProviderError> {
    if egress::scheme_allowed(url, rules.allow_loopback) {
        Ok(())
    } else {
        Err(ProviderError::NotHttps(field))
    }
}

/// The address without the slash that it has for its host alone, where it was declared without.
fn as_written(url: Url, declared: &str) -> String {
    let mut text = String::from(url);
    if text.ends_with('/') && !declared.ends_with('/') {
        text.pop();
    }
    text
}

fn setting(settings: &Map<String, Value>, name: &str) -> Option<String> {
    match settings.get(name)? {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(
        declaration: Value,
        settings: Value,
        allow_loopback: bool,
    ) -> Result<Provider, ProviderError> {
        let declaration: Declaration = serde_json::from_value(declaration).unwrap();
        let rules = UrlRules { allowed_hosts: &[], operator_hosts: &[], allow_loopback };
        Provider::new(Arc::new(declaration), settings.as_object().unwrap(), &rules)
    }

    #[test]
    fn every_address_is_filled_and_checked_at_once() {
        let declaration = serde_json::json!({
            "authorization_url": "https://{sub}.service.com/authorize",
            "token_url": "https://{sub}.service.com/token",
            "revocation_url": "https://{sub}.service.com/tokens/{token}",
        });
        let made = provider(declaration.clone(), serde_json::json!({"sub": " acme "}), false).unwrap();
        assert_eq!(made.token_url().as_str(), "https://acme.service.com/token");
        let url = made.revocation.unwrap().fill("a/b", "id");
        assert!(url.is_err(), "a token that would leave its place: {url:?}");
        let error = provider(declaration, serde_json::json!({}), false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`auth.authorization_url`: the setting `sub` is missing; a person has to enter it"
        );
    }

    #[test]
    fn only_https_and_the_loopback_where_it_is_allowed() {
        let at = |url: &str, allow| {
            let declaration = serde_json::json!({"flow": "client_credentials", "token_url": url});
            provider(declaration, serde_json::json!({}), allow).map(|_| ())
        };
        assert_eq!(at("https://service.com/token", false), Ok(()));
        assert_eq!(at("http://service.com/token", true), Err(ProviderError::NotHttps("token_url")));
        assert_eq!(at("http://127.0.0.1:8080/token", false), Err(ProviderError::NotHttps("token_url")));
        for url in ["http://127.0.0.1:8080/t", "http://localhost/t", "http://[::1]:1/t"] {
            assert_eq!(at(url, true), Ok(()), "{url}");
        }
        assert!(at("http://127.0.0.1.evil.com/t", true).is_err());
        assert!(at("http://localhost.evil.com/t", true).is_err());
    }

    #[test]
    fn an_answer_names_its_issuer_letter_by_letter() {
        let with = |issuer: Value| {
            let declaration = serde_json::json!({
                "authorization_url": "https://a.example.org/a", "token_url": "https://a.example.org/t", "issuer": issuer,
            });
            provider(declaration, serde_json::json!({"tenant": "acme"}), false)
        };
        let plain = with(serde_json::json!("https://a.example.org")).unwrap();
        assert!(plain.may_answer(Some("https://a.example.org")));
        for other in [
            None,
            Some(""),
            Some("https://a.example.org/"),
            Some("https://A.example.org"),
            Some("https://b.example.org"),
        ] {
            assert!(!plain.may_answer(other), "{other:?}");
        }
        let filled = with(serde_json::json!("https://{tenant}.example.org/realms/{tenant}/")).unwrap();
        assert!(filled.may_answer(Some("https://acme.example.org/realms/acme/")));
        assert!(!filled.may_answer(Some("https://acme.example.org/realms/acme")));
        let silent = with(Value::Null).unwrap();
        assert!(silent.may_answer(None) && silent.may_answer(Some("https://b.example.org")));
        assert_eq!(
            with(serde_json::json!("http://a.example.org")).unwrap_err(),
            ProviderError::NotHttps("issuer")
        );
    }

    #[test]
    fn a_person_who_agrees_needs_an_address_to_do_so() {
        let error =
            provider(serde_json::json!({"token_url": "https://service.com/t"}), serde_json::json!({}), false);
        assert_eq!(error.unwrap_err(), ProviderError::NoUrl("authorization_url"));
    }
}
