//! The secrets that this process knows at this moment, and how long each stays known.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::REDACTED;
use super::forms::{Form, MIN_BYTES, forms};
use super::index::{Index, TooMuch};
use super::secret::Secret;
use super::views;

/// How long a secret that nobody keeps any more is still looked for, and how many of those there may be.
const LINGER: Duration = Duration::from_secs(60);
const MAX_LINGERING: usize = 256;

/// A longer text is cut: it is an error or a line of a log, and looking through it takes several times its memory.
const MAX_TEXT_BYTES: usize = 256 * 1024;
const CUT: &[u8] = "… (cut)".as_bytes();

static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);

/// How many secrets are known: with none, texts pass without a lock.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Keeps secrets known while it, or a clone of it, is there. The default keeps nothing.
#[derive(Clone, Default)]
#[must_use = "dropping it ends the redaction of the secret"]
pub struct Kept {
    _held: Option<Arc<Held>>,
}

impl Kept {
    /// Keeps the secrets known for as long as the process lives.
    pub fn for_good(self) {
        std::mem::forget(self);
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Kept")
    }
}

/// The names of secrets that are kept.
struct Held(Vec<Name>);

impl Drop for Held {
    fn drop(&mut self) {
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        for name in &self.0 {
            known.release(*name, Instant::now());
        }
        COUNT.store(known.secrets.len(), Ordering::Release);
    }
}

pub(super) fn keep<S: Secret + ?Sized>(secret: &S) -> Kept {
    let mut names = Vec::new();
    secret.each(&mut |value| {
        if value.trim_ascii().len() >= MIN_BYTES {
            let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
            names.push(known.keep(value, Instant::now()));
        }
    });
    if names.is_empty() {
        return Kept::default();
    }
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    COUNT.store(known.secrets.len(), Ordering::Release);
    Kept { _held: Some(Arc::new(Held(names))) }
}

pub(super) fn redact(text: &[u8]) -> Cow<'_, [u8]> {
    if COUNT.load(Ordering::Acquire) == 0 {
        return Cow::Borrowed(text);
    }
    if text.len() > MAX_TEXT_BYTES {
        let redacted =
            KNOWN.read().unwrap_or_else(PoisonError::into_inner).redact(&text[..MAX_TEXT_BYTES]).into_owned();
        return Cow::Owned([&redacted, CUT].concat());
    }
    KNOWN.read().unwrap_or_else(PoisonError::into_inner).redact(text)
}

/// As [`redact`], for a moment in which this very thread may be holding the lock: then there is nothing.
pub(super) fn try_redact(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    match KNOWN.try_read() {
        Ok(known) => Some(known.redact(text)),
        Err(std::sync::TryLockError::Poisoned(known)) => Some(known.into_inner().redact(text)),
        Err(std::sync::TryLockError::WouldBlock) => None,
    }
}

/// A secret's digest: the table itself holds no further copy of it.
type Name = [u8; 32];

fn name(value: &[u8]) -> Name {
    let digest = ring::digest::digest(&ring::digest::SHA256, value);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[derive(Default)]
struct Known {
    index: Index,
    secrets: HashMap<Name, Entry>,
    /// Those that nobody keeps, and since when, the oldest first. One that was kept again meanwhile is passed over.
    lingering: VecDeque<(Instant, Name)>,
}

struct Entry {
    forms: Vec<Arc<Form>>,
    keepers: usize,
    /// How often it stands among those that linger.
    lingers: usize,
}

impl Known {
    fn keep(&mut self, value: &[u8], now: Instant) -> Name {
        self.forget_old(now);
        let index = &mut self.index;
        let name = name(value);
        let entry = self.secrets.entry(name).or_insert_with(|| {
            let forms: Vec<_> = forms(value).into_iter().map(Arc::new).collect();
            forms.iter().for_each(|form| index.insert(form));
            Entry { forms, keepers: 0, lingers: 0 }
        });
        entry.keepers += 1;
        name
    }

    fn release(&mut self, name: Name, now: Instant) {
        if let Some(entry) = self.secrets.get_mut(&name) {
            entry.keepers -= 1;
            if entry.keepers == 0 {
                entry.lingers += 1;
                self.lingering.push_back((now, name));
            }
        }
        self.forget_old(now);
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((since, name)) = self.lingering.front().copied()
            && (now.saturating_duration_since(since) >= LINGER || self.lingering.len() > MAX_LINGERING)
        {
            self.lingering.pop_front();
            let Some(entry) = self.secrets.get_mut(&name) else { continue };
            entry.lingers -= 1;
            if entry.keepers == 0 && entry.lingers == 0 {
                entry.forms.iter().for_each(|form| self.index.remove(form));
                self.secrets.remove(&name);
            }
        }
    }

    fn redact<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let mut budget = Index::budget(text);
        let mut outcome = Ok(());
        let found = views::each(text, &mut |view, found| {
            if outcome.is_ok() {
                outcome = self.index.find(view, &mut budget, found);
            }
        });
        match outcome {
            // Nobody can say what is in it.
            Err(TooMuch) => Cow::Owned(REDACTED.into()),
            Ok(()) if found.is_empty() => Cow::Borrowed(text),
            Ok(()) => Cow::Owned(without(text, found)),
        }
    }
}

/// The text with a word instead of what was found. Whole characters go, so that what is left is text still.
fn without(text: &[u8], mut found: Vec<Range<usize>>) -> Vec<u8> {
    let is_inside = |at: usize| text.get(at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    found.sort_by_key(|range| range.start);
    let mut rest = 0;
    let mut redacted = Vec::with_capacity(text.len());
    for range in found {
        let mut start = range.start;
        while start > rest && is_inside(start) {
            start -= 1;
        }
        let mut end = range.end;
        while is_inside(end) {
            end += 1;
        }
        if end <= rest {
            continue;
        }
        // What overlaps the one before, or follows it at once, is one with it.
        if start > rest || rest == 0 {
            redacted.extend_from_slice(&text[rest..start.max(rest)]);
            redacted.extend_from_slice(REDACTED.as_bytes());
        }
        rest = end;
    }
    redacted.extend_from_slice(&text[rest..]);
    redacted
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
