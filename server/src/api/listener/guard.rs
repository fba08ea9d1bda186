//! The guard against web pages. A browser on this machine can reach a loopback listener, and a page may make its own
//! name resolve to 127.0.0.1 ("DNS rebinding"), so neither the address nor the browser's same-origin rule protects an
//! open listener. What a page cannot choose is the authority and the `Origin` that the browser sends: on loopback the
//! authority has to be a loopback name, and anywhere an `Origin` has to be the server's own.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};

use super::authenticate;
use super::authority::Authority;
use super::refusal::Refusal;
use crate::access::Audit;

/// What the guard has to know of the listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    /// Whether only this machine can reach it.
    pub(super) is_loopback: bool,
}

/// Middleware: answers a request that fails [`Guard::check`] with the refusal, and takes it down.
pub(super) async fn guard(
    State((guard, audit)): State<(Guard, Audit)>,
    request: Request,
    next: Next,
) -> Response {
    match guard.check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            authenticate::turned_away(&audit, &request, refusal);
            refusal.answer(request.headers())
        }
    }
}

impl Guard {
    fn check(self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        // Every authority that was sent is held to the rule, not the one that some later code would look at: HTTP/2
        // has `:authority` and may have `Host` too, HTTP/1.1 may have both in its absolute form.
        let target = uri.authority().map(|authority| Authority::parse(authority.as_str().as_bytes()));
        let hosts = headers.get_all(HOST).iter().map(|host| Authority::parse(host.as_bytes()));
        let authorities: Option<Vec<Authority>> = target.into_iter().chain(hosts).collect();
        if self.is_loopback {
            let authorities = authorities.as_deref().unwrap_or_default();
            if authorities.is_empty() || !authorities.iter().all(Authority::is_loopback) {
                return Err(Refusal::HostRefused);
            }
        }

        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        let Some((origin, default_port)) = parse_origin(origin.as_bytes()) else {
            return Err(Refusal::OriginRefused);
        };
        let authorities = authorities.unwrap_or_default();
        let is_own = origins.next().is_none()
            && !authorities.is_empty()
            && authorities.iter().all(|authority| authority.is_same(&origin, default_port));
        if is_own { Ok(()) } else { Err(Refusal::OriginRefused) }
    }
}

/// The authority of an `Origin` and the port that its scheme implies. `null` and everything that is not http or https
/// has none.
fn parse_origin(origin: &[u8]) -> Option<(Authority, u16)> {
    let (authority, default_port) = if let Some(authority) = origin.strip_prefix(b"http://") {
        (authority, 80)
    } else {
        (origin.strip_prefix(b"https://")?, 443)
    };
    Some((Authority::parse(authority)?, default_port))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const LOOPBACK: Guard = Guard { is_loopback: true };
    const OPEN: Guard = Guard { is_loopback: false };

    fn check(guard: Guard, uri: &str, headers: &[(HeaderName, &str)]) -> Result<(), Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        guard.check(&uri.parse().unwrap(), &map)
    }

    #[test]
    fn on_loopback_every_authority_must_be_a_loopback_name() {
        let refused = Err(Refusal::HostRefused);
        assert_eq!(check(LOOPBACK, "/x", &[(HOST, "localhost:7070")]), Ok(()));
        assert_eq!(check(LOOPBACK, "http://127.0.0.1:7070/x", &[]), Ok(()));
        assert_eq!(check(LOOPBACK, "http://[::1]:7070/x", &[(HOST, "[::1]:7070")]), Ok(()));
        assert_eq!(check(LOOPBACK, "/x", &[]), refused);
        assert_eq!(check(LOOPBACK, "/x", &[(HOST, "")]), refused);
        assert_eq!(check(LOOPBACK, "/x", &[(HOST, "evil.com:7070")]), refused);
        assert_eq!(check(LOOPBACK, "http://evil.com/x", &[]), refused);
        assert_eq!(check(LOOPBACK, "http://evil.com/x", &[(HOST, "localhost")]), refused);
        assert_eq!(check(LOOPBACK, "http://localhost/x", &[(HOST, "evil.com")]), refused);
        assert_eq!(check(LOOPBACK, "http://localhost@evil.com/x", &[]), refused);
        assert_eq!(check(LOOPBACK, "http://evil.com@localhost/x", &[]), refused);
        assert_eq!(check(LOOPBACK, "/x", &[(HOST, "localhost"), (HOST, "evil.com")]), refused);
        assert_eq!(check(LOOPBACK, "/x", &[(HOST, "localhost"), (HOST, "é")]), refused);
    }

    #[test]
    fn an_origin_must_be_the_servers_own() {
        for (host, origin, is_own) in [
            ("localhost:7070", "http://localhost:7070", true),
            ("LocalHost:7070", "http://localhost:7070", true),
            ("localhost:443", "https://localhost", true),
            ("localhost", "https://localhost", true),
            ("[::1]:7070", "http://[::1]:7070", true),
            ("localhost:7070", "http://localhost:3000", false),
            ("localhost:7070", "http://localhost", false),
            ("localhost:7070", "http://127.0.0.1:7070", false),
            ("localhost:7070", "http://evil.com", false),
            ("localhost:7070", "http://localhost:7070.evil.com", false),
            ("localhost:7070", "http://localhost:7070@evil.com", false),
            ("localhost:7070", "http://evil.com#localhost:7070", false),
            ("localhost:7070", "http://localhost:7070/", false),
            ("localhost:7070", "localhost:7070", false),
            ("localhost:7070", "HTTP://localhost:7070", false),
            ("localhost:7070", "chrome-extension://localhost:7070", false),
            ("localhost:7070", "file://", false),
            ("localhost:7070", "null", false),
            ("localhost:7070", "", false),
        ] {
            let expected = if is_own { Ok(()) } else { Err(Refusal::OriginRefused) };
            let headers = [(HOST, host), (ORIGIN, origin)];
            assert_eq!(check(LOOPBACK, "/x", &headers), expected, "{host} {origin}");
            assert_eq!(check(OPEN, "/x", &headers), expected, "{host} {origin}");
        }
        let twice = [(HOST, "a.fr"), (ORIGIN, "http://a.fr"), (ORIGIN, "http://evil.com")];
        assert_eq!(check(OPEN, "/x", &twice), Err(Refusal::OriginRefused));
    }

    #[test]
    fn an_open_listener_takes_any_host_but_no_foreign_origin() {
        assert_eq!(check(OPEN, "/x", &[]), Ok(()));
        assert_eq!(check(OPEN, "/x", &[(HOST, "connectors.acme.fr")]), Ok(()));
        let own = [(HOST, "connectors.acme.fr"), (ORIGIN, "https://connectors.acme.fr")];
        assert_eq!(check(OPEN, "/x", &own), Ok(()));
        let foreign = [(HOST, "connectors.acme.fr"), (ORIGIN, "https://evil.com")];
        assert_eq!(check(OPEN, "/x", &foreign), Err(Refusal::OriginRefused));
        assert_eq!(check(OPEN, "/x", &[(ORIGIN, "https://evil.com")]), Err(Refusal::OriginRefused));
        let malformed = [(HOST, "a@b"), (ORIGIN, "https://evil.com")];
        assert_eq!(check(OPEN, "/x", &malformed), Err(Refusal::OriginRefused));
    }
}
