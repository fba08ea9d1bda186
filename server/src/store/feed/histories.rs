//! The histories of a feed: which stretch of its offsets was written in which life of the database.
//!
//! A restored backup gives offsets again that were given before, for other changes. So each opening of the store begins
//! a new history behind the head, with a number drawn at random, and a position carries the number of the history that
//! its offset lies in. A reader who went beyond the backup's head holds a number that the restored database never drew,
//! however far that has grown since; one who had not, holds a number that came back with the backup.

use std::sync::Arc;

/// How many histories are kept apart. What is older is one history with a new number: a reader who stands that far
/// behind gets a snapshot.
pub(in crate::store) const MAX_HISTORIES: i64 = 256;

/// One history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// Its first offset. It ends where the next one begins.
    pub from_offset: i64,
    /// Its number.
    pub number: i64,
}

/// All histories of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histories(Arc<[History]>);

impl Histories {
    /// These histories, in any order.
    pub fn new(mut histories: Vec<History>) -> Self {
        histories.sort_unstable_by_key(|history| history.from_offset);
        Self(histories.into())
    }

    /// The number of the history that `offset` lies in; 0 for what lies before all of them, such as offset 0.
    pub fn at(&self, offset: i64) -> i64 {
        let after = self.0.partition_point(|history| history.from_offset <= offset);
        after.checked_sub(1).map_or(0, |index| self.0[index].number)
    }
}

/// A number for a new history: never 0, and small enough for a short position.
pub(in crate::store) fn new_number() -> i64 {
    let random = rand::random::<u64>() >> 16;
    i64::try_from(random).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_lies_in_the_history_that_began_last_before_it() {
        let history = |from_offset, number| History { from_offset, number };
        let histories = Histories::new(vec![history(11, 3), history(1, 7), history(5, 9)]);
        let found: Vec<_> = [0, 1, 4, 5, 10, 11, 500].map(|offset| histories.at(offset)).into();
        assert_eq!(found, [0, 7, 7, 9, 9, 3, 3]);
        assert_eq!(Histories::default().at(1), 0);
    }
}
