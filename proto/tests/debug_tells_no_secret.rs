//! Whatever the contract marks `debug_redact` is in no `Debug`: tried with every message, by the descriptors.

#![expect(clippy::unwrap_used, reason = "a panic is the failure report, in helpers too")]

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};

const CANARY: &str = "canary-that-must-not-sing";
const SHOWN: &str = "may-be-shown";

type Print = fn(&[u8]) -> Result<String, prost::DecodeError>;

/// All messages of the contract.
const PRINTERS: &[(&str, Print)] = include!(concat!(env!("OUT_DIR"), "/printers.rs"));

fn pool() -> DescriptorPool {
    DescriptorPool::decode(superfasttt_proto::DESCRIPTORS).unwrap()
}

fn is_secret(field: &FieldDescriptor) -> bool {
    let options = field.options();
    options.get_field_by_name("debug_redact").is_some_and(|value| *value == Value::Bool(true))
}

/// A message with every field set, each choice the one with this number; `text` is the text of all its fields that no
/// option makes a secret.
fn filled(message: &MessageDescriptor, text: &str, choice: usize, depth: usize) -> DynamicMessage {
    let mut filled = DynamicMessage::new(message.clone());
    for field in message.fields() {
        if let Some(oneof) = field.containing_oneof()
            && oneof.fields().nth(choice % oneof.fields().len()) != Some(field.clone())
        {
            continue;
        }
        let text = if is_secret(&field) { CANARY } else { text };
        if let Some(value) = value(&field, text, choice, depth) {
            filled.set_field(&field, value);
        }
    }
    filled
}

fn value(field: &FieldDescriptor, text: &str, choice: usize, depth: usize) -> Option<Value> {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { return None };
        let value = one(&entry.map_entry_value_field().kind(), text, choice, depth)?;
        let key = match entry.map_entry_key_field().kind() {
            Kind::String => MapKey::String("key".to_owned()),
            _ => return None,
        };
        return Some(Value::Map([(key, value)].into()));
    }
    let value = one(&field.kind(), text, choice, depth)?;
    Some(if field.is_list() { Value::List(vec![value]) } else { value })
}

fn one(kind: &Kind, text: &str, choice: usize, depth: usize) -> Option<Value> {
    match kind {
        Kind::String => Some(Value::String(text.to_owned())),
        Kind::Bytes => Some(Value::Bytes(text.as_bytes().to_vec().into())),
        Kind::Message(message) if depth > 0 => Some(Value::Message(filled(message, text, choice, depth - 1))),
        Kind::Enum(kind) => Some(Value::EnumNumber(kind.values().last()?.number())),
        _ => None,
    }
}

/// Bytes print as numbers.
fn has_canary(printed: &str) -> bool {
    let numbers = format!("{:?}", CANARY.as_bytes());
    printed.contains(CANARY) || printed.contains(numbers.trim_matches(['[', ']']))
}

#[test]
fn no_message_prints_what_is_marked_as_a_secret() {
    let pool = pool();
    assert!(PRINTERS.len() > 100, "all messages are tried");
    for (name, print) in PRINTERS {
        let message = pool.get_message_by_name(name).unwrap();
        for choice in 0..16 {
            let filled = filled(&message, SHOWN, choice, 6);
            let printed = print(&filled.encode_to_vec()).unwrap();
            assert!(!has_canary(&printed), "{name} prints a secret: {printed}");
        }
    }
}

#[test]
fn each_marked_field_is_tried_and_the_others_are_printed() {
    let pool = pool();
    let mut tried = Vec::new();
    for (name, print) in PRINTERS {
        let message = pool.get_message_by_name(name).unwrap();
        for field in message.fields().filter(is_secret) {
            let mut only = DynamicMessage::new(message.clone());
            // Of the kinds of a setting the third is text.
            only.set_field(&field, value(&field, CANARY, 2, 6).unwrap());
            let bytes = only.encode_to_vec();
            assert!(bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()), "{name} is filled");
            let printed = print(&bytes).unwrap();
            assert!(!has_canary(&printed), "{name}.{} is printed: {printed}", field.name());
            assert!(printed.contains("[redacted]"), "{printed}");
            tried.push(format!("{name}.{}", field.name()));
        }
    }
    for known in [
        "superfasttt.connector.v1.OAuthToken.access_token",
        "superfasttt.connector.v1.FieldsCredential.values",
        "superfasttt.control.v1.SetCredentialRequest.credential",
    ] {
        assert!(tried.iter().any(|field| field == known), "{known} is not marked: {tried:?}");
    }
    let basic = pool.get_message_by_name("superfasttt.connector.v1.BasicCredential").unwrap();
    let (_, print) = PRINTERS.iter().find(|(name, _)| *name == basic.full_name()).unwrap();
    let printed = print(&filled(&basic, SHOWN, 0, 1).encode_to_vec()).unwrap();
    assert_eq!(printed, r#"BasicCredential { username: "may-be-shown", password: [redacted] }"#);
}

/// What a credential gives as its secrets is what the contract marks.
#[test]
fn the_secrets_of_a_credential_are_all_that_is_marked() {
    use superfasttt_proto::connector::v1::Credential;
    let message = pool().get_message_by_name("superfasttt.connector.v1.Credential").unwrap();
    for choice in 0..message.oneofs().next().unwrap().fields().len() {
        let filled = filled(&message, SHOWN, choice, 3);
        let credential = Credential::decode(filled.encode_to_vec().as_slice()).unwrap();
        assert_eq!(credential.secrets(), [CANARY], "{credential:?}");
    }
}
