//! `tokens`: what opens the control API, and how little each may do.

use std::time::Duration;

use chrono::TimeDelta;
use superfasttt_proto::control::v1::{
    ApiToken, CreateApiTokenRequest, ListApiTokensRequest, RevokeApiTokenRequest,
};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::table::{Column, Table};
use crate::output::{human, note};
use crate::pages;
use crate::resolve::empty_answer;
use crate::schedule::length::parse_length;

const EXAMPLES: &str = "\
Examples:
  connectorctl --organization acme tokens create console --permission integrations.manage --expires-in 90d
  connectorctl --organization acme tokens create cortex --permission integrations.read
  connectorctl tokens create prometheus --permission admin
  connectorctl tokens list
  connectorctl tokens revoke console

With --organization a token sees and changes that organisation alone; without it, all of them.
Permissions, each with those before it in it:
  integrations.read      see connections, runs and documents
  integrations.manage    change them, and connect accounts
  admin                  everything: tokens, the audit log, consumers, metrics; for the whole installation only

A token is shown once, when it is made: the server keeps its hash alone. Give it to connectorctl in
CONNECTORCTL_TOKEN, to other clients as `authorization: Bearer TOKEN`.";

/// What to do with API tokens.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Make a token and print it: it cannot be shown again
    Create(Create),
    /// List tokens, oldest first, those that ended too
    #[command(visible_alias = "ls")]
    List,
    /// End a token at once
    #[command(visible_alias = "rm")]
    Revoke {
        /// The token's name or id
        token: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// What a new token is for.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// Its name, for people: what or who will use it
    name: String,
    /// What it may do: integrations.read, integrations.manage or admin
    #[arg(long = "permission", required = true, value_name = "PERMISSION", value_delimiter = ',')]
    permissions: Vec<String>,
    /// End it after this long, such as 90d. Without it, it lasts until it is revoked
    #[arg(long, value_name = "LENGTH", value_parser = parse_length)]
    expires_in: Option<Duration>,
}

/// Runs a command of this group.
pub async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => create(context, args).await,
        Command::List => list(context).await,
        Command::Revoke { token, yes } => revoke(context, &token, yes).await,
    }
}

async fn create(context: &mut Context, args: Create) -> Result<()> {
    let expires_at = match args.expires_in {
        None => None,
        Some(length) => {
            let end =
                TimeDelta::from_std(length).ok().and_then(|length| human::now().checked_add_signed(length));
            let end = end.ok_or_else(|| Error::Usage("--expires-in is too long".to_owned()))?;
            Some(prost_types::Timestamp { seconds: end.timestamp(), nanos: 0 })
        }
    };
    let token = ApiToken {
        name: args.name,
        organization: context.organization(),
        permissions: args.permissions,
        expires_at,
        ..ApiToken::default()
    };
    let request = CreateApiTokenRequest { api_token: Some(token) };
    let answer = context.client.admin().create_api_token(request).await?.into_inner();
    if context.out.is_json() {
        return context.out.message(&answer);
    }
    let made = answer.api_token.as_ref().ok_or_else(|| empty_answer("CreateApiToken"))?;
    let whose = match made.organization.as_str() {
        "" => "the whole installation".to_owned(),
        organization => format!("the organisation {organization}"),
    };
    note(&format!("{} may {} in {whose}; it is shown only now:", made.name, made.permissions.join(", ")));
    context.out.line(&answer.secret)
}

async fn list(context: &mut Context) -> Result<()> {
    let tokens = all(context).await?;
    if context.out.is_json() {
        return tokens.iter().try_for_each(|token| context.out.message(token));
    }
    if tokens.is_empty() {
        note("there are no API tokens; make one with `connectorctl tokens create`");
        return Ok(());
    }
    let now = human::now();
    let columns = [
        Column::whole("NAME"),
        Column::text("ORGANISATION"),
        Column::text("PERMISSIONS"),
        Column::text("STATE"),
        Column::text("LAST USED"),
        Column::text("ENDS"),
        Column::text("CREATED"),
        Column::whole("ID"),
    ];
    let mut table = Table::list(&columns);
    for token in tokens {
        let expired = human::time(token.expires_at.as_ref()).is_some_and(|end| end <= now);
        let state = match (token.revoked_at.is_some(), expired) {
            (true, _) => "revoked",
            (false, true) => "expired",
            (false, false) => "good",
        };
        table.row([
            token.name,
            if token.organization.is_empty() { "all".to_owned() } else { token.organization },
            token.permissions.join(", "),
            state.to_owned(),
            human::relative(token.last_used_at.as_ref(), now),
            human::relative(token.expires_at.as_ref(), now),
            human::relative(token.created_at.as_ref(), now),
            token.id,
        ]);
    }
    context.out.table(&table)
}

async fn revoke(context: &mut Context, meant: &str, yes: bool) -> Result<()> {
    let tokens = all(context).await?;
    let found = tokens
        .into_iter()
        .find(|token| token.id == meant || (token.name == meant && token.revoked_at.is_none()));
    let Some(token) = found else {
        return Err(Error::Failed(
            "there is no such API token that is not revoked; see `connectorctl tokens list`".to_owned(),
        ));
    };
    context.confirm(&format!("Revoke the API token {}? Whoever uses it is locked out.", token.name), yes)?;
    let request = RevokeApiTokenRequest { api_token: token.id };
    let answer = context.client.admin().revoke_api_token(request).await?.into_inner();
    let revoked = answer.api_token.ok_or_else(|| empty_answer("RevokeApiToken"))?;
    if context.out.is_json() {
        return context.out.message(&revoked);
    }
    note(&format!("{} opens nothing any more", revoked.name));
    Ok(())
}

async fn all(context: &Context) -> Result<Vec<ApiToken>> {
    let client = context.client.clone();
    let organization = context.organization();
    pages::all(None, |page_size, page_token| {
        let mut client = client.admin();
        let request = ListApiTokensRequest { organization: organization.clone(), page_size, page_token };
        async move {
            let answer = client.list_api_tokens(request).await?.into_inner();
            Ok((answer.api_tokens, answer.next_page_token))
        }
    })
    .await
}
