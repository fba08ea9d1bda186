//! Bytes of a reply, which may hold tokens: cleared when dropped, and when they have to move to grow.

use zeroize::Zeroizing;

/// A growing buffer that leaves no copy behind.
pub(crate) struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    /// Appends, or answers `false` where it would be more than `limit`.
    #[must_use]
    pub(crate) fn push(&mut self, bytes: &[u8], limit: usize) -> bool {
        let length = self.0.len() + bytes.len();
        if length > limit {
            return false;
        }
        if length > self.0.capacity() {
            // `Vec` would move by itself, and not clear where it was.
            let mut moved = Zeroizing::new(Vec::with_capacity(length.max(self.0.capacity() * 2)));
            moved.extend_from_slice(&self.0);
            self.0 = moved;
        }
        self.0.extend_from_slice(bytes);
        true
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_its_limit() {
        let mut bytes = SecretBytes::with_capacity(2);
        assert!(bytes.push(b"abc", 8) && bytes.push(b"defgh", 8) && !bytes.push(b"i", 8));
        assert_eq!(bytes.as_slice(), b"abcdefgh");
    }
}
