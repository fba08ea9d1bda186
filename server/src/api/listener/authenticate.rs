//! The bearer token of the control listener: compared in constant time, never logged, asked of every request but the
//! probes, which standard tools send without one.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::refusal::Refusal;

/// Middleware: without a token it lets everything through, with one only who shows it, and the probes.
pub(super) async fn authenticate(
    State(token): State<Option<Arc<SecretString>>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(token) = token else { return next.run(request).await };
    if is_probe(request.uri().path()) {
        return next.run(request).await;
    }
    match check(&token, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.answer(request.headers()),
    }
}

/// Health says no more than "serving" or "not serving". Reflection is not among the probes.
fn is_probe(path: &str) -> bool {
    path == "/healthz" || path.starts_with("/grpc.health.v1.Health/")
}

fn check(token: &SecretString, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::TokenRequired)?;
    if values.next().is_some() {
        return Err(Refusal::TokenWrong);
    }
    let shown = bearer(value.as_bytes()).ok_or(Refusal::TokenRequired)?;
    // The time tells the token's length, which is no secret, and nothing of its characters.
    if bool::from(shown.ct_eq(token.expose_secret().as_bytes())) { Ok(()) } else { Err(Refusal::TokenWrong) }
}

/// The token of `Bearer TOKEN`; the scheme's case does not matter.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_whole_token_opens() {
        let token = SecretString::from("s3cret");
        let check = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            check(&token, &headers)
        };
        assert_eq!(check(&["Bearer s3cret"]), Ok(()));
        assert_eq!(check(&["bearer s3cret"]), Ok(()));
        for nothing in [&[][..], &[""], &["s3cret"], &["Basic s3cret"], &["Bearer"], &["Bearers3cret"]] {
            assert_eq!(check(nothing), Err(Refusal::TokenRequired), "{nothing:?}");
        }
        for wrong in ["Bearer ", "Bearer s3cre", "Bearer s3cret ", "Bearer S3CRET", "Bearer  s3cret"] {
            assert_eq!(check(&[wrong]), Err(Refusal::TokenWrong), "{wrong:?}");
        }
        assert_eq!(check(&["Bearer s3cret", "Bearer s3cret"]), Err(Refusal::TokenWrong));
    }

    #[test]
    fn probes_are_open_and_nothing_beside_them() {
        assert!(is_probe("/healthz"));
        assert!(is_probe("/grpc.health.v1.Health/Check"));
        assert!(!is_probe("/healthz/"));
        assert!(!is_probe("/grpc.health.v1.Healthy/Check"));
        assert!(!is_probe("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"));
    }
}
