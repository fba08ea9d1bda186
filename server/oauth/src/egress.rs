//! Which addresses may be connected to. A provider's address can come from settings that a person entered, so
//! without rules this server could be made to call itself, its neighbours, or the metadata service of its cloud.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

/// The rules. By default only public addresses.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    /// Networks that are allowed though they are not public, such as the one of a provider of one's own.
    pub allowed_networks: Vec<IpNet>,
    /// Whether a provider may be on this machine's loopback, by http too: for development and tests.
    pub allow_loopback: bool,
}

impl Egress {
    /// Whether this address may be connected to.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address)
            || (self.allow_loopback && address.is_loopback())
            || self.allowed_networks.iter().any(|network| network.contains(&address))
    }

    /// Whether a request may go to this URL, as far as it can be told without resolving its host.
    pub(crate) fn allows_url(&self, url: &Url) -> bool {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return false,
        };
        scheme_allowed(url, self.allow_loopback) && address.is_none_or(|address| self.allows(address))
    }
}

/// https; on the loopback http too, where it is allowed.
pub(crate) fn scheme_allowed(url: &Url, allow_loopback: bool) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => {
            allow_loopback
                && match url.host() {
                    Some(Host::Ipv4(address)) => address.is_loopback(),
                    Some(Host::Ipv6(address)) => address.is_loopback(),
                    Some(Host::Domain(name)) => is_localhost(name),
                    None => false,
                }
        }
        _ => false,
    }
}

/// A name that is this machine by standard (RFC 6761), so no resolver is asked for it.
pub(crate) fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// The special-purpose registry of IANA, and the address at which Azure serves its virtual machines.
fn is_public_v4(address: Ipv4Addr) -> bool {
    const RESERVED: [(Ipv4Addr, u32); 15] = [
        (Ipv4Addr::new(0, 0, 0, 0), 8),
        (Ipv4Addr::new(10, 0, 0, 0), 8),
        (Ipv4Addr::new(100, 64, 0, 0), 10),
        (Ipv4Addr::new(127, 0, 0, 0), 8),
        (Ipv4Addr::new(168, 63, 129, 16), 32),
        (Ipv4Addr::new(169, 254, 0, 0), 16),
        (Ipv4Addr::new(172, 16, 0, 0), 12),
        (Ipv4Addr::new(192, 0, 0, 0), 24),
        (Ipv4Addr::new(192, 0, 2, 0), 24),
        (Ipv4Addr::new(192, 88, 99, 0), 24),
        (Ipv4Addr::new(192, 168, 0, 0), 16),
        (Ipv4Addr::new(198, 18, 0, 0), 15),
        (Ipv4Addr::new(198, 51, 100, 0), 24),
        (Ipv4Addr::new(203, 0, 113, 0), 24),
        // Multicast, reserved and broadcast: all the rest from 224 on.
        (Ipv4Addr::new(224, 0, 0, 0), 3),
    ];
    let bits = address.to_bits();
    !RESERVED.iter().any(|(network, prefix)| bits >> (32 - prefix) == network.to_bits() >> (32 - prefix))
}

/// Only 2000::/3 is public, less what in it is special. Addresses that stand for IPv4 ones are judged as those.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [a, b, ..] = segments;
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return is_public_v4(v4(segments[6], segments[7]));
    }
    if a == 0x2002 {
        return is_public_v4(v4(segments[1], segments[2]));
    }
    let special = (a == 0x2001 && (b < 0x200 || b == 0xdb8)) || (a == 0x3fff && b < 0x1000);
    a & 0xe000 == 0x2000 && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_allowed() {
        let egress = Egress::default();
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "198.19.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "64:ff9b:1::1",
            "::7f00:1",
            "fec0::1",
            "3fff::1",
        ] {
            assert!(!egress.allows(address.parse().unwrap()), "{address}");
        }
        for address in [
            "8.8.8.8",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "223.255.255.255",
            "168.63.129.17",
            "2a00:1450:4007::200e",
            "2606:4700::1",
            "64:ff9b::808:808",
            "::ffff:8.8.8.8",
        ] {
            assert!(egress.allows(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn the_operator_may_allow_networks_and_the_loopback() {
        let egress = Egress { allowed_networks: vec!["10.20.0.0/16".parse().unwrap()], allow_loopback: true };
        for (address, expected) in [
            ("10.20.3.4", true),
            ("::ffff:10.20.3.4", true),
            ("10.21.0.1", false),
            ("127.0.0.1", true),
            ("::1", true),
            ("169.254.169.254", false),
        ] {
            assert_eq!(egress.allows(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn an_address_written_in_any_way_is_that_address() {
        let egress = Egress::default();
        for url in [
            "https://127.1/",
            "https://0x7f.0.0.1/",
            "https://2130706433/",
            "https://017700000001/",
            "https://[::1]/",
            "https://[::ffff:169.254.169.254]/",
            "http://8.8.8.8/",
            "ftp://8.8.8.8/",
        ] {
            assert!(!egress.allows_url(&Url::parse(url).unwrap()), "{url}");
        }
        assert!(egress.allows_url(&Url::parse("https://example.org/").unwrap()));
    }
}
