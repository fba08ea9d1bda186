//! OAuth 2.0 as a client: where a person is sent to agree, how a code, a refresh token or the application itself is
//! exchanged for an access token, and how a grant is withdrawn. No provider is coded in here: what is different
//! about each is a [`Declaration`], which is read from the connector's manifest, and all settings of a connection
//! can do is to fill its URL templates. Nothing is stored here, and nothing is tried a second time.
//!
//! The way of a call: [`Declaration`] and settings make a [`Provider`]; with an [`App`] and an [`Http`] it is a
//! [`Client`]; each call of that ends in [`Tokens`] or in a [`Failure`], which says whether the grant is over
//! ([`Refused`]), an administrator must act ([`Misconfigured`]), or nobody knows ([`Ambiguous`]).
//!
//! **A new difference between providers** is a field of [`Declaration`] with the standard behaviour as its default,
//! its description in `server/schema/manifest.schema.json`, and a test in `tests/provider_table` named after the
//! provider that needs it.
//!
//! **Of the `oauth2` crate** the authorization URL, `state` and the proof key are used. Its token calls are not:
//! they know forms by POST only, replies of the standard's shape only, and keep bodies in memory that is not cleared.
//!
//! **What is cleared** once it is used: the bodies, headers and values of calls and replies in our own memory. Not
//! cleared are the buffers of the TLS and HTTP libraries, JSON texts with escapes while they are read, addresses that
//! hold secrets because a provider wants them there, and a signing key inside `ring`.

mod app;
mod authorize;
mod body;
mod client;
mod declaration;
mod egress;
mod failure;
mod hosts;
mod http;
mod params;
mod paths;
mod problems;
mod provider;
mod reply;
mod revoke;
mod scopes;
mod scrub;
mod signing;
mod template;
mod template_error;
mod tls;
mod tokens;
mod tree;
mod ways;

pub use app::{App, AppSecret};
pub use authorize::Authorization;
pub use client::Client;
pub use declaration::Declaration;
pub use egress::Egress;
pub use failure::{Ambiguous, Failure, Misconfigured, Refused, Unclear};
pub use http::{Http, HttpError, HttpOptions, Lookup};
pub use paths::Paths;
pub use problems::DeclarationProblem;
pub use provider::{Provider, ProviderError, UrlRules};
pub use revoke::{Grant, Revocation};
pub use scrub::clean;
pub use signing::{SigningKey, SigningKeyError};
pub use template::Template;
pub use template_error::{FillError, TemplateError};
pub use tokens::Tokens;
pub use ways::{
    ClientAuth, CodeMeaning, Flow, RevocationAuth, RevocationMethod, RevocationRules, RevocationToken,
    TokenFields, TokenMethod, TokenRequest,
};
