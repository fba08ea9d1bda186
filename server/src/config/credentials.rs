//! Section `credentials`: what the values that people enter may refer to.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::problem::Checks;

/// What the values that people enter may refer to. Whoever may set a credential can have a connector send what it refers
/// to somewhere: so nothing is allowed until an operator names it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CredentialsConfig {
    /// Names of environment variables that `$ENV:NAME` may refer to; one that ends in `*` stands for all that begin so.
    pub allowed_env: Vec<String>,
    /// Folders whose files `$FILE:PATH` may refer to.
    pub allowed_files: Vec<PathBuf>,
}

impl CredentialsConfig {
    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        for name in &self.allowed_env {
            let stem = name.strip_suffix('*').unwrap_or(name);
            let is_name =
                !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            checks.require(is_name, "allowed_env", || {
                format!("{name:?} is no name of a variable; write for example \"ACME_API_KEY\" or \"CREDENTIAL_*\"")
            });
            let ours = "CONNECTORD_";
            checks.require(!stem.starts_with(ours) && !ours.starts_with(stem), "allowed_env", || {
                format!("{name:?} would open connectord's own settings; choose another beginning")
            });
        }
        for folder in &self.allowed_files {
            checks.require(folder.is_absolute(), "allowed_files", || {
                format!("{} is not absolute; write for example \"/run/secrets\"", folder.display())
            });
        }
    }
}
