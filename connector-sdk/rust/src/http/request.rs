//! A request that is being put together.

use std::fmt::Display;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;
use url::{Url, form_urlencoded};

use crate::http::client::HttpClient;
use crate::http::har::Asked;
use crate::http::response::HttpResponse;

/// A request to the source. What was wrong with a part of it is told by [`HttpRequest::send`].
#[must_use = "nothing is asked before `send`"]
#[derive(Debug)]
pub struct HttpRequest<'a> {
    client: &'a HttpClient,
    asked: Result<Asked, ConnectorError>,
    with_credential: bool,
    any_status: bool,
}

impl<'a> HttpRequest<'a> {
    pub(super) fn new(client: &'a HttpClient, method: Method, url: &str) -> Self {
        let asked = Url::parse(url).map_err(|_| {
            let message =
                "an address is none: it was made of the connection's settings, or of what the source said";
            ConnectorError::new(Reason::SettingsInvalid, message)
        });
        let headers =
            HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5"))]);
        let asked = asked.map(|url| Asked { method, url, headers, body: Bytes::new() });
        Self { client, asked, with_credential: true, any_status: false }
    }

    /// Adds a query parameter.
    pub fn query(self, name: &str, value: impl Display) -> Self {
        self.with(|asked| {
            asked.url.query_pairs_mut().append_pair(name, &value.to_string());
            Ok(())
        })
    }

    /// Sets a header.
    pub fn header(self, name: &str, value: impl AsRef<str>) -> Self {
        self.with(|asked| {
            // The value is not told: it may be secret.
            let wrong =
                || ConnectorError::new(Reason::Internal, format!("the header {name:?} cannot be sent"));
            let name: HeaderName = name.parse().map_err(|_| wrong())?;
            asked.headers.insert(name, value.as_ref().parse().map_err(|_| wrong())?);
            Ok(())
        })
    }

    /// Sends this value as JSON.
    pub fn json(self, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value)
            .map_err(|_| ConnectorError::new(Reason::Internal, "the request cannot be written as JSON"));
        self.typed("application/json", body)
    }

    /// Sends these fields as an HTML form.
    pub fn form<N: AsRef<str>, V: AsRef<str>>(self, fields: impl IntoIterator<Item = (N, V)>) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.typed("application/x-www-form-urlencoded", Ok(body.into_bytes()))
    }

    /// Sends these bytes. Their type is set with [`HttpRequest::header`].
    pub fn body(self, bytes: impl Into<Bytes>) -> Self {
        self.with(|asked| {
            asked.body = bytes.into();
            Ok(())
        })
    }

    /// Leaves the credential out, as for an address that is signed already.
    pub fn without_credential(mut self) -> Self {
        self.with_credential = false;
        self
    }

    /// Gives answers of 400 and above too, where [`HttpRequest::send`] otherwise makes errors of them.
    pub fn any_status(mut self) -> Self {
        self.any_status = true;
        self
    }

    /// Asks, and waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// SETTINGS_INVALID for an address or a host that may not be asked; RATE_LIMITED and SOURCE_UNAVAILABLE when waiting and
    /// trying again were of no use; the reason of an answer of 400 and above. The metadata `http_status` has its number.
    pub async fn send(self) -> Result<HttpResponse, ConnectorError> {
        self.client.send(self.asked?, self.with_credential, self.any_status).await
    }

    fn typed(self, media_type: &'static str, body: Result<Vec<u8>, ConnectorError>) -> Self {
        self.with(|asked| {
            asked.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            asked.body = body?.into();
            Ok(())
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Asked) -> Result<(), ConnectorError>) -> Self {
        self.asked = self.asked.and_then(|mut asked| change(&mut asked).map(|()| asked));
        self
    }
}
