//! `credentials`: how a connection's credential does; never what it is.

use superfasttt_proto::control::v1::{CredentialStatus, GetCredentialRequest, RevokeCredentialRequest};

use crate::context::Context;
use crate::error::Result;
use crate::output::human;
use crate::output::table::Table;
use crate::output::text::word;
use crate::resolve::{connection_id, empty_answer};

/// What to do with credentials.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Say how a connection's credential does
    Status {
        /// The connection's name or id
        connection: String,
    },
    /// Withdraw the grant at the provider, where it can, and forget the credential
    Revoke {
        /// The connection's name or id
        connection: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Runs a command of this group.
pub async fn run(context: &mut Context, command: Command) -> Result<()> {
    let credential = match command {
        Command::Status { connection } => {
            let connection = connection_id(context, &connection).await?;
            let answer =
                context.client.credentials().get_credential(GetCredentialRequest { connection }).await?;
            answer.into_inner().credential
        }
        Command::Revoke { connection, yes } => {
            context.confirm(&format!("Revoke the credential of {connection}? It stops syncing."), yes)?;
            let connection = connection_id(context, &connection).await?;
            let answer = context
                .client
                .credentials()
                .revoke_credential(RevokeCredentialRequest { connection })
                .await?;
            answer.into_inner().credential
        }
    };
    print(context, &credential.ok_or_else(|| empty_answer("the credential"))?)
}

fn print(context: &mut Context, credential: &CredentialStatus) -> Result<()> {
    if context.out.is_json() {
        return context.out.message(credential);
    }
    let now = human::now();
    let mut table = Table::fields();
    table.field("state", word(credential.state().as_str_name(), "STATE_"));
    table.field("auth", human::or_dash(&credential.auth_type));
    if let Some(account) = &credential.account {
        table.field(
            "account",
            if account.display_name.is_empty() { &account.id } else { &account.display_name },
        );
    }
    table.field_if("scopes", &credential.granted_scopes.join(" "));
    table.field_if("missing scopes", &credential.missing_scopes.join(" "));
    table.field("ends", human::exact(credential.expires_at.as_ref(), now));
    table.field("refreshed", human::exact(credential.refreshed_at.as_ref(), now));
    table.field_if("message", &credential.message);
    context.out.table(&table)
}
