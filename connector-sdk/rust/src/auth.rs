//! The token check on every call: this service, health and reflection alike.

use std::sync::Arc;

use subtle::ConstantTimeEq;
use tonic::{Request, Status, service::Interceptor};

/// Lets a call pass that carries `authorization: Bearer <token>`.
#[derive(Clone)]
pub(crate) struct BearerCheck {
    expected: Arc<str>,
}

impl BearerCheck {
    pub(crate) fn new(token: &str) -> Self {
        Self { expected: format!("Bearer {token}").into() }
    }
}

impl Interceptor for BearerCheck {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let given = request.metadata().get("authorization").map_or(&b""[..], |value| value.as_bytes());
        // Compared in constant time, so that timing tells nothing of how much of a guess was right.
        if bool::from(given.ct_eq(self.expected.as_bytes())) {
            return Ok(request);
        }
        Err(Status::unauthenticated(
            "the call carries no valid token: only the server that started this connector may call it, \
             with `authorization: Bearer` and the value of CONNECTOR_TOKEN",
        ))
    }
}
