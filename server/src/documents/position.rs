//! Where a reader stands in the feed, as clients carry it: opaque to them, `<history>-<offset>` in hexadecimal here, with
//! the number of the history that the offset lies in. A position inside a snapshot is `s`: it says that the snapshot has
//! to be begun again.
//!
//! An offset alone does not tell which texts a reader has. A document stands in the feed once, at its newest offset: one
//! whose text changed at 50 and whose permissions changed at 100 stands at 100, so a reader that goes from 20 to 60
//! passes 50 without meeting it. What a reader has for sure is every text up to the last time that nothing lay before
//! it. That offset is carried as well, as `<history>-<offset>-<known_to>`, where it is another one.

use std::fmt;
use std::str::FromStr;

use crate::store::feed::FeedBounds;

/// Where a reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Nothing was read yet.
    Beginning,
    /// Everything up to an offset was processed.
    After {
        /// The history that the offset lies in.
        history: i64,
        /// Up to where.
        offset: i64,
        /// Texts that changed up to here are known to the reader; never beyond `offset`.
        known_to: i64,
    },
    /// A snapshot was begun and not ended.
    InSnapshot,
}

/// A text that is no position of this server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position that this server gave")]
pub struct UnknownPosition;

impl Position {
    /// Of a reader that has processed everything up to `offset` and has the texts up to `known_to`.
    pub fn after(bounds: &FeedBounds, offset: i64, known_to: i64) -> Self {
        Position::After { history: bounds.histories.at(offset), offset, known_to: known_to.clamp(0, offset) }
    }

    /// Whether a feed with these bounds gave it.
    pub fn is_of(self, bounds: &FeedBounds) -> bool {
        match self {
            Position::Beginning | Position::InSnapshot => true,
            Position::After { history, offset, .. } => {
                offset == 0
                    || (offset <= bounds.head && history == bounds.histories.at(offset) && history != 0)
            }
        }
    }

    /// The offset to go on from; `None` where only a snapshot helps: the position is of another history, beyond the
    /// head, inside a snapshot, or behind tombstones that are forgotten.
    pub fn resume(self, bounds: &FeedBounds) -> Option<i64> {
        match self {
            Position::Beginning => Some(0),
            Position::InSnapshot => None,
            Position::After { offset, .. } => {
                (self.is_of(bounds) && (offset == 0 || offset >= bounds.floor)).then_some(offset)
            }
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Beginning => Ok(()),
            Position::After { history, offset, known_to } if offset == known_to => {
                write!(formatter, "{history:x}-{offset:x}")
            }
            Position::After { history, offset, known_to } => {
                write!(formatter, "{history:x}-{offset:x}-{known_to:x}")
            }
            Position::InSnapshot => formatter.write_str("s"),
        }
    }
}

impl FromStr for Position {
    type Err = UnknownPosition;

    fn from_str(text: &str) -> Result<Self, UnknownPosition> {
        if text.is_empty() {
            return Ok(Position::Beginning);
        }
        if text == "s" {
            return Ok(Position::InSnapshot);
        }
        let number = |text: &str| i64::from_str_radix(text, 16).ok().filter(|number| *number >= 0);
        let (history, offset) = text.split_once('-').ok_or(UnknownPosition)?;
        let history = number(history).ok_or(UnknownPosition)?;
        // Versions before histories wrote it so.
        if offset == "s" {
            return Ok(Position::InSnapshot);
        }
        let (offset, known_to) = offset.split_once('-').unwrap_or((offset, offset));
        let offset = number(offset).ok_or(UnknownPosition)?;
        let known_to = number(known_to).filter(|known_to| *known_to <= offset).ok_or(UnknownPosition)?;
        Ok(Position::After { history, offset, known_to })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::feed::{Histories, History};

    proptest! {
        #[test]
        fn a_position_comes_back_as_it_was_given(history in 1..i64::MAX, offset in 0..i64::MAX, known in 0..i64::MAX) {
            let after = |known_to| Position::After { history, offset, known_to };
            for position in [after(offset), after(known.min(offset)), Position::InSnapshot, Position::Beginning] {
                prop_assert_eq!(position.to_string().parse(), Ok(position));
            }
        }

        #[test]
        fn other_texts_are_refused_without_panic(text in "\\PC*") {
            let parsed: Result<Position, _> = text.parse();
            if let Ok(position) = parsed {
                prop_assert_eq!(position.to_string().parse(), Ok(position));
            }
        }
    }

    #[test]
    fn only_what_can_be_gone_on_from_is() {
        let history = |from_offset, number| History { from_offset, number };
        let histories = Histories::new(vec![history(1, 7), history(51, 8)]);
        let bounds = &FeedBounds { histories, head: 100, floor: 20 };
        let after = |history, offset| Position::After { history, offset, known_to: offset };
        assert_eq!(Position::Beginning.resume(bounds), Some(0));
        assert_eq!(after(8, 100).resume(bounds), Some(100));
        assert_eq!(after(8, 51).resume(bounds), Some(51));
        assert_eq!(after(7, 50).resume(bounds), Some(50), "a restart costs nobody a snapshot");
        assert_eq!(after(7, 20).resume(bounds), Some(20));
        assert_eq!(after(7, 19).resume(bounds), None, "behind the tombstones that are kept");
        assert_eq!(after(8, 101).resume(bounds), None, "beyond the head");
        assert_eq!(after(7, 60).resume(bounds), None, "of what a restored backup did not bring back");
        assert_eq!(after(9, 50).resume(bounds), None, "of another feed");
        assert_eq!(Position::InSnapshot.resume(bounds), None);
        assert_eq!(Position::after(bounds, 60, 70), Position::After { history: 8, offset: 60, known_to: 60 });
        assert_eq!("7-14-15".parse::<Position>(), Err(UnknownPosition), "it cannot know what lies before it");
        assert_eq!("7-s".parse::<Position>(), Ok(Position::InSnapshot), "as older versions wrote it");
    }

    #[test]
    fn a_history_that_is_not_told_apart_any_more_cannot_be_gone_on_from() {
        let bounds = FeedBounds { histories: Histories::default(), head: 9, floor: 0 };
        assert_eq!(Position::after(&bounds, 5, 5).resume(&bounds), None);
    }
}
