//! Notices that a connector goes round in a circle: cursors that come again although each asks for more, or pages that
//! come again without a checkpoint. A circle of any length is found with one remembered value for each scope (Brent's
//! method: what is remembered is replaced after 1, 2, 4, 8 … steps, so that sooner or later it lies on the circle and the
//! distance is long enough to go all the way round).

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, RandomState};

use ring::digest::{SHA256, digest};
use superfasttt_proto::connector::v1::{PullMode, Reason};
use superfasttt_proto::error::ConnectorError;

use super::change::{Change, Part, PartEnd};

/// A cursor may be met a second time, where a pull was cut off right behind it.
const CURSOR_SIGHTS: u32 = 2;
/// The same items may be sent a few times without a circle: an item that is edited while it is read, say.
const PAGE_SIGHTS: u32 = 4;
/// Pages with nothing in them may be proof of life, or parts of a source in which nothing is; so many in a row are neither.
const EMPTY_PAGES: u32 = 200;

/// One way that is watched.
#[derive(Debug, Default)]
struct Trail {
    kept: Option<u64>,
    steps: u64,
    until: u64,
    sights: u32,
}

impl Trail {
    /// Takes a step. Says how often this was met since it is kept; 0 where something else is.
    fn step(&mut self, at: u64) -> u32 {
        self.steps += 1;
        let met = self.kept == Some(at);
        if met {
            self.sights += 1;
        }
        if self.steps >= self.until {
            // What is met at each step stays on watch.
            if !met {
                (self.kept, self.sights) = (Some(at), 0);
            }
            self.until = self.steps * 2;
        }
        if met { self.sights } else { 0 }
    }
}

/// The ways of one run.
#[derive(Debug, Default)]
pub struct Loops {
    hasher: RandomState,
    cursors: BTreeMap<String, (PullMode, i64, Trail)>,
    pages: BTreeMap<String, Pages>,
}

/// The pages of one scope in one pull.
#[derive(Debug, Default)]
struct Pages {
    /// Since its last checkpoint that was another than the one before.
    since: Trail,
    /// Pages with nothing in them since then, in a row.
    empty: u32,
    checkpoint: Option<u64>,
}

impl Loops {
    /// A new pull: what an earlier one sent without a checkpoint is sent again.
    pub fn begin_pull(&mut self) {
        self.pages.clear();
    }

    /// A checkpoint that wants more, or moves the scope's cursor. `generation` is the scope's listing: a new one begins from nothing again.
    ///
    /// # Errors
    /// `PAGINATION_LOOP` where its cursor came before, again and again.
    pub fn goes_on(
        &mut self,
        scope: &str,
        mode: PullMode,
        generation: i64,
        cursor: &[u8],
    ) -> Result<(), ConnectorError> {
        let at = self.hasher.hash_one(cursor);
        let entry =
            self.cursors.entry(scope.to_owned()).or_insert_with(|| (mode, generation, Trail::default()));
        if (entry.0, entry.1) != (mode, generation) {
            *entry = (mode, generation, Trail::default());
        }
        if entry.2.step(at) < CURSOR_SIGHTS {
            return Ok(());
        }
        let message = format!(
            "scope {scope:?} goes round in a circle: the cursor with the hash {} comes again and again, and nothing \
             ends",
            cursor_hash(cursor)
        );
        Err(ConnectorError::new(Reason::PaginationLoop, message))
    }

    /// A part of a page. Another checkpoint than the last one is progress, whatever was sent before it.
    ///
    /// # Errors
    /// `PAGINATION_LOOP` where the same items came before, again and again, without a checkpoint between.
    pub fn page(&mut self, part: &Part) -> Result<(), ConnectorError> {
        if !self.pages.contains_key(&*part.scope) {
            self.pages.insert(part.scope.to_string(), Pages::default());
        }
        let pages = self.pages.get_mut(&*part.scope).expect("it was just put there");
        // Later parts of one message are not looked at: what was fetched in between has cut it where it happened to.
        let (whole, empty) = (part.message_bytes > 0, part.changes.is_empty());
        pages.empty = if empty { pages.empty + u32::from(whole) } else { 0 };
        let sights = match whole && !empty {
            true => pages.since.step(self.hasher.hash_one(Names(&part.changes))),
            false => 0,
        };
        if let PartEnd::Checkpoint(checkpoint) = &part.end {
            let at = Some(self.hasher.hash_one(&checkpoint.cursor));
            if pages.checkpoint != at {
                *pages = Pages { checkpoint: at, ..Pages::default() };
                return Ok(());
            }
        }
        if sights < PAGE_SIGHTS && pages.empty < EMPTY_PAGES {
            return Ok(());
        }
        let message = format!(
            "scope {:?} goes round in a circle: the same {} changes come again and again, without a new checkpoint",
            part.scope,
            part.changes.len()
        );
        Err(ConnectorError::new(Reason::PaginationLoop, message))
    }
}

/// What a person is told of a cursor: it may be long, and it is the connector's own.
pub fn cursor_hash(cursor: &[u8]) -> String {
    digest(&SHA256, cursor).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What a page is about: ids and versions, not what is said of them.
struct Names<'a>(&'a [Change]);

impl Hash for Names<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for change in self.0 {
            match change {
                Change::Document(document) => {
                    (1, &document.envelope.id, &document.envelope.version).hash(state);
                }
                Change::Unopened(document) => (2, &document.id, document.hash).hash(state),
                Change::Raw(raw) => (8, &raw.id, &raw.version).hash(state),
                Change::Unnormalized { raw, .. } => (9, &raw.id).hash(state),
                Change::Present { id, version } => (3, id, version).hash(state),
                Change::Permissions { id, .. } => (4, id).hash(state),
                Change::Deletion { target, .. } => (5, target).hash(state),
                Change::Container { id, .. } => (6, id).hash(state),
                Change::ItemError(error) => (7, &error.target).hash(state),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::{cursor, document, part};

    fn follow(cursors: impl IntoIterator<Item = u64>) -> Option<usize> {
        let mut loops = Loops::default();
        cursors
            .into_iter()
            .position(|cursor| loops.goes_on("a", PullMode::Full, 1, &cursor.to_le_bytes()).is_err())
    }

    #[test]
    fn a_circle_of_any_length_is_found_within_a_few_rounds() {
        for (before, length) in [(0, 1), (0, 2), (3, 2), (0, 7), (100, 1), (1000, 999), (5, 4096)] {
            let cursors = (0..before).chain((0..).map(|step| before + step % length));
            let found = follow(cursors.take(100_000)).unwrap_or(usize::MAX) as u64;
            let bound = 4 * (before + length) + 2 * length + 4;
            assert!(found >= before + length, "{before} and {length}: {found}");
            assert!(found <= bound, "{before} and {length}: {found}, over {bound}");
        }
    }

    #[test]
    fn a_long_way_and_a_cursor_that_comes_twice_are_no_circle() {
        assert_eq!(follow(0..100_000), None);
        assert_eq!(follow((0..1000).flat_map(|cursor| [cursor, cursor])), None, "each after a cut");
        let mut loops = Loops::default();
        for generation in 0..100 {
            loops.goes_on("a", PullMode::Full, generation, b"first").unwrap();
        }
        for scope in ["a", "b", "c", "d"] {
            loops.goes_on(scope, PullMode::Incremental, 1, b"same").unwrap();
        }
    }

    #[test]
    fn the_message_names_scope_and_cursor() {
        let mut loops = Loops::default();
        let error =
            (0..10).find_map(|_| loops.goes_on("drive", PullMode::Incremental, 0, b"secret").err()).unwrap();
        assert_eq!(error.reason, Reason::PaginationLoop);
        assert!(error.message.contains("\"drive\"") && error.message.contains(&cursor_hash(b"secret")));
        assert!(!error.message.contains("secret"), "a cursor is the connector's own");
    }

    #[test]
    fn pages_that_come_again_without_a_checkpoint_are_a_circle() {
        let page = |id: &str| part("a", vec![document(id)], None);
        let mut loops = Loops::default();
        let circle = (0..100).position(|step| loops.page(&page(&(step % 3).to_string())).is_err());
        assert!(circle.is_some_and(|step| step < 40), "{circle:?}");
        let mut loops = Loops::default();
        for step in 0..100 {
            let checkpoint = (step % 3 == 2).then(|| cursor(&step.to_string()));
            loops.page(&part("a", vec![document("same")], checkpoint)).unwrap();
        }
        let stuck = (0..100)
            .position(|_| loops.page(&part("a", vec![document("same")], Some(cursor("stays")))).is_err());
        assert!(stuck.is_some_and(|step| step < 40), "a checkpoint that stays is no progress: {stuck:?}");
        for step in 0..1000 {
            loops.page(&page(&step.to_string())).unwrap();
        }
        for checkpoint in [None, Some(cursor("stays"))] {
            let nothing = || part("a", Vec::new(), checkpoint.clone());
            let mut loops = Loops::default();
            let circle = (0..1000).position(|_| loops.page(&nothing()).is_err());
            assert!(circle.is_some_and(|step| (100..300).contains(&step)), "nothing, for ever: {circle:?}");
            let mut loops = Loops::default();
            for step in 0..1000 {
                loops.page(&nothing()).unwrap();
                if step % 100 == 0 {
                    loops.page(&part("a", Vec::new(), Some(cursor(&step.to_string())))).unwrap();
                }
            }
        }
    }
}
