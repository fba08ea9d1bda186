//! Where in a text a known form is. The form's windows of eight bytes, one in every forty, are kept in a table; each window
//! of the text is looked up there, and what is found is compared as far as it is equal in both directions. So a text costs the
//! same whether one secret is known or ten thousand, and a secret comes and goes without the others being touched.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use std::sync::Arc;

use super::forms::Form;

/// What is looked up at once.
pub(super) const WINDOW_BYTES: usize = 8;

/// So much of a longer form counts as all of it: cut texts and lines of a wrapped encoding are found, and an address that
/// stands in a key file is not, when a log names it.
pub(super) const PIECE_BYTES: usize = 48;

/// From one window of a form to its next: any piece has one.
const STEP: usize = PIECE_BYTES - WINDOW_BYTES;

/// Comparisons that a text may cost, for each of its bytes, and apart from them.
const BUDGET_PER_BYTE: usize = 64;
const BUDGET: usize = 1 << 20;

/// A text would have cost too much to look through.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

/// The windows of all known forms.
#[derive(Default)]
pub(super) struct Index {
    windows: HashMap<u64, Vec<Anchor>, BuildHasherDefault<Mix>>,
}

/// A place in a form.
struct Anchor {
    form: Arc<Form>,
    at: usize,
}

impl Index {
    pub(super) fn insert(&mut self, form: &Arc<Form>) {
        for (at, window) in anchors(form) {
            self.windows.entry(window).or_default().push(Anchor { form: form.clone(), at });
        }
    }

    pub(super) fn remove(&mut self, form: &Arc<Form>) {
        for (_, window) in anchors(form) {
            if let Some(anchors) = self.windows.get_mut(&window) {
                anchors.retain(|anchor| !Arc::ptr_eq(&anchor.form, form));
                if anchors.is_empty() {
                    self.windows.remove(&window);
                }
            }
        }
    }

    /// A budget for a text, all its views together.
    pub(super) fn budget(text: &[u8]) -> usize {
        text.len().saturating_mul(BUDGET_PER_BYTE).saturating_add(BUDGET)
    }

    /// Adds where `text` holds a form, a piece of one, or at its end the beginning of one. Ranges may overlap.
    ///
    /// # Errors
    /// The budget is used up: a secret that repeats itself, and a text made to match.
    pub(super) fn find(
        &self,
        text: &[u8],
        budget: &mut usize,
        found: &mut Vec<Range<usize>>,
    ) -> Result<(), TooMuch> {
        for (position, window) in text.windows(WINDOW_BYTES).enumerate() {
            let Some(anchors) = self.windows.get(&word(window)) else { continue };
            for Anchor { form, at } in anchors {
                let (before, after) = extent(form, *at, text, position);
                *budget = budget.checked_sub(before + after + 1).ok_or(TooMuch)?;
                let is_whole = before == *at && at + after == form.len();
                let is_cut_off = before == *at && position + after == text.len();
                if is_whole || is_cut_off || before + after >= PIECE_BYTES {
                    found.push(position - before..position + after);
                }
            }
        }
        Ok(())
    }
}

/// The windows of a form by which it is found.
fn anchors(form: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    form.windows(WINDOW_BYTES).enumerate().step_by(STEP).map(|(at, window)| (at, word(window)))
}

fn word(window: &[u8]) -> u64 {
    u64::from_le_bytes(window.try_into().expect("a window has eight bytes"))
}

/// How far the text at `position` is equal to the form at `at`: so many bytes before it, and so many from it on.
fn extent(form: &[u8], at: usize, text: &[u8], position: usize) -> (usize, usize) {
    let before = form[..at].iter().rev().zip(text[..position].iter().rev());
    let after = form[at..].iter().zip(&text[position..]);
    (before.take_while(|(a, b)| a == b).count(), after.take_while(|(a, b)| a == b).count())
}

/// A hash of one word. Texts are looked up and never put in, so nobody can choose what collides.
#[derive(Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(forms: &[&[u8]], text: &[u8]) -> Vec<(usize, usize)> {
        let mut index = Index::default();
        for form in forms {
            index.insert(&Arc::new(form.to_vec().into()));
        }
        let mut found = Vec::new();
        index.find(text, &mut Index::budget(text), &mut found).unwrap();
        let mut found: Vec<_> = found.into_iter().map(|range| (range.start, range.end)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn whole_forms_and_long_pieces_are_found_and_short_pieces_are_not() {
        assert_eq!(found(&[b"hunter22"], b"x hunter22 hunter2 hunter22"), [(2, 10), (19, 27)]);
        let long: Vec<u8> = (0..200).map(|number| number as u8).collect();
        for start in 0..100 {
            let piece = [&[255; 2], &long[start..start + PIECE_BYTES], &[255; 2]].concat();
            assert_eq!(found(&[&long], &piece), [(2, 2 + PIECE_BYTES)], "{start}");
        }
        assert!(found(&[&long], &[&[255; 2], &long[1..PIECE_BYTES], &[255; 2]].concat()).is_empty());
    }

    #[test]
    fn a_beginning_at_the_end_of_a_text_that_was_cut_is_found() {
        assert_eq!(found(&[b"kR7vQ2xN9sLd4TzW"], b"token kR7vQ2xN9s"), [(6, 16)]);
        assert!(found(&[b"kR7vQ2xN9sLd4TzW"], b"token kR7vQ2xN9s...").is_empty());
    }

    #[test]
    fn overlapping_secrets_are_both_found() {
        assert_eq!(found(&[b"abcdefgh1234", b"1234ijkl"], b"abcdefgh1234ijkl"), [(0, 12), (8, 16)]);
    }

    #[test]
    fn what_was_removed_is_not_found_and_leaves_nothing() {
        let mut index = Index::default();
        let (first, second): (Arc<Form>, Arc<Form>) =
            (Arc::new(b"hunter22".to_vec().into()), Arc::new(b"hunter22".to_vec().into()));
        index.insert(&first);
        index.insert(&second);
        index.remove(&first);
        let mut found = Vec::new();
        index.find(b"hunter22", &mut 1000, &mut found).unwrap();
        assert_eq!(found.len(), 1);
        index.remove(&second);
        assert!(index.windows.is_empty());
    }

    #[test]
    fn a_text_made_to_match_everywhere_is_given_up() {
        let mut index = Index::default();
        index.insert(&Arc::new(vec![b'a'; 5_000].into()));
        let text = vec![b'a'; 100_000];
        assert_eq!(index.find(&text, &mut Index::budget(&text), &mut Vec::new()), Err(TooMuch));
    }
}
