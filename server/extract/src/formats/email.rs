//! Mail messages: the headers that people read, the body, and the names of what is attached. Attachments are not
//! opened here: a source that wants their text yields them as documents of their own.

use mail_parser::{Address, MessageParser, MimeHeaders, PartType};

use super::{Source, html};
use crate::ExtractError;
use crate::normalize::Text;

pub(super) fn read(source: &mut Source<'_>, text: &mut Text) -> Result<(), ExtractError> {
    let bytes = source.read_whole()?;
    let message = MessageParser::default()
        .parse(&bytes)
        .ok_or_else(|| ExtractError::damaged("it is not a mail message"))?;
    header("Subject", message.subject().unwrap_or_default(), text);
    header("From", &people(message.from()), text);
    header("To", &people(message.to()), text);
    header("Cc", &people(message.cc()), text);
    header("Date", &message.date().map(mail_parser::DateTime::to_rfc3339).unwrap_or_default(), text);
    text.end_paragraph();

    for part in message.text_bodies() {
        match &part.body {
            PartType::Text(body) => text.push_str(body),
            PartType::Html(body) => html::read(body, text),
            _ => {}
        }
        text.end_paragraph();
    }

    let names: Vec<&str> = message.attachments().filter_map(|part| part.attachment_name()).collect();
    header("Attachments", &names.join(", "), text);
    Ok(())
}

fn header(name: &str, value: &str, text: &mut Text) {
    if value.is_empty() {
        return;
    }
    text.push_str(name);
    text.push_str(": ");
    text.push_str(value);
    text.end_line();
}

fn people(address: Option<&Address<'_>>) -> String {
    let Some(address) = address else { return String::new() };
    let person = |person: &mail_parser::Addr<'_>| match (person.name(), person.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => String::new(),
    };
    address.iter().map(person).filter(|person| !person.is_empty()).collect::<Vec<_>>().join(", ")
}
