//! An account's claims, and the document that they make.

use superfasttt_connector::{AccountIdentity, DocumentEnvelope, Item, Metadata, Permissions, Timestamp};

/// What the provider says of an account (OpenID Connect Core 1.0, section 5.1). Each claim but the first may be absent:
/// the person, or the provider, did not share it.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Profile {
    /// The provider's stable identifier of the account.
    pub(crate) sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preferred_username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zoneinfo: Option<String>,
    /// Seconds since 1970. Some providers write it as a number with a fraction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated_at: Option<f64>,
}

impl Profile {
    /// The item of this profile. Its version is when it changed, where the provider says so.
    pub(crate) fn into_item(self) -> Item<Self> {
        let version = self.updated_at.map(|at| at.to_string()).unwrap_or_default();
        Item::new(self.sub.clone(), self).with_version(version)
    }

    /// Whose account it is.
    pub(crate) fn identity(&self) -> AccountIdentity {
        AccountIdentity {
            id: self.sub.clone(),
            display_name: self.shown_name().to_owned(),
            email: self.email.clone().unwrap_or_default(),
        }
    }

    /// The name that people know it by.
    pub(crate) fn shown_name(&self) -> &str {
        let names = [&self.name, &self.preferred_username, &self.email];
        names.into_iter().flatten().find(|name| !name.trim().is_empty()).unwrap_or(&self.sub)
    }

    /// The envelope; the SDK adds id and version.
    pub(crate) fn envelope(self) -> DocumentEnvelope {
        let said = |claim: &Option<String>| claim.clone().unwrap_or_default();
        let lines = [
            ("Name", said(&self.name)),
            ("User name", said(&self.preferred_username)),
            ("E-mail", said(&self.email)),
            ("Language", said(&self.locale)),
            ("Time zone", said(&self.zoneinfo)),
        ];
        let lines = lines.iter().filter(|(_, value)| !value.is_empty());
        let content: Vec<String> = lines.map(|(label, value)| format!("{label}: {value}")).collect();
        let verified = self.email.clone().filter(|_| self.email_verified == Some(true));
        let metadata = Metadata::new()
            .with("owner", self.shown_name())
            .with_some("email", self.email.clone())
            .with_some("email_verified", self.email_verified)
            .with_some("locale", self.locale.clone());
        DocumentEnvelope {
            title: self.shown_name().to_owned(),
            content: Some(content.join("\n")),
            // A provider writes what people enter: only what a browser may be sent to is kept.
            url: self.profile.clone().filter(|url| is_web(url)).unwrap_or_default(),
            metadata: metadata.into(),
            // Of an address that nobody has verified it is not known whose it is.
            permissions: Some(Permissions {
                visibility: "private".to_owned(),
                allow: verified.map(|email| format!("user:{email}")).into_iter().collect(),
                deny: Vec::new(),
            }),
            media_type: "text/plain".to_owned(),
            updated_at: self.updated_at.and_then(timestamp),
            ..DocumentEnvelope::default()
        }
    }
}

fn is_web(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

/// `None` for what is no time that a calendar has.
fn timestamp(seconds: f64) -> Option<Timestamp> {
    const YEAR_10000: f64 = 253_402_300_800.0;
    // In range, so nothing is cut off but the fraction.
    (0.0..YEAR_10000).contains(&seconds).then_some(Timestamp { seconds: seconds as i64, nanos: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(claims: serde_json::Value) -> DocumentEnvelope {
        serde_json::from_value::<Profile>(claims).unwrap().envelope()
    }

    #[test]
    fn what_was_not_shared_is_left_out() {
        let envelope = envelope(serde_json::json!({"sub": "u-1"}));
        assert_eq!((envelope.title.as_str(), envelope.content.as_deref()), ("u-1", Some("")));
        assert!(envelope.url.is_empty() && envelope.updated_at.is_none());
        assert!(envelope.permissions.unwrap().allow.is_empty());
    }

    #[test]
    fn only_a_verified_address_opens_the_document_to_somebody() {
        let allow = |verified| {
            let claims =
                serde_json::json!({"sub": "u-1", "email": "a@b.example", "email_verified": verified});
            envelope(claims).permissions.unwrap().allow
        };
        assert_eq!(allow(true), ["user:a@b.example"]);
        assert!(allow(false).is_empty());
    }

    #[test]
    fn claims_that_make_no_link_and_no_time_make_none() {
        let envelope = envelope(
            serde_json::json!({"sub": "u-1", "profile": "javascript:alert(1)", "updated_at": 1e300}),
        );
        assert!(envelope.url.is_empty() && envelope.updated_at.is_none());
    }
}
