//! The environment variables that configure connectord, taken once at start.

use std::ffi::OsString;

use super::layers::ENV_PREFIX;

/// The variables that hold secrets.
const SECRETS: [&str; 3] = ["CONNECTORD_SERVER__TOKEN", "CONNECTORD_DATABASE__URL", "CONNECTORD_VAULT__KEYS"];

/// The variables `CONNECTORD_…` as they were at start. Shows no values.
#[derive(Clone, Default)]
pub struct Environment {
    variables: Vec<(OsString, OsString)>,
}

impl Environment {
    /// Takes the variables out of the process's environment: what holds a secret is removed from there, so that no
    /// program that this one starts and no later look at the environment finds it.
    ///
    /// Call it first thing in `main`, before any other thread exists.
    #[expect(
        unsafe_code,
        reason = "removing a variable is unsafe only beside other threads; the callers have none"
    )]
    pub fn take() -> Self {
        let environment = Self::of(std::env::vars_os());
        for name in SECRETS {
            // SAFETY: called before any other thread exists, as the documentation asks.
            unsafe { std::env::remove_var(name) };
        }
        environment
    }

    /// The variables among `variables` that are ours.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let ours = |(name, _): &(OsString, OsString)| name.to_string_lossy().starts_with(ENV_PREFIX);
        Self { variables: variables.into_iter().filter(ours).collect() }
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (OsString, OsString)> {
        self.variables.clone().into_iter()
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.variables.iter().map(|(name, _)| name)).finish()
    }
}
