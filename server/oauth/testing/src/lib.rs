//! An OAuth provider for tests, on the loopback. What is queued with [`FakeProvider::answer`] is answered first, in
//! order, at whatever path is asked for; without it the provider has ways of its own ([`Rules`]): it agrees at once at
//! `/authorize`, and at `/token` it checks code and proof key, accepts each refresh token once, and ends the whole
//! grant when one comes again; `/revoke` is RFC 7009. All that it was asked is kept for the test to look at.

mod answer;
mod asked;
mod grants;
mod node;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;

pub use answer::{Answer, Gate};
pub use asked::Asked;
pub use grants::{Counts, Rules};
pub use node::{NodeServer, chromium, node};

use grants::Grants;

/// A provider that serves until it is dropped.
pub struct FakeProvider {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    answers: VecDeque<Answer>,
    asked: Vec<Asked>,
    grants: Grants,
}

impl FakeProvider {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        Self::with_rules(Rules::default()).await
    }

    /// Starts one with these ways of its own.
    ///
    /// # Panics
    ///
    /// If the loopback has no free port.
    pub async fn with_rules(rules: Rules) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on the loopback");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Mutex::new(Shared { grants: Grants::new(rules), ..Shared::default() }));
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            // It ends with the runtime or when it is dropped.
            let _ = axum::serve(listener, router).await;
        });
        Self { address, shared, server }
    }

    /// The address of a path, such as `/token`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Queues an answer.
    pub fn answer(&self, answer: Answer) -> &Self {
        lock(&self.shared).answers.push_back(answer);
        self
    }

    /// All that it was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared).asked.clone()
    }

    /// What it was asked last.
    ///
    /// # Panics
    ///
    /// If it was asked nothing.
    pub fn last(&self) -> Asked {
        lock(&self.shared).asked.last().cloned().expect("the provider was asked something")
    }

    /// Changes its ways; grants stay.
    pub fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(lock(&self.shared).grants.rules_mut());
    }

    /// What happened to its grants so far.
    pub fn counts(&self) -> Counts {
        lock(&self.shared).grants.counts()
    }

    /// Ends all grants, as a person does who withdraws them in the account's settings.
    pub fn end_all_grants(&self) {
        lock(&self.shared).grants.end_all();
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A test that panics while it holds the lock has failed already.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn serve(State(shared): State<Arc<Mutex<Shared>>>, request: Request) -> Response<Body> {
    let asked = Asked::read(request).await;
    let answer = {
        let mut shared = lock(&shared);
        shared.asked.push(asked.clone());
        match shared.answers.pop_front() {
            Some(answer) => answer,
            None => shared.grants.answer(&asked),
        }
    };
    answer.into_response().await
}
