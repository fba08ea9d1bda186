//! Which hosts the settings of a connection may choose: those that the manifest's `allowed_hosts` name, and those
//! that the operator of this installation added, such as a company's own servers.

use crate::provider::UrlRules;

/// Whether a host that settings made may be talked to. `port` is given where a setting chose it.
pub(crate) fn allowed(host: &str, port: Option<u16>, rules: &UrlRules<'_>) -> bool {
    rules.allowed_hosts.iter().chain(rules.operator_hosts).any(|pattern| matches(pattern, host, port))
}

/// A pattern is a host, or `*.` and a domain for any name below it; with a port it allows that one.
fn matches(pattern: &str, host: &str, port: Option<u16>) -> bool {
    let (name, allowed_port) = match pattern.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok()),
        None => (pattern, None),
    };
    if port.is_some_and(|port| port != 443 && Some(port) != allowed_port) {
        return false;
    }
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("*.") {
        Some(domain) => {
            host.strip_suffix(domain).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
        }
        None => host == name,
    }
}

/// Whether this is a label of a host name.
pub(crate) fn is_label(label: &str) -> bool {
    let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain && !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_name_below_and_nothing_beside() {
        for (pattern, host, port, expected) in [
            ("*.my.salesforce.com", "acme.my.salesforce.com", None, true),
            ("*.my.salesforce.com", "a.b.my.salesforce.com", None, true),
            ("*.my.salesforce.com", "my.salesforce.com", None, false),
            ("*.my.salesforce.com", "evilmy.salesforce.com", None, false),
            ("*.my.salesforce.com", "acme.my.salesforce.com.evil.example", None, false),
            ("Login.Salesforce.com", "login.salesforce.com", None, true),
            ("git.acme.example", "git.acme.example", Some(8443), false),
            ("git.acme.example:8443", "git.acme.example", Some(8443), true),
            ("git.acme.example", "git.acme.example", Some(443), true),
        ] {
            assert_eq!(matches(pattern, host, port), expected, "{pattern} {host} {port:?}");
        }
    }
}
