//! Lines on stdout: for people, or one of JSON for each thing.

use std::io::{self, Write};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use superfasttt_proto::DESCRIPTORS;

/// Where a command tells what it found.
pub(super) struct Output {
    is_json: bool,
    descriptors: DescriptorPool,
}

impl Output {
    pub(super) fn new(is_json: bool) -> Self {
        let descriptors = DescriptorPool::decode(DESCRIPTORS)
            .expect("the contract's descriptors are built with this crate");
        Self { is_json, descriptors }
    }

    /// Says one thing: `text` to people, `{kind: found}` to programs.
    pub(super) fn say(&self, kind: &str, found: &Value, text: &str) -> io::Result<()> {
        let line = if self.is_json { json!({ kind: found }).to_string() } else { text.to_owned() };
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()
    }

    /// A message of the contract as JSON. `name` is that of the message in package `superfasttt.connector.v1`.
    pub(super) fn json_of(&self, name: &str, message: &impl Message) -> Value {
        let name = format!("superfasttt.connector.v1.{name}");
        let descriptor = self.descriptors.get_message_by_name(&name);
        let dynamic =
            descriptor.and_then(|it| DynamicMessage::decode(it, message.encode_to_vec().as_slice()).ok());
        dynamic.and_then(|dynamic| serde_json::to_value(dynamic).ok()).unwrap_or_default()
    }
}
