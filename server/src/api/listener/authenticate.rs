//! Who calls and whether they may: the token that was shown, looked up once for each request, and the permission that the
//! rpc needs. The probes, which standard tools send without a token, are let through. What was done, and what was denied,
//! goes from here into the audit log, so that no service can forget it.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use tonic::{Code, Status};

use super::refusal::Refusal;
use crate::access::gate::Refused;
use crate::access::rpcs::{self, Audited, Rpc};
use crate::access::{Access, Audit, Caller};
use crate::store::audit::Actor;

/// Who is at the other end of the connection that a request came over.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Peer(pub(in crate::api) SocketAddr);

/// Middleware: lets through who may make this request, with a [`Caller`] among its extensions, and the probes.
pub(super) async fn authenticate(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    if is_probe(request.uri().path()) {
        return next.run(request).await;
    }
    let rpc = rpcs::at(request.uri().path());
    let action = action(rpc);
    let peer = request.extensions().get::<Peer>().copied();
    let caller = match identify(&access, request.headers(), peer).await {
        Ok(caller) => caller,
        Err((refusal, actor)) => {
            let (code, reason) = refusal.told();
            if refusal != Refusal::StoreFailed {
                access.audit().turned_away(actor, action, code_name(code), reason);
            }
            return refusal.answer(request.headers());
        }
    };
    let needs = rpc.map_or_else(|| rpcs::page_needs(request.uri().path()), |rpc| rpc.needs);
    if !caller.allows(needs) {
        let refusal = Refusal::PermissionMissing(needs);
        let (code, reason) = refusal.told();
        caller.tells(|detail| reason.clone_into(&mut detail.reason));
        access.audit().counted(&caller, action, code_name(code));
        return refusal.answer(request.headers());
    }
    // Whoever was let in by an API token has one in the store; the installation's own may begin as it likes.
    let shown = shown(request.headers()).ok().flatten().filter(|_| !caller.actor().token.is_empty());
    let standing = shown.and_then(|shown| access.standing(shown));
    if let Some(standing) = &standing {
        request.extensions_mut().insert(standing.clone());
    }
    request.extensions_mut().insert(caller.clone());
    let Some(rpc) = rpc else { return next.run(request).await };
    let mut given_up = GivenUp { audit: access.audit(), caller: &caller, rpc, answered: false };
    let response = next.run(request).await;
    given_up.answered = true;
    // An rpc that fails after it began to answer is a stream, which changes nothing.
    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
    let denied = !caller.noted().detail.reason.is_empty();
    match rpc.audited {
        Audited::Each if !denied => access.audit().called(&caller, &rpc.name, code_name(code)).await,
        Audited::No if !denied => {}
        Audited::No | Audited::Counted | Audited::Each => {
            access.audit().counted(&caller, &rpc.name, code_name(code));
        }
    }
    response
}

/// Takes down a request that was turned away before anybody asked who sent it.
pub(super) fn turned_away(audit: &Audit, request: &Request, refusal: Refusal) {
    let peer = request.extensions().get::<Peer>().copied();
    let (code, reason) = refusal.told();
    audit.turned_away(nobody(peer), action(rpcs::at(request.uri().path())), code_name(code), reason);
}

/// What the audit log calls a request. What is no rpc of ours may be anything, also a secret that was put into the wrong
/// place.
fn action(rpc: Option<&'static Rpc>) -> &'static str {
    rpc.map_or("unknown", |rpc| rpc.name.as_str())
}

/// Somebody at this address.
fn nobody(peer: Option<Peer>) -> Actor {
    let address = peer.map(|peer| peer.0.ip().to_canonical().to_string()).unwrap_or_default();
    Actor { address, ..Actor::default() }
}

/// Takes down a call whose caller left before the answer: what it asked for may have been done.
struct GivenUp<'a> {
    audit: &'a Audit,
    caller: &'a Caller,
    rpc: &'static Rpc,
    answered: bool,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if !self.answered && self.rpc.audited != Audited::No {
            self.audit.counted(self.caller, &self.rpc.name, code_name(Code::Cancelled));
        }
    }
}

/// Health says no more than "serving" or "not serving". Reflection is not among the probes.
fn is_probe(path: &str) -> bool {
    path == "/healthz" || path.starts_with("/grpc.health.v1.Health/")
}

/// Who sent a request, or why it is turned away and whom it came from.
async fn identify(
    access: &Access,
    headers: &HeaderMap,
    peer: Option<Peer>,
) -> Result<Caller, (Refusal, Actor)> {
    let shown = shown(headers).map_err(|refusal| (refusal, nobody(peer)))?;
    access.identify(shown, peer.map(|peer| peer.0.ip())).await.map_err(|refused| match refused {
        Refused::Required => (Refusal::TokenRequired, nobody(peer)),
        Refused::Wrong => (Refusal::TokenWrong, nobody(peer)),
        Refused::Expired(actor) => (Refusal::TokenExpired, actor),
        Refused::Revoked(actor) => (Refusal::TokenRevoked, actor),
        Refused::Store(error) => {
            tracing::error!(%error, "an API token could not be looked up");
            (Refusal::StoreFailed, nobody(peer))
        }
    })
}

/// The token that was shown; `None`: none was.
fn shown(headers: &HeaderMap) -> Result<Option<&[u8]>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::TokenWrong);
    }
    // What is no bearer token is for somebody else, such as a proxy on the way: as if it were not there.
    Ok(bearer(value.as_bytes()))
}

/// The token of `Bearer TOKEN`; the scheme's case does not matter.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// The name of a code, as the audit log has it and people know it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::{DateTime, TimeDelta};
    use secrecy::SecretString;

    use super::*;
    use crate::access::{Permission, gate};
    use crate::clock::MockClock;
    use crate::store::Store;
    use crate::store::api_tokens::NewApiToken;
    use crate::store::memory::MemoryStore;

    const GOOD: &str = "sfc_good";

    struct Gate {
        access: Access,
        store: Arc<dyn Store>,
        clock: MockClock,
    }

    /// A server with this token of its own, and an API token that is good for a minute.
    async fn gate(token: Option<&str>, require_token: bool) -> Gate {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(false));
        let clock = MockClock::new(DateTime::UNIX_EPOCH);
        let new = NewApiToken {
            id: "t1".to_owned(),
            name: "deploy".to_owned(),
            hash: gate::hash(GOOD.as_bytes()),
            organization: "acme".to_owned(),
            permissions: vec![Permission::Read],
            expires_at: Some(DateTime::UNIX_EPOCH + TimeDelta::minutes(1)),
        };
        store.create_api_token(new, DateTime::UNIX_EPOCH).await.unwrap();
        let audit = Audit::new(store.clone(), Arc::new(clock.clone()));
        let token = token.map(SecretString::from);
        let access = Access::new(store.clone(), Arc::new(clock.clone()), token, require_token, audit);
        Gate { access, store, clock }
    }

    /// Who is let in with these headers: its name.
    async fn who(gate: &Gate, values: &[&'static str]) -> Result<String, Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, http::HeaderValue::from_static(value));
        }
        let caller = identify(&gate.access, &headers, None).await.map_err(|(refusal, _)| refusal)?;
        Ok(format!("{} of {:?}", caller.actor().name, caller.organization()))
    }

    #[tokio::test]
    async fn only_the_whole_token_opens() {
        let gate = gate(Some("s3cret"), false).await;
        let own = Ok("server.token of \"\"".to_owned());
        assert_eq!(who(&gate, &["Bearer s3cret"]).await, own);
        assert_eq!(who(&gate, &["bearer s3cret"]).await, own);
        for nothing in [&[][..], &[""], &["s3cret"], &["Basic s3cret"], &["Bearer"], &["Bearers3cret"]] {
            assert_eq!(who(&gate, nothing).await, Err(Refusal::TokenRequired), "{nothing:?}");
        }
        for wrong in
            ["Bearer ", "Bearer s3cre", "Bearer s3cret ", "Bearer S3CRET", "Bearer  s3cret", "Bearer sfc_x"]
        {
            assert_eq!(who(&gate, &[wrong]).await, Err(Refusal::TokenWrong), "{wrong:?}");
        }
        assert_eq!(who(&gate, &["Bearer s3cret", "Bearer s3cret"]).await, Err(Refusal::TokenWrong));
        assert_eq!(who(&gate, &["Bearer sfc_good"]).await, Ok("deploy of \"acme\"".to_owned()));
    }

    #[tokio::test]
    async fn without_a_token_of_its_own_everybody_may_come_in_unless_one_is_required() {
        let open = gate(None, false).await;
        assert_eq!(who(&open, &[]).await, Ok("anyone of \"\"".to_owned()));
        assert_eq!(who(&open, &["Basic x"]).await, Ok("anyone of \"\"".to_owned()));
        assert_eq!(who(&open, &["Bearer sfc_good"]).await, Ok("deploy of \"acme\"".to_owned()), "it counts");
        assert_eq!(who(&open, &["Bearer sfc_other"]).await, Err(Refusal::TokenWrong));
        let closed = gate(None, true).await;
        assert_eq!(who(&closed, &[]).await, Err(Refusal::TokenRequired));
        assert_eq!(who(&closed, &["Bearer sfc_good"]).await, Ok("deploy of \"acme\"".to_owned()));
    }

    #[tokio::test]
    async fn a_token_opens_until_it_expires_or_is_revoked() {
        let gate = gate(None, false).await;
        gate.clock.advance(TimeDelta::seconds(59));
        assert!(who(&gate, &["Bearer sfc_good"]).await.is_ok());
        gate.clock.advance(TimeDelta::seconds(1));
        assert_eq!(who(&gate, &["Bearer sfc_good"]).await, Err(Refusal::TokenExpired));
        gate.store.revoke_api_token("t1", DateTime::UNIX_EPOCH).await.unwrap();
        assert_eq!(
            who(&gate, &["Bearer sfc_good"]).await,
            Err(Refusal::TokenRevoked),
            "also where all may come in"
        );
        gate.store.close().await;
        assert_eq!(who(&gate, &["Bearer sfc_good"]).await, Err(Refusal::StoreFailed));
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
