//! The authority of a request (`Host`, `:authority`, the end of an `Origin`), read strictly. What is not plainly a host
//! and a port is nothing at all: the guard decides by this, so an odd form must never pass as a familiar one.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A host and, where it was written, a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// In lower case, without the dot that may end it.
    Name(String),
}

impl Authority {
    /// Reads `host` or `host:port`. `None` for everything else, userinfo and an empty port included.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']')?;
                let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
                (Host::V6(address.parse().ok()?), port)
            }
            None => {
                let (name, port) = match text.split_once(':') {
                    Some((name, port)) => (name, Some(port)),
                    None => (text, None),
                };
                (parse_host(name)?, port)
            }
        };
        let port = match port {
            // `parse` alone would take "+80".
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
            None => None,
        };
        Some(Self { host, port })
    }

    /// Whether the name means this machine to every resolver: 127.0.0.0/8, [::1], localhost and what is under it. A name
    /// that merely resolves to loopback is not: its owner can point it anywhere.
    pub(super) fn is_loopback(&self) -> bool {
        match &self.host {
            Host::V4(address) => address.is_loopback(),
            Host::V6(address) => address.is_loopback(),
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }

    /// Whether both mean the same host and port, where a port that is not written is `default_port`.
    pub(super) fn is_same(&self, other: &Self, default_port: u16) -> bool {
        self.host == other.host && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// An IPv4 address or a DNS name. Short and octal forms of an address are names here, and so never loopback.
fn parse_host(text: &str) -> Option<Host> {
    if let Ok(address) = text.parse() {
        return Some(Host::V4(address));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.split('.').all(is_label).then(|| Host::Name(name.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_always_mean_this_machine_are_loopback() {
        for text in [
            "localhost",
            "localhost:7070",
            "LOCALHOST:7070",
            "localhost.",
            "app.localhost",
            "App.LocalHost.:80",
            "127.0.0.1",
            "127.0.0.1:7070",
            "127.255.255.254:1",
            "[::1]",
            "[::1]:7070",
            "[0:0:0:0:0:0:0:1]:7070",
        ] {
            let authority = Authority::parse(text.as_bytes());
            assert!(authority.is_some_and(|authority| authority.is_loopback()), "{text}");
        }
        for text in [
            "evil.com",
            "127.0.0.1.evil.com",
            "localhost.evil.com",
            "evil-localhost",
            "notlocalhost",
            "localhost-",
            "128.0.0.1",
            "0.0.0.0",
            "0.0.0.0:7070",
            "10.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "127.0.0.01",
            "[::]",
            "[::2]:7070",
            "[::ffff:127.0.0.1]:7070",
            "[fe80::1]",
        ] {
            let authority = Authority::parse(text.as_bytes());
            assert!(!authority.expect(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn what_is_not_plainly_host_and_port_is_refused() {
        for text in [
            "",
            ".",
            ":",
            ":7070",
            "localhost:",
            "localhost..",
            ".localhost",
            "a..localhost",
            "localhost:+80",
            "localhost:-1",
            "localhost:65536",
            "localhost:80:80",
            "localhost:80@evil.com",
            "localhost@evil.com",
            "user:pass@localhost",
            "evil.com#localhost",
            "evil.com/localhost",
            "evil.com\\localhost",
            "evil.com?localhost",
            "localhost ",
            " localhost",
            "localhost\t",
            "localhost\0.evil.com",
            "localhost%00",
            "localhost,evil.com",
            "lоcalhost",
            "::1",
            "[::1",
            "[::1]7070",
            "[::1]:",
            "[::1%lo]:7070",
            "[]",
            "[localhost]",
            "[127.0.0.1]",
            "http://localhost",
        ] {
            assert_eq!(Authority::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Authority::parse(b"localhost\xff"), None);
    }
}
