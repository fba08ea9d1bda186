//! Writes the `Debug` of messages with secrets: what the contract marks `debug_redact` prints as a word. It goes by the
//! option in the descriptors, so a field that is marked cannot be forgotten here.

use std::fmt::{self, Write};

use protox::prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, Value};

/// The packages whose types this crate generates.
const PACKAGES: &str = "superfasttt.";

/// Whether the contract says that the field's value is not to be printed.
fn is_secret(field: &FieldDescriptor) -> bool {
    let options = field.options();
    options.get_field_by_name("debug_redact").is_some_and(|value| *value == Value::Bool(true))
}

fn holds_secrets(message: &MessageDescriptor) -> bool {
    message.fields().any(|field| is_secret(&field))
}

/// The messages whose `Debug` is not to be derived. The generator leaves it out for all that they contain too.
pub(super) fn underived(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    pool.all_messages()
        .filter(|message| message.full_name().starts_with(PACKAGES) && !message.is_map_entry())
        .filter(|message| {
            let parents = std::iter::successors(Some(message.clone()), MessageDescriptor::parent_message);
            parents.into_iter().any(|message| holds_secrets(&message))
        })
        .collect()
}

/// The implementations of `Debug` for these messages and what they contain.
pub(super) fn implementations(messages: &[MessageDescriptor]) -> Result<String, fmt::Error> {
    let mut code = String::new();
    for message in messages {
        let path = path(message);
        writeln!(code, "#[allow(deprecated, reason = \"a field is printed, whatever its age\")]")?;
        writeln!(code, "impl ::core::fmt::Debug for crate::{path} {{")?;
        writeln!(code, "fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{")?;
        writeln!(code, "f.debug_struct({:?})", message.name())?;
        for field in message.fields().filter(|field| !is_choice(field)) {
            let (name, value) = (field.name(), value(&field));
            writeln!(code, ".field({name:?}, &{value})")?;
        }
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let (name, ident) = (oneof.name(), ident(oneof.name()));
            writeln!(code, ".field({name:?}, &self.{ident})")?;
        }
        writeln!(code, ".finish()\n}}\n}}")?;
        let within = module(message);
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            writeln!(code, "impl ::core::fmt::Debug for crate::{within}::{} {{", camel(oneof.name()))?;
            writeln!(code, "fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{")?;
            writeln!(code, "match self {{")?;
            for field in oneof.fields() {
                let name = camel(field.name());
                let (bound, shown) =
                    if is_secret(&field) { ("_", "&super::Secret") } else { ("value", "value") };
                writeln!(code, "Self::{name}({bound}) => f.debug_tuple({name:?}).field({shown}).finish(),")?;
            }
            writeln!(code, "}}\n}}\n}}")?;
        }
        for kind in message.child_enums() {
            writeln!(code, "impl ::core::fmt::Debug for crate::{within}::{} {{", kind.name())?;
            writeln!(code, "fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{")?;
            writeln!(code, "f.write_str(self.as_str_name())\n}}\n}}")?;
        }
    }
    Ok(code)
}

/// A table of all messages for the test: a name, and what prints an encoded one.
pub(super) fn printers(pool: &DescriptorPool) -> Result<String, fmt::Error> {
    let mut code = String::from("&[\n");
    for message in pool.all_messages() {
        if message.full_name().starts_with(PACKAGES) && !message.is_map_entry() {
            let (name, path) = (message.full_name(), path(&message));
            writeln!(
                code,
                "({name:?}, |bytes| <superfasttt_proto::{path} as ::prost::Message>::decode(bytes).map(|message| format!(\"{{message:?}}\"))),"
            )?;
        }
    }
    code.push(']');
    Ok(code)
}

fn is_choice(field: &FieldDescriptor) -> bool {
    field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic())
}

fn value(field: &FieldDescriptor) -> String {
    if is_secret(field) {
        return "super::Secret".to_owned();
    }
    let ident = ident(field.name());
    let is_single = field.cardinality() != Cardinality::Repeated;
    match field.kind() {
        // Its name says more than its number.
        Kind::Enum(_) if is_single => format!("self.{ident}()"),
        _ => format!("self.{ident}"),
    }
}

/// The module of a package within this crate: `superfasttt.control.v1` is `control::v1`.
fn package(message: &MessageDescriptor) -> String {
    message.package_name().strip_prefix(PACKAGES).unwrap_or_default().replace('.', "::")
}

fn path(message: &MessageDescriptor) -> String {
    let parent = message.parent_message().map_or_else(|| package(message), |parent| module(&parent));
    format!("{parent}::{}", message.name())
}

/// The module of what a message contains.
fn module(message: &MessageDescriptor) -> String {
    let parent = message.parent_message().map_or_else(|| package(message), |parent| module(&parent));
    format!("{parent}::{}", snake(message.name()))
}

/// The names below follow the generator's for names written as the contract's linter wants them; for any other the
/// generated code does not compile.
fn ident(name: &str) -> String {
    if matches!(name, "type" | "in" | "ref" | "match" | "use" | "mod" | "move") {
        format!("r#{name}")
    } else {
        name.to_owned()
    }
}

fn camel(name: &str) -> String {
    let words = name.split('_').filter_map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
    });
    words.collect()
}

/// `OAuthApp` is `o_auth_app`: a word begins at a capital that follows a small letter or comes before one.
fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut text = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let small = |at: Option<usize>| {
            at.and_then(|at| letters.get(at)).is_some_and(|letter| !letter.is_ascii_uppercase())
        };
        let begins = small(at.checked_sub(1)) || small(Some(at + 1));
        if at > 0 && letter.is_ascii_uppercase() && begins {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
