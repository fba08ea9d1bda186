//! URL templates such as `https://{subdomain}.example.com/oauth/token`. Settings come from people, so a value may
//! fill its place and nothing else: in the host it is labels of a host that the rules allow, in the path it is one
//! part between slashes, in the query it is a part of a value.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::hosts;
use crate::provider::UrlRules;
use crate::template_error::{FillError, TemplateError};

/// What may stand as it is in a path or a query; everything else of a value is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A URL with places for settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    https: bool,
    host: Vec<Piece>,
    port: Option<u16>,
    path: Vec<Piece>,
    query: Option<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Setting(String),
}

impl Template {
    /// The settings that it needs.
    pub fn settings(&self) -> impl Iterator<Item = &str> {
        self.host.iter().chain(&self.path).chain(self.query.iter().flatten()).filter_map(
            |piece| match piece {
                Piece::Setting(name) => Some(name.as_str()),
                Piece::Literal(_) => None,
            },
        )
    }

    /// Whether settings have a say in the host.
    pub fn host_has_settings(&self) -> bool {
        self.host.iter().any(|piece| matches!(piece, Piece::Setting(_)))
    }

    /// The names of the parameters that its query holds already.
    pub(crate) fn query_names(&self) -> Vec<String> {
        let Some(url) = self.sample() else { return Vec::new() };
        url.query_pairs().map(|(name, _)| name.into_owned()).collect()
    }

    /// Fills the places with what `setting` answers.
    ///
    /// # Errors
    ///
    /// A missing setting, one that does not fit its place, or a host that the rules do not allow.
    pub fn fill(
        &self,
        setting: impl Fn(&str) -> Option<String>,
        rules: &UrlRules<'_>,
    ) -> Result<Url, FillError> {
        let value = |name: &str| match setting(name) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(FillError::Missing(name.to_owned())),
        };
        let (host, port) = self.fill_host(&value)?;
        if self.host_has_settings() {
            let own_port = port.filter(|port| Some(*port) != self.port);
            let allowed =
                hosts::allowed(&host, own_port, rules) || self.suffix_allows(&host, own_port, rules);
            if !allowed {
                return Err(FillError::Host(host));
            }
        }
        let path = join(&self.path, |name| {
            let value = value(name)?;
            let unfit = |why| FillError::Unfit { name: name.to_owned(), place: "the path", why };
            if value.contains(['/', '\\', '?', '#']) || value.chars().any(char::is_control) {
                return Err(unfit("`/`, `\\`, `?`, `#` and control characters are not allowed there"));
            }
            if value == "." || value == ".." {
                return Err(unfit("it must be more than dots"));
            }
            Ok(utf8_percent_encode(&value, ENCODED).to_string())
        })?;
        let query = match &self.query {
            Some(query) => Some(join(query, |name| {
                let value = value(name)?;
                if value.chars().any(char::is_control) {
                    let why = "control characters are not allowed there";
                    return Err(FillError::Unfit { name: name.to_owned(), place: "the query", why });
                }
                Ok(utf8_percent_encode(&value, ENCODED).to_string())
            })?),
            None => None,
        };
        self.assemble(&host, port, &path, query.as_deref()).ok_or(FillError::NotAUrl)
    }

    /// Without declared hosts a setting may choose one label below a domain that the template names itself.
    fn suffix_allows(&self, host: &str, own_port: Option<u16>, rules: &UrlRules<'_>) -> bool {
        let Some(Piece::Literal(suffix)) = self.host.last() else { return false };
        let labels_of_suffix = suffix.matches('.').count();
        rules.allowed_hosts.is_empty()
            && own_port.is_none()
            && suffix.starts_with('.')
            && labels_of_suffix >= 2
            && host.matches('.').count() == self.sample_host().matches('.').count()
    }

    fn fill_host(
        &self,
        value: &dyn Fn(&str) -> Result<String, FillError>,
    ) -> Result<(String, Option<u16>), FillError> {
        let mut port = self.port;
        let whole = self.host.len() == 1 && self.port.is_none();
        let host = join(&self.host, |name| {
            let value = value(name)?.to_ascii_lowercase();
            let mut labels = value.as_str();
            // Only where a setting is the whole host it may also say the port: a server of one's own.
            if whole && let Some((before, after)) = value.split_once(':') {
                port = Some(after.parse().map_err(|_| unfit_host(name))?);
                labels = before;
            }
            if labels.split('.').all(hosts::is_label) { Ok(labels.to_owned()) } else { Err(unfit_host(name)) }
        })?;
        if host.len() > 253 || !(self.literal_host() || host.split('.').all(hosts::is_label)) {
            return Err(FillError::NotAUrl);
        }
        Ok((host.to_ascii_lowercase(), port))
    }

    fn literal_host(&self) -> bool {
        !self.host_has_settings()
    }

    fn sample_host(&self) -> String {
        join::<()>(&self.host, |_| Ok("x".to_owned())).unwrap_or_default().to_ascii_lowercase()
    }

    fn sample(&self) -> Option<Url> {
        let part = |pieces: &[Piece]| join::<()>(pieces, |_| Ok("x".to_owned())).unwrap_or_default();
        self.assemble(
            &self.sample_host(),
            self.port,
            &part(&self.path),
            self.query.as_deref().map(part).as_deref(),
        )
    }

    /// Puts the parts together, and takes the result only where it is read back as exactly these parts.
    fn assemble(&self, host: &str, port: Option<u16>, path: &str, query: Option<&str>) -> Option<Url> {
        let scheme = if self.https { "https" } else { "http" };
        let port_text = port.map(|port| format!(":{port}")).unwrap_or_default();
        let query_text = query.map(|query| format!("?{query}")).unwrap_or_default();
        let url = Url::parse(&format!("{scheme}://{host}{port_text}{path}{query_text}")).ok()?;
        let default_port = if self.https { 443 } else { 80 };
        let as_written = url.scheme() == scheme
            && url.host_str() == Some(host)
            && url.port_or_known_default() == Some(port.unwrap_or(default_port))
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
            && (url.path() == path || (path.is_empty() && url.path() == "/"))
            && url.query() == query;
        as_written.then_some(url)
    }
}

fn unfit_host(name: &str) -> FillError {
    let why =
        "only letters, digits and hyphens are allowed there, and dots where the manifest allows such a host";
    FillError::Unfit { name: name.to_owned(), place: "the host", why }
}

fn join<E>(pieces: &[Piece], mut value: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
    pieces.iter().try_fold(String::new(), |mut text, piece| {
        match piece {
            Piece::Literal(literal) => text.push_str(literal),
            Piece::Setting(name) => text.push_str(&value(name)?),
        }
        Ok(text)
    })
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let (https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(TemplateError::Scheme),
        };
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(authority_end);
        if authority.contains('@') || tail.contains('#') {
            return Err(TemplateError::Forbidden);
        }
        // A colon inside the brackets of an IPv6 address begins no port.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let port =
                    port.parse().map_err(|_| TemplateError::NotAUrl("the port is no number".to_owned()))?;
                (host, Some(port))
            }
            _ => (authority, None),
        };
        let (path, query) = match tail.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (tail, None),
        };
        let template = Self {
            https,
            host: pieces(host)?,
            port,
            path: pieces(path)?,
            query: query.map(pieces).transpose()?,
        };
        if template.sample().is_none() {
            let why = "a browser would read it in another way than it is written";
            return Err(TemplateError::NotAUrl(why.to_owned()));
        }
        Ok(template)
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        let (literal, after) = rest.split_at(open);
        let name_and_more = after.strip_prefix('{').ok_or(TemplateError::Braces)?;
        let (name, more) = name_and_more.split_once('}').ok_or(TemplateError::Braces)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(TemplateError::Braces);
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        pieces.push(Piece::Setting(name.to_owned()));
        rest = more;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(pieces)
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.https { "https://" } else { "http://" })?;
        let write = |formatter: &mut fmt::Formatter<'_>, pieces: &[Piece]| {
            pieces.iter().try_for_each(|piece| match piece {
                Piece::Literal(literal) => formatter.write_str(literal),
                Piece::Setting(name) => write!(formatter, "{{{name}}}"),
            })
        };
        write(formatter, &self.host)?;
        if let Some(port) = self.port {
            write!(formatter, ":{port}")?;
        }
        write(formatter, &self.path)?;
        if let Some(query) = &self.query {
            formatter.write_str("?")?;
            write(formatter, query)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
