//! Proto JSON of messages, by the descriptors: no second set of generated types.
//!
//! It differs from what the reflection library prints in three ways, none of which changes the meaning: whole
//! numbers in a `Struct` have no fraction (2048, not 2048.0), fields come in the order of the contract, and
//! the keys of maps are sorted, so that the same message is always the same text.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use superfasttt_proto::connector::v1 as connector;
use superfasttt_proto::control::v1 as control;

use crate::error::{Error, Result};

/// The descriptors of the contract and what it imports.
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(superfasttt_proto::DESCRIPTORS).expect("the build wrote these descriptors itself")
});

/// A message that can be printed.
pub trait ProtoJson: prost::Message {
    /// Its full name in the contract.
    const NAME: &'static str;
}

macro_rules! proto_json {
    ($package:literal: $($type:ty = $name:literal),+ $(,)?) => {
        $(impl ProtoJson for $type { const NAME: &'static str = concat!($package, ".", $name); })+
    };
}

proto_json!("superfasttt.control.v1":
    control::ApiToken = "ApiToken",
    control::ApproveDeletionsResponse = "ApproveDeletionsResponse",
    control::AuditEvent = "AuditEvent",
    control::CreateApiTokenResponse = "CreateApiTokenResponse",
    control::Connection = "Connection",
    control::DocumentDifference = "DocumentDifference",
    control::PreviewRenormalizationResponse = "PreviewRenormalizationResponse",
    control::Connector = "Connector",
    control::Consumer = "Consumer",
    control::CredentialStatus = "CredentialStatus",
    control::GetServerInfoResponse = "GetServerInfoResponse",
    control::ItemErrorRecord = "ItemErrorRecord",
    control::RetryItemErrorsResponse = "RetryItemErrorsResponse",
    control::OAuthApp = "OAuthApp",
    control::Run = "Run",
    control::RunLogRecord = "RunLogRecord",
    control::ScopeSyncState = "ScopeSyncState",
    control::StartAuthorizationResponse = "StartAuthorizationResponse",
    control::StartSyncResponse = "StartSyncResponse",
    control::TestConnectionResponse = "TestConnectionResponse",
);
proto_json!("superfasttt.connector.v1":
    connector::Change = "Change",
    connector::DocumentEnvelope = "DocumentEnvelope",
    connector::Resource = "Resource",
);
proto_json!("google.protobuf":
    prost_types::Struct = "Struct",
);

/// The message as one line of proto JSON.
///
/// # Errors
///
/// The message holds what JSON cannot say, such as a time that does not exist.
pub fn to_string<M: ProtoJson>(message: &M) -> Result<String> {
    let (value, descriptor) = parts(message)?;
    let mut text = String::new();
    write(&mut text, &value, Some(&descriptor));
    Ok(text)
}

/// The message as a JSON value.
///
/// # Errors
///
/// As [`to_string`].
pub fn to_value<M: ProtoJson>(message: &M) -> Result<Value> {
    Ok(parts(message)?.0)
}

fn parts<M: ProtoJson>(message: &M) -> Result<(Value, MessageDescriptor)> {
    let descriptor =
        POOL.get_message_by_name(M::NAME).expect("the types are generated from these descriptors");
    let no_json = |error: &dyn std::fmt::Display| {
        Error::Failed(format!("the server sent a {} that JSON cannot say: {error}", descriptor.name()))
    };
    let dynamic = DynamicMessage::decode(descriptor.clone(), message.encode_to_vec().as_slice())
        .map_err(|error| no_json(&error))?;
    let value = dynamic
        .serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new())
        .map_err(|error| no_json(&error))?;
    Ok((value, descriptor))
}

/// Writes a value whose fields, where it is a message of the contract, are those of `descriptor`.
fn write(text: &mut String, value: &Value, descriptor: Option<&MessageDescriptor>) {
    match value {
        Value::Object(object) => {
            // A message of `google.protobuf` that is an object is a Struct: its keys are data.
            let message = descriptor.filter(|it| it.package_name() != "google.protobuf");
            let Some(message) = message else {
                return write_object(text, object.iter().map(|(key, value)| (key.as_str(), value, None)));
            };
            let fields: Vec<_> =
                message.fields().map(|field| (field.json_name().to_owned(), field)).collect();
            let present = fields.iter().filter_map(|(name, field)| {
                let nested = match field.kind() {
                    Kind::Message(nested) if !field.is_map() => Some(nested),
                    _ => None,
                };
                Some((name.as_str(), object.get(name)?, nested))
            });
            write_object(text, present);
        }
        Value::Array(values) => {
            text.push('[');
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write(text, value, descriptor);
            }
            text.push(']');
        }
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()).and_then(whole) {
            Some(whole) => text.push_str(&whole.to_string()),
            None => text.push_str(&number.to_string()),
        },
        // Strings, true, false and null have one form.
        other => text.push_str(&other.to_string()),
    }
}

fn write_object<'a>(
    text: &mut String,
    members: impl Iterator<Item = (&'a str, &'a Value, Option<MessageDescriptor>)>,
) {
    text.push('{');
    for (place, (name, value, nested)) in members.enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(&quote(name));
        text.push(':');
        write(text, value, nested.as_ref());
    }
    text.push('}');
}

/// A JSON value that belongs to no message, as one line.
pub fn plain(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value, None);
    text
}

/// A JSON string.
pub fn quote(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// The whole number that a double is, where it is one that a double holds exactly.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and smaller than 2^53")]
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost_types::value::Kind as ValueKind;
    use prost_types::{Struct, Timestamp};

    use super::*;

    fn number(number: f64) -> prost_types::Value {
        prost_types::Value { kind: Some(ValueKind::NumberValue(number)) }
    }

    #[test]
    fn an_envelope_reads_as_the_platform_has_always_written_it() {
        let envelope = connector::DocumentEnvelope {
            id: "12345".into(),
            title: "Document.pdf".into(),
            content: Some("text".into()),
            source: "google-drive".into(),
            metadata: Some(Struct {
                fields: BTreeMap::from([("size".into(), number(2048.0)), ("ratio".into(), number(0.5))]),
            }),
            permissions: Some(connector::Permissions { visibility: "private".into(), ..Default::default() }),
            created_at: Some(Timestamp { seconds: 0, nanos: 0 }),
            media_type: "application/pdf".into(),
            ..Default::default()
        };
        assert_eq!(
            to_string(&envelope).unwrap(),
            r#"{"id":"12345","title":"Document.pdf","content":"text","source":"google-drive","metadata":{"ratio":0.5,"size":2048},"permissions":{"visibility":"private"},"mediaType":"application/pdf","createdAt":"1970-01-01T00:00:00Z"}"#
        );
    }

    #[test]
    fn an_empty_text_is_printed_and_an_absent_one_is_not() {
        let mut envelope = connector::DocumentEnvelope { id: "1".into(), ..Default::default() };
        assert_eq!(to_string(&envelope).unwrap(), r#"{"id":"1"}"#);
        envelope.content = Some(String::new());
        assert_eq!(to_string(&envelope).unwrap(), r#"{"id":"1","content":""}"#);
    }

    #[test]
    fn long_integers_are_strings_and_enums_are_names() {
        let run = control::Run {
            id: "r".into(),
            state: control::run::State::Succeeded.into(),
            counts: Some(control::RunCounts { created: 3, ..Default::default() }),
            pulls: 2,
            ..Default::default()
        };
        assert_eq!(
            to_string(&run).unwrap(),
            r#"{"id":"r","state":"STATE_SUCCEEDED","pulls":2,"counts":{"created":"3"}}"#
        );
    }

    #[test]
    fn the_keys_of_maps_are_sorted() {
        let fields: BTreeMap<_, _> = ["d", "a", "c", "b"].map(|key| (key.to_owned(), "v".to_owned())).into();
        let record = control::RunLogRecord { message: "m".into(), fields, ..Default::default() };
        assert_eq!(
            to_string(&record).unwrap(),
            r#"{"message":"m","fields":{"a":"v","b":"v","c":"v","d":"v"}}"#
        );
    }

    #[test]
    fn what_json_cannot_say_is_an_error_and_no_panic() {
        let metadata = Struct { fields: BTreeMap::from([("x".into(), number(f64::NAN))]) };
        let envelope = connector::DocumentEnvelope { metadata: Some(metadata), ..Default::default() };
        assert!(to_string(&envelope).unwrap_err().to_string().contains("DocumentEnvelope"));
    }

    #[test]
    fn whole_numbers_stay_exact() {
        for (double, told) in [(1e15, "1000000000000000"), (-3.0, "-3"), (1.5, "1.5"), (1e300, "1e300")] {
            let text = to_string(&Struct { fields: BTreeMap::from([("n".into(), number(double))]) }).unwrap();
            assert_eq!(text.replace("e+300", "e300"), format!(r#"{{"n":{told}}}"#));
        }
    }
}
