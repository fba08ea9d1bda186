//! A person with a browser as small as it can be: follows redirects, and keeps the cookies of each server apart.

use std::collections::BTreeMap;

use url::Url;

/// A person, and what their browser remembers.
#[derive(Default)]
pub struct Person {
    cookies: BTreeMap<String, BTreeMap<String, String>>,
}

/// What a person sees.
#[derive(Debug)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// Where it is.
    pub url: Url,
    /// What is on it.
    pub body: String,
}

impl Page {
    /// Which page of ours it is.
    pub fn name(&self) -> &str {
        let (_, rest) =
            self.body.split_once("data-page=\"").unwrap_or_else(|| panic!("no page of ours: {self:?}"));
        rest.split('"').next().unwrap()
    }
}

impl Person {
    /// Opens a link and goes wherever it leads.
    pub async fn open(&mut self, link: &str) -> Page {
        self.open_until(link, |_| false).await
    }

    /// The same, but for addresses at which the person stops: those are not opened.
    pub async fn open_until(&mut self, link: &str, stops: impl Fn(&Url) -> bool) -> Page {
        // The first of a process wins, and all are the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let policy = reqwest::redirect::Policy::none();
        let browser = reqwest::Client::builder().redirect(policy).no_proxy().build().unwrap();
        let mut at = Url::parse(link).unwrap();
        for _ in 0..20 {
            if stops(&at) {
                return Page { status: 0, url: at, body: String::new() };
            }
            let jar = self.cookies.entry(at.authority().to_owned()).or_default();
            let cookies: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let reply = browser.get(at.clone()).header("cookie", cookies.join("; ")).send().await.unwrap();
            for header in reply.headers().get_all("set-cookie") {
                let pair = header.to_str().unwrap().split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                jar.insert(name.to_owned(), value.to_owned());
            }
            let Some(location) = reply.headers().get("location") else {
                let status = reply.status().as_u16();
                return Page { status, url: at, body: reply.text().await.unwrap() };
            };
            at = at.join(location.to_str().unwrap()).unwrap();
        }
        panic!("redirects without end, the last to {at}");
    }
}
