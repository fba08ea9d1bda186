//! The answer of `test_connection`, built check by check.

use superfasttt_proto::connector::v1::{AccountIdentity, Check, TestConnectionResponse, check::Outcome};

/// Named checks in the order in which a person should read them.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    response: TestConnectionResponse,
}

impl Checks {
    /// No check yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// It is as it should be. `name` is a stable snake_case name such as "root_readable".
    #[must_use]
    pub fn passed(self, name: &str, message: impl Into<String>) -> Self {
        self.add(name, Outcome::Passed, message.into(), String::new())
    }

    /// It must be mended, in the way that `fix` tells, before a sync can work.
    #[must_use]
    pub fn failed(self, name: &str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        self.add(name, Outcome::Failed, message.into(), fix.into())
    }

    /// A sync works, but not as well as it could.
    #[must_use]
    pub fn warning(self, name: &str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        self.add(name, Outcome::Warning, message.into(), fix.into())
    }

    /// It was not tried, because an earlier one failed.
    #[must_use]
    pub fn skipped(self, name: &str, message: impl Into<String>) -> Self {
        self.add(name, Outcome::Skipped, message.into(), String::new())
    }

    /// Says whose account the connection reads.
    #[must_use]
    pub fn account(mut self, account: AccountIdentity) -> Self {
        self.response.account = Some(account);
        self
    }

    pub(crate) fn into_response(self) -> TestConnectionResponse {
        self.response
    }

    fn add(mut self, name: &str, outcome: Outcome, message: String, fix: String) -> Self {
        self.response.checks.push(Check { name: name.to_owned(), outcome: outcome.into(), message, fix });
        self
    }
}
