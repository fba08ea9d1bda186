//! What the source's answers mean to the engine, which knows for each reason what to do.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use superfasttt_proto::connector::v1::Reason;

/// The reason of an answer of 400 and above. `is_renewable`: what it was asked with is a token that the server renews.
pub(super) fn reason_of(status: StatusCode, told_to_wait: bool, is_renewable: bool) -> Reason {
    match status {
        StatusCode::UNAUTHORIZED if is_renewable => Reason::CredentialExpired,
        StatusCode::UNAUTHORIZED => Reason::CredentialRevoked,
        StatusCode::FORBIDDEN => Reason::AccessDenied,
        StatusCode::NOT_FOUND | StatusCode::GONE => Reason::NotFound,
        StatusCode::PAYLOAD_TOO_LARGE => Reason::ContentTooLarge,
        StatusCode::TOO_MANY_REQUESTS => Reason::RateLimited,
        StatusCode::SERVICE_UNAVAILABLE if told_to_wait => Reason::RateLimited,
        status if status.is_server_error() => Reason::SourceUnavailable,
        _ => Reason::Internal,
    }
}

/// `Retry-After`, in either of its forms.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
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
            retry_after(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770))
        };
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn each_status_has_its_reason() {
        for (status, reason) in [
            (401, Reason::CredentialRevoked),
            (403, Reason::AccessDenied),
            (404, Reason::NotFound),
            (410, Reason::NotFound),
            (413, Reason::ContentTooLarge),
            (422, Reason::Internal),
            (429, Reason::RateLimited),
            (500, Reason::SourceUnavailable),
            (503, Reason::SourceUnavailable),
        ] {
            assert_eq!(reason_of(StatusCode::from_u16(status).unwrap(), false, false), reason, "{status}");
        }
        assert_eq!(reason_of(StatusCode::UNAUTHORIZED, false, true), Reason::CredentialExpired);
        assert_eq!(reason_of(StatusCode::SERVICE_UNAVAILABLE, true, false), Reason::RateLimited);
    }
}
