//! One refresh at a time of each connection in this process: the others wait here, and not at the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::store::ConnectionKey;

/// A lock for each connection that somebody refreshes or waits for.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<ConnectionKey, Weak<tokio::sync::Mutex<()>>>>);

impl Flights {
    /// The lock of this connection. It lasts as long as somebody has it.
    pub(super) fn of(&self, connection: ConnectionKey) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&connection).and_then(Weak::upgrade) {
            return flight;
        }
        // Those that nobody has any more go when the map would grow: so it stays as small as its use.
        if flights.len() == flights.capacity() {
            flights.retain(|_, flight| flight.strong_count() > 0);
        }
        let flight = Arc::default();
        flights.insert(connection, Arc::downgrade(&flight));
        flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_one_lock_while_somebody_has_it_and_none_afterwards() {
        let flights = Flights::default();
        let (one, again, other) =
            (flights.of(ConnectionKey(1)), flights.of(ConnectionKey(1)), flights.of(ConnectionKey(2)));
        assert!(Arc::ptr_eq(&one, &again) && !Arc::ptr_eq(&one, &other));
        drop((one, again, other));
        for key in 0..10_000 {
            drop(flights.of(ConnectionKey(key)));
        }
        assert!(flights.0.lock().unwrap().len() < 100, "what nobody has is forgotten");
    }
}
