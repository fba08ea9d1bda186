//! The ways that the provider has of its own: grants whose refresh tokens are good once.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde_json::{Value, json};
use url::Url;

use crate::answer::Answer;
use crate::asked::Asked;

/// Its ways.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Seconds that it says an access token is good; `None`: it does not say.
    pub expires_in: Option<u64>,
    /// Whether a refresh brings another refresh token, and the one that was used is then used up.
    pub rotates: bool,
    /// Whether it knows refresh tokens at all.
    pub refresh_tokens: bool,
    /// The scopes that it grants, where not those asked for.
    pub granted: Option<String>,
    /// The client secret that it wants; `None`: any.
    pub client_secret: Option<String>,
    /// Whether the person refuses.
    pub denies: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            expires_in: Some(3600),
            rotates: true,
            refresh_tokens: true,
            granted: None,
            client_secret: None,
            denies: false,
        }
    }
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Grants by a person.
    pub grants: usize,
    /// Refreshes that were answered with tokens.
    pub refreshes: usize,
    /// Refresh tokens that came a second time; each ended its grant.
    pub reuses: usize,
    /// Grants that were withdrawn.
    pub revoked: usize,
}

#[derive(Default)]
pub(crate) struct Grants {
    rules: Rules,
    counts: Counts,
    codes: BTreeMap<String, Code>,
    grants: Vec<Grant>,
    made: u64,
}

struct Code {
    challenge: Option<String>,
    redirect_uri: String,
    scope: String,
}

struct Grant {
    alive: bool,
    scope: String,
    refresh: Option<String>,
    used: Vec<String>,
    access: Vec<String>,
}

impl Grants {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    pub(crate) fn rules_mut(&mut self) -> &mut Rules {
        &mut self.rules
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn end_all(&mut self) {
        for grant in &mut self.grants {
            grant.alive = false;
        }
    }

    pub(crate) fn answer(&mut self, asked: &Asked) -> Answer {
        match asked.path.as_str() {
            "/authorize" => self.authorize(asked),
            "/token" => self.token(asked),
            "/revoke" => self.revoke(asked),
            _ => Answer::empty(404),
        }
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}-of-the-fake-provider", self.made)
    }

    fn authorize(&mut self, asked: &Asked) -> Answer {
        let get = |name: &str| asked.query.get(name).cloned().unwrap_or_default();
        let Ok(mut back) = Url::parse(&get("redirect_uri")) else {
            return Answer::text(400, "text/plain", "no redirect_uri");
        };
        if self.rules.denies {
            back.query_pairs_mut().append_pair("error", "access_denied").append_pair("state", &get("state"));
        } else {
            let code = self.fresh("code");
            back.query_pairs_mut().append_pair("code", &code).append_pair("state", &get("state"));
            let challenge = asked.query.get("code_challenge").cloned();
            let redirect_uri = get("redirect_uri");
            self.codes.insert(code, Code { challenge, redirect_uri, scope: get("scope") });
        }
        Answer::empty(302).header("location", back.as_str())
    }

    fn token(&mut self, asked: &Asked) -> Answer {
        let mut params = asked.params();
        params.extend(asked.query.clone());
        let secret = asked.basic().map(|(_, secret)| secret).or_else(|| params.get("client_secret").cloned());
        if self.rules.client_secret.is_some() && secret != self.rules.client_secret {
            return error(401, "invalid_client");
        }
        let get = |name: &str| params.get(name).cloned().unwrap_or_default();
        match get("grant_type").as_str() {
            "authorization_code" => {
                let Some(code) = self.codes.remove(&get("code")) else { return error(400, "invalid_grant") };
                let verified = code.challenge.is_none_or(|challenge| {
                    let hash = digest::digest(&digest::SHA256, get("code_verifier").as_bytes());
                    URL_SAFE_NO_PAD.encode(hash) == challenge
                });
                if !verified || code.redirect_uri != get("redirect_uri") {
                    return error(400, "invalid_grant");
                }
                self.counts.grants += 1;
                let grant = Grant {
                    alive: true,
                    scope: code.scope,
                    refresh: None,
                    used: Vec::new(),
                    access: Vec::new(),
                };
                self.grants.push(grant);
                self.tokens(self.grants.len() - 1, true)
            }
            "refresh_token" => {
                let token = get("refresh_token");
                let known = self
                    .grants
                    .iter()
                    .position(|grant| grant.refresh.as_ref() == Some(&token) || grant.used.contains(&token));
                let Some(index) = known else { return error(400, "invalid_grant") };
                if self.grants[index].used.contains(&token) {
                    self.counts.reuses += 1;
                    self.grants[index].alive = false;
                }
                if !self.grants[index].alive {
                    return error(400, "invalid_grant");
                }
                self.counts.refreshes += 1;
                self.tokens(index, false)
            }
            "client_credentials" => {
                let access = self.fresh("access");
                Answer::json(200, &self.reply(&access, &get("scope")))
            }
            _ => error(400, "unsupported_grant_type"),
        }
    }

    fn tokens(&mut self, index: usize, first: bool) -> Answer {
        let access = self.fresh("access");
        let refresh =
            (self.rules.refresh_tokens && (first || self.rules.rotates)).then(|| self.fresh("refresh"));
        let grant = &mut self.grants[index];
        grant.access.push(access.clone());
        if let Some(refresh) = &refresh {
            let replaced = grant.refresh.replace(refresh.clone());
            grant.used.extend(replaced);
        }
        let scope = grant.scope.clone();
        let mut reply = self.reply(&access, &scope);
        if let Some(refresh) = refresh {
            reply["refresh_token"] = json!(refresh);
        }
        Answer::json(200, &reply)
    }

    fn reply(&self, access: &str, scope: &str) -> Value {
        let scope = self.rules.granted.as_deref().unwrap_or(scope);
        let mut reply = json!({"access_token": access, "token_type": "bearer", "scope": scope});
        if let Some(expires_in) = self.rules.expires_in {
            reply["expires_in"] = json!(expires_in);
        }
        reply
    }

    /// RFC 7009: a token that is not known is as good as withdrawn.
    fn revoke(&mut self, asked: &Asked) -> Answer {
        let token = asked.params().remove("token").unwrap_or_default();
        for grant in &mut self.grants {
            let its = grant.refresh.as_ref() == Some(&token) || grant.access.contains(&token);
            if its && std::mem::take(&mut grant.alive) {
                self.counts.revoked += 1;
            }
        }
        Answer::empty(200)
    }
}

fn error(status: u16, code: &str) -> Answer {
    Answer::json(
        status,
        &json!({"error": code, "error_description": format!("the fake provider says {code}")}),
    )
}
