//! Keeps secrets out of everything that is written: logs, run logs, errors, traces and crash output, whoever wrote the
//! text, a connector included.
//!
//! Whoever has a secret in hand calls [`keep`] and holds what it gives for as long as the secret is used; whoever writes
//! text that others may read passes it through [`text`] (or [`string`], [`bytes`], [`error`]) first, and before it cuts
//! it: a cut secret is harder to know. `forms` says in which forms a secret is known, `views` what a text is looked at
//! as, `index` finds the one in the other, `known` has the secrets of this process, `writer` and `panics` are the last
//! gate before the log. [docs/redaction.md](../../../docs/redaction.md) tells what is not found.
//!
//! Windows of eight bytes in a hash table rather than an Aho-Corasick automaton: secrets come and go with every run, and an
//! automaton of all of them would have to be built again each time. Here a change costs what the one secret costs.

mod forms;
mod index;
mod known;
mod panics;
mod secret;
mod views;
mod writer;

pub use forms::MIN_BYTES;
pub use known::Kept;
pub use panics::install_panic_hook;
pub use secret::Secret;
pub use writer::{Redacted, stderr};

use std::borrow::Cow;

use superfasttt_proto::error::ConnectorError;

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// Makes a secret, or each of several, known until what this gives is dropped, and for a minute more: a connector that
/// was told a secret may print it after the call. Costs little, also where it is known already. Values of fewer than
/// [`MIN_BYTES`] bytes are not looked for.
///
/// ```
/// let token = secrecy::SecretString::from("kR7vQ2xN9sLd4TzW");
/// let kept = connectord::redact::keep(&token);
/// assert_eq!(connectord::redact::text("401 for kR7vQ2xN9sLd4TzW"), "401 for [redacted]");
/// drop(kept);
/// ```
pub fn keep<S: Secret + ?Sized>(secret: &S) -> Kept {
    known::keep(secret)
}

/// As [`keep`], for a minute: for whoever hands a secret on to a call that is over by then.
pub fn keep_for_a_minute<S: Secret + ?Sized>(secret: &S) {
    drop(known::keep(secret));
}

/// The text without the secrets that are known now.
pub fn text(text: &str) -> Cow<'_, str> {
    match bytes(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        // Whole characters are taken out, so nothing is lost here.
        Cow::Owned(redacted) => Cow::Owned(String::from_utf8_lossy(&redacted).into_owned()),
    }
}

/// As [`text`], for who has a text of its own.
pub fn string(text: String) -> String {
    match self::text(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(redacted) => redacted,
    }
}

/// As [`text`], for bytes that are text for the most part.
pub fn bytes(text: &[u8]) -> Cow<'_, [u8]> {
    known::redact(text)
}

/// The error without the secrets that are known now, in its message and in what it carries.
pub fn error(error: ConnectorError) -> ConnectorError {
    ConnectorError {
        message: string(error.message),
        metadata: error.metadata.into_iter().map(|(name, value)| (string(name), string(value))).collect(),
        ..error
    }
}
