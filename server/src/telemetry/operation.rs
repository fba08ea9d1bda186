//! How long the store's operations take: what runs them for a store wraps each in [`timed`].

use std::any::type_name;

use tokio::time::Instant;
use tracing::Instrument;

use super::metrics::STORE_DURATION;
use crate::store::{Result, StoreError};

/// What the operation that a store's closure is written for is called: the method around it. So every operation has a
/// name, without one to keep beside it.
pub fn operation_of<W>(_work: &W) -> &'static str {
    method_of(type_name::<W>())
}

/// Awaits an operation within a span; counts how long it took and how it ended.
pub async fn timed<T>(operation: &'static str, running: impl Future<Output = Result<T>>) -> Result<T> {
    let began = Instant::now();
    let result = running.instrument(tracing::debug_span!("store.operation.run", operation)).await;
    STORE_DURATION.record([operation, store_outcome(&result)], began.elapsed());
    result
}

/// How an operation ended, for labels. What is refused is no fault of the store's.
pub fn store_outcome<T>(result: &Result<T>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(
            StoreError::Fenced
            | StoreError::Taken(_)
            | StoreError::Missing(_)
            | StoreError::Conflict(_)
            | StoreError::Illegal { .. },
        ) => "refused",
        Err(_) => "failed",
    }
}

/// The method in a closure's type name: `<…>::claim_runs<'_, '_>::{{closure}}::{{closure}}` is in `claim_runs`.
fn method_of(closure: &'static str) -> &'static str {
    let mut within = closure.split("::{{closure}}").next().unwrap_or(closure);
    if within.ends_with('>') {
        // Its own arguments, which may have some themselves.
        let mut depth = 0;
        let opening = within.bytes().rposition(|letter| {
            depth += i32::from(letter == b'>') - i32::from(letter == b'<');
            depth == 0
        });
        within = &within[..opening.unwrap_or(within.len())];
    }
    within.rsplit("::").next().unwrap_or(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    trait Entity {
        async fn an_operation(&self) -> &'static str;
    }

    struct Store;

    #[async_trait::async_trait]
    trait Other {
        async fn another_operation(&self, names: &[String]) -> &'static str;
    }

    impl Entity for Store {
        async fn an_operation(&self) -> &'static str {
            operation_of(&|| {})
        }
    }

    #[async_trait::async_trait]
    impl Other for Store {
        async fn another_operation(&self, _names: &[String]) -> &'static str {
            tokio::task::yield_now().await;
            operation_of(&move || {})
        }
    }

    #[tokio::test]
    async fn an_operation_is_called_by_its_method() {
        assert_eq!(method_of("<a::S as b::T<c::D>>::one<'_, e::F<g::H>>::{{closure}}"), "one");
        assert_eq!(Store.an_operation().await, "an_operation");
        assert_eq!(Store.another_operation(&[]).await, "another_operation");
    }
}
