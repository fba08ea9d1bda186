//! Reads a token reply, and judges one that is none.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};

use crate::declaration::Declaration;
use crate::failure::{Ambiguous, Failure, Misconfigured, Refused, Unclear};
use crate::http::{Reply, SendError};
use crate::paths::Paths;
use crate::scopes;
use crate::scrub::Scrubber;
use crate::tokens::Tokens;
use crate::tree::Tree;
use crate::ways::CodeMeaning;

/// Longer tokens than any provider's; what is longer is no token.
const MAX_TOKEN_BYTES: usize = 64 * 1024;
/// A lifetime beyond this says nothing.
const MAX_LIFETIME_S: i64 = 10 * 366 * 86400;
/// A provider that wants us to wait longer is asked again after this time.
const MAX_RETRY_AFTER_S: u64 = 7 * 86400;
/// An extra is an id or an address, and not a document.
const MAX_EXTRA_BYTES: usize = 4096;

/// What is needed to read a reply.
pub(crate) struct Reading<'a> {
    pub(crate) declaration: &'a Declaration,
    /// Where the token object is in this reply.
    pub(crate) token_path: &'a str,
    pub(crate) asked: &'a [String],
    pub(crate) scrubber: &'a Scrubber,
    pub(crate) now: DateTime<Utc>,
}

impl Reading<'_> {
    /// The tokens of a reply, or why there are none.
    pub(crate) fn tokens(&self, reply: &Reply) -> Result<Tokens, Failure> {
        let tree = self.checked(reply)?;
        let Some(tokens) = tree.as_ref().and_then(|tree| self.tokens_of(tree)) else {
            // Not what it said: it may be a token in a form that we do not know.
            return Err(self.ambiguous(Unclear::Unreadable, reply, None, String::new()).into());
        };
        Ok(tokens)
    }

    /// What a reply of success holds, if it can be read; every other reply is a failure. Used for replies that need
    /// not hold anything, too.
    pub(crate) fn checked(&self, reply: &Reply) -> Result<Option<Tree>, Failure> {
        let tree = Tree::parse(&reply.media_type(), reply.body.as_slice());
        let code = tree.as_ref().and_then(|tree| self.error_code(tree));
        let said = self.said(reply, tree.as_ref());
        let unclear = |reason| Err(self.ambiguous(reason, reply, code.clone(), said.clone()).into());
        match reply.status {
            429 => return unclear(Unclear::Throttled),
            300..=399 => return unclear(Unclear::Redirected),
            200..=299 | 400..=499 => {}
            _ => return unclear(Unclear::Unavailable),
        }
        let Some(code) = &code else {
            return if reply.status < 300 { Ok(tree) } else { unclear(Unclear::Unreadable) };
        };
        // A code beside a token contradicts itself.
        if tree.as_ref().is_some_and(|tree| self.tokens_of(tree).is_some()) {
            return unclear(Unclear::Unreadable);
        }
        match self.meaning(code) {
            Some(Meaning::Refused) => Err(Refused { code: code.clone(), said, status: reply.status }.into()),
            Some(Meaning::Misconfigured(mend)) => {
                Err(Misconfigured { code: code.clone(), said, status: Some(reply.status), mend }.into())
            }
            Some(Meaning::Unclear(reason)) => unclear(reason),
            None => unclear(Unclear::UnknownCode),
        }
    }

    /// A call without a reply.
    pub(crate) fn unsent(&self, error: SendError) -> Failure {
        let (reason, said, status, may_have_reached) = match error {
            SendError::Egress => {
                let mend =
                    "correct the provider's address, or allow its network in the server's configuration";
                return Failure::before_sending("address_refused", mend);
            }
            SendError::Unreachable(said) => (Unclear::Unreachable, said, None, false),
            SendError::TimedOut => (Unclear::TimedOut, String::new(), None, true),
            SendError::CutOff(said) => (Unclear::CutOff, said, None, true),
            SendError::TooLarge { status } => (Unclear::Unreadable, String::new(), Some(status), true),
        };
        let said = self.scrubber.clean(&said);
        Ambiguous { reason, code: None, said, status, retry_after: None, may_have_reached }.into()
    }

    fn ambiguous(&self, reason: Unclear, reply: &Reply, code: Option<String>, said: String) -> Ambiguous {
        let retry_after = reply.retry_after().and_then(|text| self.retry_after(text));
        Ambiguous { reason, code, said, status: Some(reply.status), retry_after, may_have_reached: true }
    }

    fn tokens_of(&self, tree: &Tree) -> Option<Tokens> {
        let fields = &self.declaration.token_fields;
        let object = tree.at(self.token_path)?;
        let access = token(first(object, &fields.access_token)?)?;
        // A refresh token that cannot be one is not passed over: the grant would be lost unnoticed.
        let refresh = match first(object, &fields.refresh_token) {
            Some(text) => Some(token(text)?),
            None => None,
        };
        let granted = self.granted(object);
        let missing = granted
            .as_ref()
            .map(|granted| self.declaration.missing_scopes(self.asked, granted))
            .unwrap_or_default();
        let expires_at = first(object, &fields.expires_at).and_then(|text| self.until(text));
        Some(Tokens {
            expires_in: first(object, &fields.expires_in).and_then(seconds).or(expires_at),
            refresh_expires_in: first(object, &fields.refresh_expires_in).and_then(seconds),
            token_type: token_type(first(object, &fields.token_type)),
            granted,
            missing,
            extras: self.extras(tree, &access, refresh.as_ref()),
            access,
            refresh,
        })
    }

    /// `None`: the reply does not say. An empty text is taken as not saying.
    fn granted(&self, object: &Tree) -> Option<Vec<String>> {
        let mut granted: Option<Vec<String>> = None;
        for tree in self.declaration.token_fields.scope.iter().filter_map(|path| object.at(path)) {
            let texts = tree.text().into_iter().chain(tree.items().iter().filter_map(Tree::text));
            for scope in texts.flat_map(scopes::split) {
                granted.get_or_insert_default().push(scope.to_owned());
            }
        }
        granted
    }

    fn extras(
        &self,
        tree: &Tree,
        access: &SecretString,
        refresh: Option<&SecretString>,
    ) -> BTreeMap<String, String> {
        let is_token = |text: &str| {
            let same = |secret: &SecretString| text.contains(secret.expose_secret());
            same(access) || refresh.is_some_and(same)
        };
        let extras = self.declaration.extras.iter().filter_map(|path| {
            let text = match tree.at(path)? {
                Tree::Bool(value) => value.to_string(),
                other => other.text()?.to_owned(),
            };
            (text.len() <= MAX_EXTRA_BYTES && !is_token(&text)).then(|| (path.clone(), text))
        });
        extras.collect()
    }

    fn until(&self, text: &str) -> Option<Duration> {
        let at = match text.parse::<f64>() {
            // Truncation is meant: parts of a second do not matter.
            Ok(number) => number as i64,
            Err(_) => DateTime::parse_from_rfc3339(text).ok()?.timestamp(),
        };
        lifetime(at.checked_sub(self.now.timestamp())?)
    }

    fn retry_after(&self, text: &str) -> Option<Duration> {
        let seconds = match text.trim().parse::<u64>() {
            Ok(seconds) => seconds,
            Err(_) => {
                let at: DateTime<Utc> = httpdate::parse_http_date(text).ok()?.into();
                u64::try_from((at - self.now).num_seconds()).unwrap_or(0)
            }
        };
        Some(Duration::from_secs(seconds.min(MAX_RETRY_AFTER_S)))
    }

    fn error_code(&self, tree: &Tree) -> Option<String> {
        let code = self.declaration.token_fields.error.iter().find_map(|path| match tree.at(path)? {
            // 0 is how some say that there is no error.
            Tree::Number(number) if number.as_str() == "0" => None,
            other => other.text(),
        })?;
        let code = self.scrubber.clean(code);
        (!code.is_empty()).then_some(code)
    }

    /// What the provider says of an error. A reply of success that cannot be read is never quoted.
    fn said(&self, reply: &Reply, tree: Option<&Tree>) -> String {
        match tree {
            Some(tree) => {
                let said = first(tree, &self.declaration.token_fields.error_description);
                said.map(|text| self.scrubber.clean(text)).unwrap_or_default()
            }
            None if reply.status < 400 => String::new(),
            None => {
                let text = String::from_utf8_lossy(reply.body.as_slice());
                let page = text.trim_start().starts_with('<') || reply.media_type() == "text/html";
                if page {
                    format!("an HTML page with status {}", reply.status)
                } else {
                    self.scrubber.clean(&text)
                }
            }
        }
    }

    fn meaning(&self, code: &str) -> Option<Meaning> {
        match self.declaration.error_codes.get(code) {
            Some(CodeMeaning::Refused) => return Some(Meaning::Refused),
            Some(CodeMeaning::Misconfigured) => return Some(Meaning::Misconfigured(CORRECT_APP)),
            Some(CodeMeaning::TryAgain) => return Some(Meaning::Unclear(Unclear::Unavailable)),
            None => {}
        }
        Some(match code {
            // RFC 6749, and the codes of OpenID Connect for "ask the person again".
            "invalid_grant" | "interaction_required" | "login_required" | "consent_required" => {
                Meaning::Refused
            }
            "invalid_client" => {
                Meaning::Misconfigured("correct or renew the client id and the client secret")
            }
            "unauthorized_client" | "access_denied" => Meaning::Misconfigured(CORRECT_APP),
            "redirect_uri_mismatch" => {
                Meaning::Misconfigured("register this server's redirect URI with the provider's application")
            }
            "invalid_scope" => Meaning::Misconfigured("allow the scopes that the connector asks for"),
            "invalid_request" | "unsupported_grant_type" | "unsupported_response_type" => {
                Meaning::Misconfigured(
                    "compare `auth` of the connector's manifest with the provider's documentation",
                )
            }
            "temporarily_unavailable" | "server_error" => Meaning::Unclear(Unclear::Unavailable),
            "slow_down" => Meaning::Unclear(Unclear::Throttled),
            _ => return None,
        })
    }
}

const CORRECT_APP: &str =
    "compare the application's settings at the provider with the connector's documentation";

enum Meaning {
    Refused,
    Misconfigured(&'static str),
    Unclear(Unclear),
}

fn first<'a>(tree: &'a Tree, paths: &Paths) -> Option<&'a str> {
    paths.iter().find_map(|path| tree.at(path)?.text())
}

/// A token is visible ASCII; anything else could become a second header of a request.
fn token(text: &str) -> Option<SecretString> {
    let plain = text.len() <= MAX_TOKEN_BYTES && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    (plain && !text.trim().is_empty()).then(|| SecretString::from(text))
}

fn token_type(text: Option<&str>) -> String {
    match text {
        Some(text) if text.eq_ignore_ascii_case("bearer") => "Bearer".to_owned(),
        Some(text)
            if text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') =>
        {
            text.to_owned()
        }
        _ => "Bearer".to_owned(),
    }
}

fn seconds(text: &str) -> Option<Duration> {
    // Some send 3599.0. Truncation is meant, and what is no number of this size says nothing.
    let seconds = text.trim().parse::<f64>().ok()? as i64;
    lifetime(seconds)
}

fn lifetime(seconds: i64) -> Option<Duration> {
    let seconds = (1..=MAX_LIFETIME_S).contains(&seconds).then_some(seconds)?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}
