//! What a successful call brings.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;

/// The tokens of a reply. `Debug` shows no token.
#[derive(Debug)]
pub struct Tokens {
    /// The access token.
    pub access: SecretString,
    /// The refresh token. `None` in the reply to a refresh: the one that was used stays good, keep it. `Some`: it
    /// replaces that one, and has to be stored before the access token is used.
    pub refresh: Option<SecretString>,
    /// How long the access token is good, counted from when the call began. `None`: the provider did not say, so use
    /// it until it is refused.
    pub expires_in: Option<Duration>,
    /// How long the refresh token is good. `None`: the provider did not say.
    pub refresh_expires_in: Option<Duration>,
    /// How the access token is presented, such as `Bearer`.
    pub token_type: String,
    /// The scopes that were granted. `None`: the provider did not say, which by the standard means those asked for.
    pub granted: Option<Vec<String>>,
    /// Scopes that were asked for and not granted.
    pub missing: Vec<String>,
    /// The values that the manifest declares as `extras`, as far as the reply has them.
    pub extras: BTreeMap<String, String>,
}
