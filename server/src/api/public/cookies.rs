//! The cookie that binds an authorization to the browser in which it began.

use std::collections::HashMap;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use secrecy::ExposeSecret;

use crate::config::PublicUrl;
use crate::credentials::authorize::Departure;

/// Cookies that are read of one request.
const MAX_COOKIES: usize = 100;

/// The cookies of a request. Of two with one name the first counts.
pub(super) fn read(headers: &HeaderMap) -> HashMap<String, String> {
    let mut cookies = HashMap::new();
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    for (name, value) in texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('=')) {
        if cookies.len() >= MAX_COOKIES {
            break;
        }
        cookies.entry(name.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
    }
    cookies
}

/// Gives a browser what it shows at the end.
pub(super) fn set(departure: &Departure, public_url: &PublicUrl) -> Option<HeaderValue> {
    let seconds = departure.lasts.as_secs().max(1);
    header(&departure.cookie, departure.browser.expose_secret(), seconds, public_url)
}

/// Takes it away again.
pub(super) fn clear(cookie: &str, public_url: &PublicUrl) -> Option<HeaderValue> {
    header(cookie, "", 0, public_url)
}

/// `Lax`: it comes along when the provider sends the person back, and with nothing that another site does by itself.
fn header(name: &str, value: &str, seconds: u64, public_url: &PublicUrl) -> Option<HeaderValue> {
    let secure = if public_url.is_https() { "; Secure" } else { "" };
    // The whole host, wherever a proxy puts our pages: browsers take a `__Host-` cookie with no other path.
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_read_whatever_else_is_among_them() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; connect-x=se=cret;b; =; a=2"));
        headers.append(COOKIE, HeaderValue::from_static("c=3"));
        headers.append(COOKIE, HeaderValue::from_bytes(b"d=\xff").unwrap());
        let cookies = read(&headers);
        assert_eq!(cookies["connect-x"], "se=cret");
        assert_eq!((cookies["a"].as_str(), cookies["c"].as_str(), cookies.get("d")), ("1", "3", None));
    }

    #[test]
    fn a_cookie_is_kept_from_scripts_and_other_sites() {
        let https = PublicUrl::parse("https://acme.example/connectors").unwrap();
        let cookie = header("__Host-connect-x", "v", 600, &https).unwrap();
        assert_eq!(
            cookie.to_str().unwrap(),
            "__Host-connect-x=v; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"
        );
        let http = PublicUrl::parse("http://localhost:7071").unwrap();
        assert!(!header("connect-x", "v", 600, &http).unwrap().to_str().unwrap().contains("Secure"));
    }
}
