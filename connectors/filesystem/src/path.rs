//! Paths relative to the root, and how they are written as ids.
//!
//! A file's name is bytes and an id is UTF-8: what is not UTF-8 is written as `%XX`, and so is `%` itself. Each
//! path has exactly one such writing, so two files never share an id.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path below the root: names with `/` between them, none of them empty, `.` or `..`. Empty is the root itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RelativePath(Vec<u8>);

impl RelativePath {
    /// The path of an entry of this folder. `name` is one that the file system gave, so it holds no `/`.
    pub(crate) fn join(&self, name: &[u8]) -> Self {
        if self.0.is_empty() {
            return Self(name.to_vec());
        }
        Self([&self.0, &b"/"[..], name].concat())
    }

    /// The path of a file below `root`, both without links in them.
    pub(crate) fn below(root: &Path, file: &Path) -> Option<Self> {
        Self::checked(file.strip_prefix(root).ok()?.as_os_str().as_bytes().to_vec())
    }

    /// Reads an id. `None` for what [`Self::encode`] does not write, above all for a path that climbs.
    pub(crate) fn decode(id: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(id.len());
        let mut rest = id.as_bytes();
        while let [first, tail @ ..] = rest {
            let decoded = match (first, tail) {
                (b'%', [high, low, after @ ..]) => {
                    let digit = |byte: &u8| char::from(*byte).to_digit(16);
                    rest = after;
                    u8::try_from(digit(high)? * 16 + digit(low)?).ok()?
                }
                (b'%', _) => return None,
                (byte, _) => {
                    rest = tail;
                    *byte
                }
            };
            bytes.push(decoded);
        }
        Self::checked(bytes).filter(|path| path.encode() == id)
    }

    fn checked(bytes: Vec<u8>) -> Option<Self> {
        let path = Self(bytes);
        let is_name = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
        (!path.0.is_empty() && path.names().all(is_name)).then_some(path)
    }

    /// The path as an id.
    pub(crate) fn encode(&self) -> String {
        let mut id = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            for (index, part) in chunk.valid().split('%').enumerate() {
                id.push_str(if index > 0 { "%25" } else { "" });
                id.push_str(part);
            }
            for byte in chunk.invalid() {
                write!(id, "%{byte:02X}").expect("writing to a string does not fail");
            }
        }
        id
    }

    /// The names on the way, from the root down.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|_| !self.0.is_empty())
    }

    /// The folder that holds it, and its name there.
    pub(crate) fn split(&self) -> (Self, &[u8]) {
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (Self(self.0[..slash].to_vec()), &self.0[slash + 1..]),
            None => (Self::default(), &self.0),
        }
    }

    /// The name that is next on the way from `folder` to this path; `None` when it is not under that folder.
    pub(crate) fn next_name_under(&self, folder: &Self) -> Option<&[u8]> {
        let rest = self.0.strip_prefix(folder.0.as_slice())?;
        let rest = if folder.0.is_empty() { rest } else { rest.strip_prefix(b"/")? };
        rest.split(|byte| *byte == b'/').next().filter(|name| !name.is_empty())
    }

    /// Whether this is `other`, or a folder that holds it somewhere below.
    pub(crate) fn is_or_holds(&self, other: &Self) -> bool {
        self == other || other.next_name_under(self).is_some()
    }

    /// The same path for the standard library.
    pub(crate) fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }
}

/// The `file:` URI of an absolute path (RFC 8089).
pub(crate) fn file_uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(*byte));
            }
            _ => write!(uri, "%{byte:02X}").expect("writing to a string does not fail"),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(bytes: &[u8]) -> RelativePath {
        RelativePath::checked(bytes.to_vec()).unwrap()
    }

    #[test]
    fn every_path_has_one_id_and_comes_back_from_it() {
        let cases: [(&[u8], &str); 5] = [
            (b"a/b.txt", "a/b.txt"),
            ("été/100 %.txt".as_bytes(), "été/100 %25.txt"),
            (b"caf\xe9/\xff\xfe", "caf%E9/%FF%FE"),
            (b"%E9", "%25E9"),
            (b"a\nb", "a\nb"),
        ];
        for (bytes, id) in cases {
            assert_eq!(path(bytes).encode(), id);
            assert_eq!(RelativePath::decode(id), Some(path(bytes)));
        }
    }

    #[test]
    fn ids_that_climb_or_have_a_second_writing_are_refused() {
        let refused = [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../a",
            "a/../b",
            "a/./b",
            "a//b",
            "a/",
            "a\0b",
            "%2e%2e/a",
            "%2E%2E",
            "a%2Fb",
            "%61",
            "%e9",
            "%",
            "%4",
            "%zz",
            "%+1",
        ];
        for id in refused {
            assert_eq!(RelativePath::decode(id), None, "{id:?}");
        }
    }

    #[test]
    fn the_way_to_a_path_is_found_by_whole_names() {
        let cursor = path(b"ab/cd/e");
        assert_eq!(cursor.next_name_under(&RelativePath::default()), Some(&b"ab"[..]));
        assert_eq!(cursor.next_name_under(&path(b"ab")), Some(&b"cd"[..]));
        assert_eq!(cursor.next_name_under(&path(b"a")), None);
        assert_eq!(cursor.next_name_under(&cursor), None);
        assert!(path(b"ab/cd").is_or_holds(&cursor) && cursor.is_or_holds(&cursor));
        assert!(!path(b"ab/c").is_or_holds(&cursor));
        assert_eq!(cursor.split(), (path(b"ab/cd"), &b"e"[..]));
    }

    #[test]
    fn a_file_uri_holds_no_byte_that_a_uri_may_not() {
        let name = OsStr::from_bytes(b"/srv/a b/\xc3\xa9\xff#?.txt");
        assert_eq!(file_uri(Path::new(name)), "file:///srv/a%20b/%C3%A9%FF%23%3F.txt");
    }
}
