//! `credentials`: what connections authenticate with. Secrets go in and never come out.

mod connect;
mod import_fernet;
mod set;

use superfasttt_proto::connector::v1::AccountIdentity;
use superfasttt_proto::control::v1::credential_status::State;
use superfasttt_proto::control::v1::{
    ConfirmAccountRequest, CredentialStatus, GetCredentialRequest, RefreshCredentialRequest,
    RevokeCredentialRequest,
};

use crate::commands::connections::One;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::table::Table;
use crate::output::text::word;
use crate::output::{human, note};
use crate::resolve::{connection_id, empty_answer};

const EXAMPLES: &str = "\
Which one a connection needs depends on its connector (`connectorctl connectors show ID`): an account is connected in the \
browser, keys and passwords are entered.

Examples:
  connectorctl credentials connect drive           connect an account: gives a link, waits until somebody agreed
  connectorctl credentials set crm                 enter a key or a password; it asks for each value
  connectorctl credentials status drive            how it does, and who has to act
  connectorctl credentials refresh drive           get a new access token now
  connectorctl credentials confirm drive           go on with another account than before
  connectorctl credentials revoke drive            withdraw the grant and forget it
  connectorctl credentials import-fernet FILE --key-file KEYS    take over what another system held

CONNECTION is the connection's name, in the organisation given with --organization, or the server's id.";

/// What to do with credentials.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Connect an account in the browser, and wait until it is connected
    #[command(after_help = connect::EXAMPLES)]
    Connect(connect::Args),
    /// Enter what the connector asks for: a key, a token, a password, a certificate
    #[command(after_help = set::EXAMPLES)]
    Set(set::Args),
    /// Say how a connection's credential does; never what it is
    Status(One),
    /// Get a new access token from the provider now
    Refresh(One),
    /// Go on with another account than the one that was connected before; everything is listed again
    Confirm {
        /// Which
        #[command(flatten)]
        one: One,
        /// The id of the account that is meant; without it: the one that waits
        #[arg(long, value_name = "ID")]
        account: Option<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Take over credentials that another system held, sealed with Fernet
    #[command(after_help = import_fernet::EXAMPLES)]
    ImportFernet(import_fernet::Args),
    /// Withdraw the grant at the provider, where it can, and forget the credential
    Revoke {
        /// Which
        #[command(flatten)]
        one: One,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Runs a command of this group.
pub async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::Connect(args) => connect::run(context, args).await,
        Command::Set(args) => set::run(context, args).await,
        Command::ImportFernet(args) => import_fernet::run(context, args).await,
        Command::Status(one) => {
            let connection = connection_id(context, &one.connection).await?;
            let credential = status(context, connection).await?;
            print(context, &credential)
        }
        Command::Refresh(one) => {
            let connection = connection_id(context, &one.connection).await?;
            let request = RefreshCredentialRequest { connection };
            let answer = context.client.credentials().refresh_credential(request).await?.into_inner();
            print(context, &answer.credential.ok_or_else(|| empty_answer("RefreshCredential"))?)
        }
        Command::Confirm { one, account, yes } => confirm(context, one, account, yes).await,
        Command::Revoke { one, yes } => revoke(context, one, yes).await,
    }
}

async fn confirm(context: &mut Context, one: One, account: Option<String>, yes: bool) -> Result<()> {
    let connection = connection_id(context, &one.connection).await?;
    let before = status(context, connection.clone()).await?;
    let Some(other) = &before.other_account else {
        let message = format!("no other account waits to be confirmed for {}", one.connection);
        return Err(Error::Failed(message));
    };
    let so_far = before.account.as_ref().map_or_else(|| "nobody".to_owned(), shown);
    context.confirm(
        &format!(
            "Go on with {} instead of {so_far}? Documents that only the former account can see are deleted.",
            shown(other)
        ),
        yes,
    )?;
    let request =
        ConfirmAccountRequest { connection, account_id: account.unwrap_or_else(|| other.id.clone()) };
    let answer = context.client.credentials().confirm_account(request).await?.into_inner();
    print(context, &answer.credential.ok_or_else(|| empty_answer("ConfirmAccount"))?)
}

async fn revoke(context: &mut Context, one: One, yes: bool) -> Result<()> {
    context.confirm(&format!("Revoke the credential of {}? It stops syncing.", one.connection), yes)?;
    let connection = connection_id(context, &one.connection).await?;
    let request = RevokeCredentialRequest { connection };
    let answer = context.client.credentials().revoke_credential(request).await?.into_inner();
    if !answer.provider_message.is_empty() {
        note(&format!("the provider did not withdraw it: {}", answer.provider_message));
        note("it is forgotten here; end it in the settings of the account as well");
    }
    print(context, &answer.credential.ok_or_else(|| empty_answer("RevokeCredential"))?)
}

async fn status(context: &Context, connection: String) -> Result<CredentialStatus> {
    let request = GetCredentialRequest { connection };
    let answer = context.client.credentials().get_credential(request).await?.into_inner();
    answer.credential.ok_or_else(|| empty_answer("GetCredential"))
}

/// Prints a credential that somebody has just connected or entered; an error where it cannot be used yet.
fn finish(context: &mut Context, name: &str, credential: &CredentialStatus) -> Result<()> {
    print(context, credential)?;
    context.out.flush()?;
    match credential.state() {
        State::Connected | State::Expiring => Ok(()),
        _ if credential.message.is_empty() => Err(Error::Failed(format!(
            "{name} is not connected: {}",
            word(credential.state().as_str_name(), "STATE_")
        ))),
        _ => Err(Error::Failed(format!("{name} is not connected: {}", credential.message))),
    }
}

/// An account as people know it.
fn shown(account: &AccountIdentity) -> String {
    let name = [&account.display_name, &account.email].into_iter().find(|name| !name.is_empty());
    match name {
        Some(name) if *name != account.id => format!("{name} ({})", account.id),
        _ => account.id.clone(),
    }
}

fn print(context: &mut Context, credential: &CredentialStatus) -> Result<()> {
    if context.out.is_json() {
        return context.out.message(credential);
    }
    let now = human::now();
    let time = |time: Option<&prost_types::Timestamp>| {
        time.map(|time| human::exact(Some(time), now)).unwrap_or_default()
    };
    let mut table = Table::fields();
    table.field("state", word(credential.state().as_str_name(), "STATE_"));
    table.field_if("since", &time(credential.since.as_ref()));
    table.field_if("message", &credential.message);
    table.field_if("reason", &credential.reason);
    table.field("auth", human::or_dash(&credential.auth_type));
    table.field_if("account", &credential.account.as_ref().map(shown).unwrap_or_default());
    table.field_if("other account", &credential.other_account.as_ref().map(shown).unwrap_or_default());
    table.field_if("scopes", &credential.granted_scopes.join(" "));
    table.field_if("missing scopes", &credential.missing_scopes.join(" "));
    table.field_if("connected", &time(credential.connected_at.as_ref()));
    table.field_if("ends", &time(credential.expires_at.as_ref()));
    table.field_if("refreshed", &time(credential.refreshed_at.as_ref()));
    table.field_if("next refresh", &time(credential.refresh_at.as_ref()));
    table.field_if("OAuth app", &credential.oauth_app);
    if credential.state() == State::Pending && !credential.fields.is_empty() {
        let names: Vec<_> = credential.fields.iter().map(|field| field.name.as_str()).collect();
        table.field("asks for", names.join(", "));
    }
    context.out.table(&table)
}
