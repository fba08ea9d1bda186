//! What the provider's answers mean to the engine, which knows for each reason what to do.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use superfasttt_connector::{ConnectorError, Reason};

/// An answer that is not the profile.
pub(crate) fn refused(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> ConnectorError {
    let error = match status {
        // The engine refreshes once and comes again: whether the grant is over is the token endpoint's to say.
        StatusCode::UNAUTHORIZED => {
            ConnectorError::new(Reason::CredentialExpired, "the provider does not take the access token")
        }
        StatusCode::FORBIDDEN if says(headers, "insufficient_scope") => ConnectorError::new(
            Reason::ScopeMissing,
            "the grant does not open the profile: connect again and agree to `openid` and `profile`",
        ),
        StatusCode::FORBIDDEN => ConnectorError::new(
            Reason::AccessDenied,
            "the provider does not let this account's profile be read: its administrator must allow it",
        ),
        StatusCode::TOO_MANY_REQUESTS => {
            ConnectorError::new(Reason::RateLimited, "the provider asks to wait")
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => ConnectorError::new(
            Reason::SettingsInvalid,
            "there is no userinfo endpoint at /me: set `issuer` to the provider of samples/oidc-provider",
        )
        .with_metadata("field", "issuer"),
        status if status.is_redirection() => unreadable("it is a redirect, which a token is not sent after"),
        status => {
            let message = format!("the provider answered {}; it is tried again", status.as_u16());
            ConnectorError::new(Reason::SourceUnavailable, message)
        }
    };
    match retry_after(headers, now) {
        Some(wait) => error.with_retry_after(wait),
        None => error,
    }
}

/// An answer that cannot be read as a profile.
pub(crate) fn unreadable(why: &str) -> ConnectorError {
    let message = format!("the provider's answer cannot be used: {why}; it is tried again");
    ConnectorError::new(Reason::SourceUnavailable, message).with_code("oauth-sample.unreadable")
}

fn says(headers: &HeaderMap, error: &str) -> bool {
    let challenge = headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    challenge.is_some_and(|challenge| challenge.contains(error))
}

/// `Retry-After`, in either of its forms.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
            refused(StatusCode::TOO_MANY_REQUESTS, &headers, now).retry_after
        };
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
    }
}
