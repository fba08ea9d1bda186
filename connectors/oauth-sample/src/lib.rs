//! The profile of an account as a document: the sample of a connector whose connections are OAuth grants.
//!
//! Everything about OAuth is in `manifest.json`: connectord sends people to the provider, keeps the grant and refreshes it.
//! What this program gets with each call is an access token that is good for that call, and nothing else. `userinfo` asks
//! the provider whose it is, `refusal` says what each of the provider's answers means to the engine, `profile` makes the
//! document.

mod connector;
mod profile;
mod refusal;
mod settings;
mod userinfo;

pub use connector::OAuthSample;
