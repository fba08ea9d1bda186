//! What a declaration must keep beyond the schema of manifests.

use std::collections::BTreeSet;

use crate::declaration::Declaration;
use crate::template::Template;
use crate::ways::{ClientAuth, Flow};

/// What is wrong with a declaration beyond the schema of manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclarationProblem {
    /// The field, below `auth`.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// The mend.
    pub fix: &'static str,
}

/// Parameters that are this crate's to set.
const OURS: [&str; 14] = [
    "response_type",
    "client_id",
    "client_secret",
    "redirect_uri",
    "state",
    "scope",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "grant_type",
    "refresh_token",
    "client_assertion",
    "client_assertion_type",
];

/// Names of values that are no extras: connectors get extras in the clear, and never these.
const SECRETS: [&str; 6] =
    ["access_token", "refresh_token", "id_token", "client_secret", "code_verifier", "client_assertion"];

impl Declaration {
    /// Whether this parameter is set by us, so that neither a template nor further parameters may hold it.
    pub(crate) fn is_ours(&self, parameter: &str) -> bool {
        OURS.contains(&parameter)
            || parameter == self.scope_param
            || self.optional_scope_param.as_deref() == Some(parameter)
            || self.further_scopes.contains_key(parameter)
    }

    /// What is wrong with it; empty: nothing.
    pub fn problems(&self) -> Vec<DeclarationProblem> {
        let mut problems = Vec::new();
        let mut problem = |field: &str, message: String, fix: &'static str| {
            problems.push(DeclarationProblem { field: field.to_owned(), message, fix });
        };
        let urls = [
            ("authorization_url", &self.authorization_url),
            ("token_url", &self.token_url),
            ("revocation_url", &self.revocation_url),
            ("issuer", &self.issuer),
        ];
        for (field, text) in urls {
            let Some(text) = text else { continue };
            match text.parse::<Template>() {
                Err(error) => problem(
                    field,
                    error.to_string(),
                    "write a whole address, for example \"https://{domain}.example.org/oauth2/token\"",
                ),
                Ok(template) => {
                    for name in template.query_names().iter().filter(|name| self.is_ours(name)) {
                        let message = format!("its query holds {name:?}, which the server sets itself");
                        problem(field, message, "leave it out of the address");
                    }
                }
            }
        }
        let further = [
            ("authorize_params", &self.authorize_params),
            ("token_params", &self.token_params),
            ("revocation.params", &self.revocation.params),
        ];
        for (field, params) in further {
            for name in params.keys().filter(|name| self.is_ours(name)) {
                let message = format!("{name:?} is set by the server itself");
                problem(field, message, "leave it out; scopes belong into `scopes`");
            }
        }
        if self.client_auth == ClientAuth::Bearer && self.flow == Flow::AuthorizationCode {
            let message = "\"bearer\" is for applications that act by themselves".to_owned();
            problem(
                "client_auth",
                message,
                "write \"flow\": \"client_credentials\", or another `client_auth`",
            );
        }
        for extra in &self.extras {
            let last = extra.rsplit('.').next().unwrap_or(extra);
            if SECRETS.contains(&last) {
                let message = format!("{extra:?} is a secret, and a connector gets extras in the clear");
                problem(
                    "extras",
                    message,
                    "leave it out; the access token is given to the connector as such",
                );
            }
        }
        problems
    }

    /// The names of the settings that its addresses need.
    pub fn settings(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for text in [&self.authorization_url, &self.token_url, &self.issuer].into_iter().flatten() {
            if let Ok(template) = text.parse::<Template>() {
                names.extend(template.settings().map(str::to_owned));
            }
        }
        if let Some(Ok(template)) = self.revocation_url.as_ref().map(|text| text.parse::<Template>()) {
            let filled_by_us = |name: &&str| matches!(*name, "token" | "client_id");
            names.extend(template.settings().filter(|name| !filled_by_us(name)).map(str::to_owned));
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(String, String)> {
        let declaration: Declaration = serde_json::from_str(text).unwrap();
        declaration.problems().into_iter().map(|problem| (problem.field, problem.message)).collect()
    }

    #[test]
    fn what_the_server_sets_itself_cannot_be_declared() {
        for text in [
            r#"{"authorize_params": {"redirect_uri": "https://evil.example"}}"#,
            r#"{"token_params": {"grant_type": "password"}}"#,
            r#"{"authorization_url": "https://a.example.org/authorize?state=1"}"#,
            r#"{"scope_param": "user_scope", "authorize_params": {"user_scope": "x"}}"#,
            r#"{"further_scopes": {"user_scope": ["a"]}, "authorize_params": {"user_scope": "x"}}"#,
        ] {
            assert_eq!(problems(text).len(), 1, "{text}");
        }
        assert_eq!(problems(r#"{"authorize_params": {"prompt": "consent"}}"#), []);
    }

    #[test]
    fn a_secret_is_no_extra() {
        assert_eq!(problems(r#"{"extras": ["authed_user.refresh_token"]}"#).len(), 1);
        assert_eq!(problems(r#"{"extras": ["instance_url", "team.id"]}"#), []);
    }

    #[test]
    fn combinations_that_cannot_work_are_told() {
        assert_eq!(problems(r#"{"client_auth": "bearer"}"#).len(), 1);
        assert_eq!(problems(r#"{"token_url": "https://x.example.org/{"}"#).len(), 1);
    }

    #[test]
    fn the_settings_of_its_addresses_are_named() {
        let declaration: Declaration = serde_json::from_str(
            r#"{"token_url": "https://{domain}.example.org/t", "authorization_url": "https://example.org/{tenant}/a",
                "revocation_url": "https://{domain}.example.org/r/{token}/{client_id}"}"#,
        )
        .unwrap();
        assert_eq!(declaration.settings().into_iter().collect::<Vec<_>>(), ["domain", "tenant"]);
    }
}
