//! Where people may be sent once an account is connected: an address is allowed where it has the origin of an allowed one
//! and lies under its path. Anything that two readers of URLs could take for two things is refused: a person must not be
//! sent elsewhere with what a provider answered.

use url::{Position, Url};

/// An address longer than this is none that a person is sent to.
const MAX_BYTES: usize = 2048;

/// An allowed beginning of an address: scheme, host, port, and a path under which everything is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnUrl {
    origin: String,
    /// Without a slash at its end.
    path: String,
}

impl ReturnUrl {
    /// Reads an entry of the allow-list.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = plain(text)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it has a query or a fragment; name only where addresses begin");
        }
        Ok(Self {
            origin: url[..Position::BeforePath].to_owned(),
            path: url.path().trim_end_matches('/').to_owned(),
        })
    }

    fn covers(&self, url: &Url) -> bool {
        let Some(rest) = url.path().strip_prefix(&self.path) else { return false };
        url[..Position::BeforePath] == self.origin && (rest.is_empty() || rest.starts_with('/'))
    }
}

/// The address, where the list allows it.
///
/// # Errors
/// Why a person is not sent there.
pub fn allowed(list: &[String], text: &str) -> Result<Url, &'static str> {
    let url = plain(text)?;
    let covers = |entry: &String| ReturnUrl::parse(entry).is_ok_and(|entry| entry.covers(&url));
    if list.iter().any(covers) {
        Ok(url)
    } else {
        Err("is not among those that oauth.return_urls of the server's configuration allows")
    }
}

/// An address that all readers read alike.
fn plain(text: &str) -> Result<Url, &'static str> {
    if text.len() > MAX_BYTES {
        return Err("is too long");
    }
    // Browsers take a backslash for a slash, and leave out tabs and line breaks.
    if text.contains('\\') || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("has a backslash, a space or a control character");
    }
    let url =
        Url::parse(text).map_err(|_| "is no absolute address, such as https://app.example/connected")?;
    let host = url.host_str().unwrap_or_default();
    let is_local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    if !(url.scheme() == "https" || (url.scheme() == "http" && is_local)) {
        return Err("must begin with https:// (http:// only on this very machine)");
    }
    if has_userinfo(text) {
        return Err("names a user: leave that out");
    }
    // A reader that takes `%2e%2e` or `//` for steps would leave the allowed path.
    let path = url.path().to_ascii_lowercase();
    if path.contains("//") || ["%2e", "%2f", "%5c", "%00"].iter().any(|encoded| path.contains(encoded)) {
        return Err("has an empty or an encoded step in its path");
    }
    // What the reader changed (`..`, a default port, letters of the host) may be read otherwise elsewhere.
    let unchanged = text.starts_with(&url[..Position::BeforePath])
        && text[url[..Position::BeforePath].len()..].starts_with(url.path().trim_end_matches('/'));
    if !unchanged {
        return Err(
            "is not written as browsers write it: no default port, no `..`, the host in small letters",
        );
    }
    Ok(url)
}

/// Whether an `@` stands before the path.
fn has_userinfo(text: &str) -> bool {
    let after = text.split_once("://").map_or(text, |(_, rest)| rest);
    after.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Vec<String> {
        ["https://app.example/connect", "http://127.0.0.1:8400/", "https://console.example:8443"]
            .map(str::to_owned)
            .into()
    }

    #[test]
    fn what_lies_under_an_entry_of_the_same_origin_is_allowed() {
        for good in [
            "https://app.example/connect",
            "https://app.example/connect/",
            "https://app.example/connect/done?tab=1&x=%20y#top",
            "http://127.0.0.1:8400/callback",
            "http://127.0.0.1:8400",
            "https://console.example:8443/any/where",
            "https://app.example/connect/@alex?next=a@b//c",
        ] {
            assert!(allowed(&list(), good).is_ok(), "{good}: {:?}", allowed(&list(), good));
        }
    }

    #[test]
    fn whatever_could_lead_elsewhere_is_refused() {
        for bad in [
            "",
            "/connect",
            "//app.example/connect",
            "https:app.example/connect",
            "https:///app.example/connect",
            "https://app.example",
            "https://app.example/",
            "https://app.example/connected",
            "https://app.example/connect/../admin",
            "https://app.example/connect/%2e%2e/admin",
            "https://app.example/connect/%2E./admin",
            "https://app.example/connect/..%2fadmin",
            "https://app.example/connect/..%5cadmin",
            "https://app.example/connect\\..\\admin",
            "https://app.example//connect",
            "https://app.example/connect//evil.example",
            "https://app.example\\@evil.example/connect",
            "https://app.example@evil.example/connect",
            "https://app.example:x@evil.example/connect",
            "https://@app.example/connect",
            "https://alex@app.example/connect",
            "https://app.example.evil.example/connect",
            "https://evil.example/connect",
            "https://evil.example/https://app.example/connect",
            "https://app.example:8443/connect",
            "https://app.example:443/connect",
            "http://app.example/connect",
            "http://127.0.0.1:8401/",
            "http://127.0.0.1/",
            "http://2130706433:8400/",
            "http://localhost:8400/",
            "https://console.example/any",
            "javascript:alert(1)//https://app.example/connect",
            "data:text/html,https://app.example/connect",
            "ftp://app.example/connect",
            "https://app.example/connect\n",
            "ht\ntps://app.example/connect",
            "https://app.example/con\tnect",
            " https://app.example/connect",
            "https://app\u{3002}example/connect",
            "https://ａpp.example/connect",
            "https://app.example%2f@evil.example/connect",
            "https://app.example/connect%00",
        ] {
            assert!(allowed(&list(), bad).is_err(), "{bad:?}");
        }
        let long = format!("https://app.example/connect/{}", "a".repeat(2048));
        assert!(allowed(&list(), &long).is_err());
        assert!(allowed(&[], "https://app.example/connect").is_err(), "nothing is allowed unless it is said");
    }

    #[test]
    fn an_entry_names_a_beginning_and_nothing_else() {
        for bad in ["app.example", "https://app.example/?x", "https://app.example/#x", "http://app.example"] {
            assert!(ReturnUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
