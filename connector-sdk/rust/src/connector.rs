//! The trait that an author implements. Two methods are required, the others answer UNIMPLEMENTED until the
//! author writes them and the manifest declares them.

use std::future::Future;

use serde::{Serialize, de::DeserializeOwned};
use superfasttt_proto::connector::v1::{DiscoverResponse, DocumentEnvelope, HandleEventResponse, Reason};
use superfasttt_proto::error::ConnectorError;

use crate::checks::Checks;
use crate::content::ContentWriter;
use crate::item::ItemKey;
use crate::request::{Action, Discover, Event, FetchContent, Pull, TestConnection};
use crate::sink::Sink;

/// One kind of source. A value of it serves many connections at the same time and keeps nothing between calls:
/// everything that a call needs comes with its request.
///
/// The methods are written as `async fn` in an implementation. Each may be dropped at any await point, when the
/// server has no more use for the answer. A panic becomes an INTERNAL error of that call (in `normalize`: of that
/// item) and harms nothing else.
pub trait Connector: Sized + Send + Sync + 'static {
    /// What a person sets, as the manifest's `settings` schema declares it. Settings marked `x-secret` are not
    /// given to the Normalize rpc, so their fields need a default (`Option` has one).
    type Settings: DeserializeOwned + Send + Sync + 'static;

    /// An item as the source gives it. In the common path it goes from `pull` to `normalize` as a value; it is
    /// written as JSON only where a connection keeps raw items.
    type Raw: Serialize + DeserializeOwned + Send + 'static;

    /// Names the shape of [`Self::Raw`]. Give a new name when the shape changes, and read the old ones in
    /// [`Self::decode_raw`]. At most 255 bytes.
    const RAW_SCHEMA: &'static str = "item/1";

    /// The text of `manifest.json`, usually `include_str!("../manifest.json")`. Its `capabilities` say what is
    /// served: `incremental`, `full_listing`, `list`, `targeted`, `discover`, `fetch_content`, `handle_event`,
    /// `execute`.
    fn manifest(&self) -> &str;

    /// What an answer of this HTTP status (400 and above) means in this source, where it differs from the usual.
    #[cfg(feature = "http")]
    fn status_reason(&self, _status: u16) -> Option<Reason> {
        None
    }

    /// Brings changes: reads the source from where [`Pull::cursor`] says, gives each item to `sink`, and calls
    /// [`Sink::checkpoint`] at least every 60 seconds or 1,000 items. Pages, their order, and the choice between
    /// raw items and envelopes are the sink's.
    ///
    /// # Errors
    ///
    /// What concerns the whole connection. For one bad item give [`Sink::item_error`] and go on; for one bad
    /// scope, [`Sink::scope_error`].
    fn pull(
        &self,
        pull: Pull<Self::Settings>,
        sink: &Sink<Self>,
    ) -> impl Future<Output = Result<(), ConnectorError>> + Send;

    /// Turns an item into an envelope. Pure: the same answer for the same item each time, no network, no clock.
    /// The SDK writes `id`, `version` and `content_ref` of the envelope from `key`.
    ///
    /// # Errors
    ///
    /// The item is recorded as failed, and the pull goes on.
    fn normalize(
        &self,
        key: &ItemKey,
        raw: Self::Raw,
        settings: &Self::Settings,
    ) -> Result<DocumentEnvelope, ConnectorError>;

    /// Reads a raw item that was kept, perhaps by an older version of this connector.
    ///
    /// # Errors
    ///
    /// By default an item of another schema than [`Self::RAW_SCHEMA`], or one that does not parse.
    fn decode_raw(&self, schema: &str, data: &[u8]) -> Result<Self::Raw, ConnectorError> {
        if schema != Self::RAW_SCHEMA {
            let message = format!(
                "the item was kept as schema {schema:?} and this connector reads {:?}: pull it again",
                Self::RAW_SCHEMA
            );
            return Err(ConnectorError::new(Reason::Internal, message));
        }
        // The parser's own message may quote the data, so only the place is told.
        serde_json::from_slice(data).map_err(|error| {
            let message =
                format!("the kept item does not parse at line {}, column {}", error.line(), error.column());
            ConnectorError::new(Reason::Internal, message)
        })
    }

    /// Tries a connection: named checks in the order in which a person should read them. A failed check is an
    /// answer, not an error. By default only the settings are checked.
    ///
    /// # Errors
    ///
    /// When nothing could be found out at all.
    fn test_connection(
        &self,
        _request: TestConnection<Self::Settings>,
    ) -> impl Future<Output = Result<Checks, ConnectorError>> + Send {
        async { Ok(Checks::new().passed("settings_valid", "the settings can be read")) }
    }

    /// Lists what a person may pick in settings, one level under a parent.
    ///
    /// # Errors
    ///
    /// When the resources cannot be listed.
    fn discover(
        &self,
        _request: Discover,
    ) -> impl Future<Output = Result<DiscoverResponse, ConnectorError>> + Send {
        async { Err(unimplemented("discover")) }
    }

    /// Streams the bytes behind a `content_ref`: first the header, then chunks of any size.
    ///
    /// # Errors
    ///
    /// When the bytes cannot be had; also in the middle of them.
    fn fetch_content(
        &self,
        _request: FetchContent<Self::Settings>,
        _content: &mut ContentWriter,
    ) -> impl Future<Output = Result<(), ConnectorError>> + Send {
        async { Err(unimplemented("fetch_content")) }
    }

    /// Verifies a webhook and says what it means.
    ///
    /// # Errors
    ///
    /// When that cannot be said now. A wrong signature is an answer: `verified: false`.
    fn handle_event(
        &self,
        _event: Event<Self::Settings>,
    ) -> impl Future<Output = Result<HandleEventResponse, ConnectorError>> + Send {
        async { Err(unimplemented("handle_event")) }
    }

    /// Carries out an action of the manifest and gives its output.
    ///
    /// # Errors
    ///
    /// When the deed was not done.
    fn execute(
        &self,
        _action: Action<Self::Settings>,
    ) -> impl Future<Output = Result<serde_json::Map<String, serde_json::Value>, ConnectorError>> + Send {
        async { Err(unimplemented("execute")) }
    }
}

/// What a call answers that this connector does not serve.
pub(crate) fn unimplemented(capability: &str) -> ConnectorError {
    let message = format!("this connector does not serve {capability}");
    ConnectorError::new(Reason::Unimplemented, message)
}
