//! What the SDK asks of this connector.

use superfasttt_connector::{
    Checks, Connector, ConnectorError, DocumentEnvelope, ItemKey, Pull, Reason, Sink, TestConnection,
};

use crate::profile::Profile;
use crate::settings::Settings;
use crate::userinfo::UserInfo;

/// The connector of profiles.
#[derive(Debug)]
pub struct OAuthSample {
    userinfo: UserInfo,
}

impl OAuthSample {
    /// One that asks providers over HTTP.
    pub fn new() -> Self {
        Self { userinfo: UserInfo::new() }
    }
}

impl Default for OAuthSample {
    fn default() -> Self {
        Self::new()
    }
}

impl Connector for OAuthSample {
    type Settings = Settings;
    type Raw = Profile;
    const RAW_SCHEMA: &'static str = "userinfo/1";

    fn manifest(&self) -> &str {
        include_str!("../manifest.json")
    }

    async fn pull(&self, pull: Pull<Settings>, sink: &Sink<Self>) -> Result<(), ConnectorError> {
        let url = pull.settings.userinfo_url()?;
        let profile = self.userinfo.profile(url, pull.credential.as_ref()).await?;
        sink.document(profile.into_item()).await?;
        // An account has one profile. Each run is a listing from nothing, so this cursor is never read.
        sink.complete_listing("listed")
    }

    fn normalize(
        &self,
        _key: &ItemKey,
        profile: Profile,
        _settings: &Settings,
    ) -> Result<DocumentEnvelope, ConnectorError> {
        Ok(profile.envelope())
    }

    async fn test_connection(&self, request: TestConnection<Settings>) -> Result<Checks, ConnectorError> {
        let url = match request.settings.userinfo_url() {
            Ok(url) => url,
            Err(error) => {
                let fix = "set `issuer` to where samples/oidc-provider listens";
                return Ok(Checks::new()
                    .failed("settings_valid", error.message, fix)
                    .skipped("account_readable", "the settings have to be mended first"));
            }
        };
        let checks = Checks::new().passed("settings_valid", "the settings can be read");
        match self.userinfo.profile(url, request.credential.as_ref()).await {
            Ok(profile) => {
                let message = format!("the account of {} can be read", profile.shown_name());
                Ok(checks.passed("account_readable", message).account(profile.identity()))
            }
            // The engine mends this one itself, and asks again.
            Err(error) if error.reason == Reason::CredentialExpired => Err(error),
            Err(error) => {
                let fix = match error.reason {
                    Reason::CredentialRevoked | Reason::ScopeMissing => "connect the account again",
                    Reason::AccessDenied => "ask the provider's administrator",
                    Reason::SettingsInvalid => "correct the setting `issuer`",
                    _ => "see that the provider answers, and try again",
                };
                Ok(checks.failed("account_readable", error.message, fix))
            }
        }
    }
}
