//! What is left to chance: ids, and how long a pause is. Tests of whole histories give the thread that they run on a seed,
//! so that one seed is one history. It is the thread's and no parameter, because ids are made inside of transactions,
//! by plain functions that carry nothing.

use std::ops::RangeInclusive;

use rand::Rng;

/// A new id: ids are in the order in which they are made.
pub fn new_id() -> String {
    #[cfg(test)]
    if let Some(id) = seeded::with(|seeded| seeded.next_id()) {
        return id;
    }
    uuid::Uuid::now_v7().to_string()
}

/// A number in the range.
pub fn between(range: RangeInclusive<f64>) -> f64 {
    #[cfg(test)]
    if let Some(number) = seeded::with(|seeded| seeded.between(range.clone())) {
        return number;
    }
    rand::rng().random_range(range)
}

#[cfg(test)]
pub(crate) use seeded::seed;

/// Chance by a seed, for as long as it is set.
#[cfg(test)]
mod seeded {
    use std::cell::RefCell;
    use std::ops::RangeInclusive;

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    thread_local! {
        static SEEDED: RefCell<Option<Seeded>> = const { RefCell::new(None) };
    }

    pub(super) struct Seeded {
        random: StdRng,
        ids: u64,
    }

    impl Seeded {
        pub(super) fn next_id(&mut self) -> String {
            self.ids += 1;
            format!("id-{:06}", self.ids)
        }

        pub(super) fn between(&mut self, range: RangeInclusive<f64>) -> f64 {
            self.random.random_range(range)
        }
    }

    /// Decides everything on this thread by a seed; `None`: by chance again.
    pub(crate) fn seed(seed: Option<u64>) {
        let seeded = seed.map(|seed| Seeded { random: StdRng::seed_from_u64(seed), ids: 0 });
        SEEDED.with(|now| *now.borrow_mut() = seeded);
    }

    pub(super) fn with<T>(ask: impl FnOnce(&mut Seeded) -> T) -> Option<T> {
        SEEDED.with(|seeded| seeded.borrow_mut().as_mut().map(ask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_the_same_again() {
        let some = || {
            seed(Some(7));
            let some = (new_id(), new_id(), between(0.0..=1.0));
            seed(None);
            some
        };
        assert_eq!(some(), some());
        assert!(some().0 < some().1, "ids are in order");
    }

    #[test]
    fn without_a_seed_ids_are_in_order_and_never_the_same() {
        let ids: Vec<String> = (0..1000).map(|_| new_id()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
    }
}
