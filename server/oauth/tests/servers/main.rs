//! Against servers that we did not write: `oidc-provider`, a certified OpenID provider, and `oauth2-mock-server`.
//! They need Node; where there is none these tests say so and prove nothing.
#![expect(clippy::unwrap_used, reason = "a panic is the failure report, in helpers too")]

mod client_credentials;
mod node;
mod oidc_provider;
#[path = "../support/mod.rs"]
mod support;
