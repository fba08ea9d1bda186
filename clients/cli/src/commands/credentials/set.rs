//! `credentials set`: what a person enters for a connector.

use std::collections::BTreeMap;

use superfasttt_proto::connector::v1::credential::Kind;
use superfasttt_proto::connector::v1::{Credential, FieldsCredential};
use superfasttt_proto::control::v1::{CredentialField, SetCredentialRequest};

use super::{finish, status};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::note;
use crate::resolve::{connection_id, empty_answer};
use crate::secret_input::{ask, ask_secret, can_ask, read};

pub const EXAMPLES: &str = "\
Without options it asks for each value that the connector wants; what is secret is not shown while it is typed. For programs, \
values come from standard input or from files, never from the command line, where others would see them. A value may also be a \
reference, which the server resolves at each use and never stores: $ENV:NAME, a variable of the server's environment, or \
$FILE:PATH, a file on its machine, as far as its configuration allows it (credentials.allowed_env, credentials.allowed_files).

Examples:
  connectorctl credentials set crm
  pass show crm | connectorctl credentials set crm --field key=-
  connectorctl credentials set mail --field username=alex --field-file password=/run/secrets/mail
  connectorctl credentials set crm --field 'key=$ENV:CRM_KEY'
  connectorctl credentials set backend                 an application that acts by itself: fetched from the provider";

/// Which connection, and its values.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The connection's name or id
    connection: String,
    /// A value: `-` reads it from standard input; what is secret may be `-` or a reference, not the value itself
    #[arg(long = "field", value_name = "NAME=VALUE", value_parser = parse)]
    fields: Vec<(String, String)>,
    /// A value from a file
    #[arg(long = "field-file", value_name = "NAME=PATH", value_parser = parse)]
    files: Vec<(String, String)>,
}

fn parse(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        // What was typed may be a secret.
        _ => Err("is not NAME=VALUE, such as key=-".to_owned()),
    }
}

/// `credentials set CONNECTION`.
pub async fn run(context: &mut Context, args: Args) -> Result<()> {
    let connection = connection_id(context, &args.connection).await?;
    let known = status(context, connection.clone()).await?.fields;
    let mut values = given(&args, &known)?;
    if can_ask() {
        for field in &known {
            if !values.contains_key(&field.name) {
                let value = ask_for(field)?;
                if !value.is_empty() {
                    values.insert(field.name.clone(), value);
                }
            }
        }
    }
    let missing: Vec<_> =
        known.iter().filter(|field| field.required && !values.contains_key(&field.name)).collect();
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|field| format!("--field {}=-", field.name)).collect();
        return Err(Error::Usage(format!("the connector also asks for: {}", names.join(", "))));
    }
    let credential = (!values.is_empty())
        .then(|| Credential { kind: Some(Kind::Fields(FieldsCredential { values })), ..Default::default() });
    let request = SetCredentialRequest { connection, credential, ..Default::default() };
    let answer = context.client.credentials().set_credential(request).await?.into_inner();
    let credential = answer.credential.ok_or_else(|| empty_answer("SetCredential"))?;
    finish(context, &args.connection, &credential)
}

/// The values that were given with the command.
fn given(args: &Args, known: &[CredentialField]) -> Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    let mut stdin_taken = false;
    let both =
        args.fields.iter().map(|field| (field, false)).chain(args.files.iter().map(|field| (field, true)));
    for ((name, value), is_file) in both {
        let field = known.iter().find(|field| field.name == *name);
        if field.is_none() && !known.is_empty() {
            let names: Vec<_> = known.iter().map(|field| field.name.as_str()).collect();
            return Err(Error::Usage(format!(
                "the connector asks for no {name:?}; it asks for: {}",
                names.join(", ")
            )));
        }
        let is_reference = value.starts_with("$ENV:") || value.starts_with("$FILE:");
        let value = if is_file {
            read(value)?
        } else if value == "-" {
            if std::mem::replace(&mut stdin_taken, true) {
                return Err(Error::Usage(
                    "only one value can come from standard input; give the others by --field-file".to_owned(),
                ));
            }
            read("-")?
        } else if field.is_none_or(|field| field.secret) && !is_reference {
            return Err(Error::Usage(format!(
                "{name} is secret, and others see what is on a command line: give it by standard input \
                 (--field {name}=-), from a file (--field-file {name}=PATH), or as a reference ($ENV:NAME, $FILE:PATH)"
            )));
        } else {
            value.clone()
        };
        if values.insert(name.clone(), value).is_some() {
            return Err(Error::Usage(format!("{name} is given twice")));
        }
    }
    Ok(values)
}

fn ask_for(field: &CredentialField) -> Result<String> {
    if !field.help.is_empty() {
        note(&format!("{}: {}", field.label, field.help));
    }
    let example =
        if field.placeholder.is_empty() { String::new() } else { format!(", such as {}", field.placeholder) };
    let optional = if field.required { "" } else { " (Enter for none)" };
    let question = format!("{}{example}{optional}", field.label);
    if field.secret { ask_secret(&question) } else { ask(&question) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, secret: bool) -> CredentialField {
        CredentialField { name: name.to_owned(), secret, required: true, ..Default::default() }
    }

    fn args(fields: &[(&str, &str)]) -> Args {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Args { connection: "crm".to_owned(), fields, files: Vec::new() }
    }

    #[test]
    fn a_secret_is_not_taken_from_the_command_line_and_not_told() {
        let known = [field("user", false), field("password", true)];
        let good = given(&args(&[("user", "alex"), ("password", "$ENV:PASSWORD")]), &known).unwrap();
        assert_eq!((good["user"].as_str(), good["password"].as_str()), ("alex", "$ENV:PASSWORD"));
        for bad in
            [&[("password", "hunter2")][..], &[("other", "hunter2")], &[("user", "hunter2"), ("user", "x")]]
        {
            let Err(Error::Usage(message)) = given(&args(bad), &known) else { panic!("{bad:?}") };
            assert!(!message.contains("hunter2"), "{message}");
        }
        assert!(!parse("hunter2").unwrap_err().contains("hunter2"));
    }
}
