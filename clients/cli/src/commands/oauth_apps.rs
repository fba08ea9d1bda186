//! `oauth-apps`: what the installation, or an organisation of its own, is known to a provider by.

use superfasttt_proto::control::v1::{
    CreateOAuthAppRequest, DeleteOAuthAppRequest, GetCredentialRequest, GetOAuthAppRequest,
    ListConnectionsRequest, ListOAuthAppsRequest, OAuthApp, UpdateOAuthAppRequest,
};
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::table::{Column, Table};
use crate::output::{human, note};
use crate::pages;
use crate::resolve::empty_answer;
use crate::secret_input::{ask_secret, can_ask, read};

const EXAMPLES: &str = "\
A provider gives access to applications that it knows. So an administrator registers one there (most providers call that an \
OAuth app, an app registration or a client), with the redirect URI that `create` and `show` print, and stores here what the \
provider calls it, once for each connector. With --organization it belongs to that organisation, which then uses its own \
instead of the installation's.

Examples:
  connectorctl oauth-apps create google-drive --client-id 123.apps.googleusercontent.com
  pass show google | connectorctl oauth-apps create google-drive --client-id 123 --client-secret-file -
  connectorctl --organization acme oauth-apps create slack --client-id 456     a connector of one organisation
  connectorctl oauth-apps show google-drive
  connectorctl oauth-apps update google-drive --ask-client-secret              when the provider changed it
  connectorctl oauth-apps delete google-drive

APP is the connector's id, or the server's id of the OAuth app.";

/// What to do with OAuth apps.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Store the OAuth app of a connector; asks for its secret
    Create {
        /// The connector's id
        connector: String,
        /// What the provider calls the app
        #[arg(long, value_name = "ID")]
        client_id: String,
        /// Where its secret comes from.
        #[command(flatten)]
        secret: SecretArgs,
        /// It has no secret: the provider registered it as a public client
        #[arg(long, conflicts_with_all = ["client_secret_file", "ask_client_secret"])]
        public: bool,
    },
    /// List OAuth apps, oldest first
    #[command(visible_alias = "ls")]
    List,
    /// Show an OAuth app, and what has to be registered with the provider; never its secret
    Show {
        /// The connector's id, or the app's
        app: String,
    },
    /// Change the client id, the secret, or both
    Update {
        /// The connector's id, or the app's
        app: String,
        /// What the provider calls the app now
        #[arg(long, value_name = "ID")]
        client_id: Option<String>,
        /// Where its new secret comes from.
        #[command(flatten)]
        secret: SecretArgs,
    },
    /// Forget an OAuth app; accounts that were connected through it cannot be refreshed any more
    #[command(visible_alias = "rm")]
    Delete {
        /// The connector's id, or the app's
        app: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Where a secret comes from: never from the command line itself.
#[derive(Debug, clap::Args)]
pub struct SecretArgs {
    /// Read the secret, or the private key in PEM, from this file; "-": from standard input
    #[arg(long, value_name = "PATH")]
    client_secret_file: Option<String>,
    /// Ask for the secret at the terminal
    #[arg(long, conflicts_with = "client_secret_file")]
    ask_client_secret: bool,
}

impl SecretArgs {
    /// The secret; `None` where none is meant.
    fn read(&self, ask_anyway: bool) -> Result<Option<String>> {
        match &self.client_secret_file {
            Some(path) => read(path).map(Some),
            None if self.ask_client_secret || (ask_anyway && can_ask()) => {
                ask_secret("Client secret").map(Some)
            }
            None => Ok(None),
        }
    }
}

/// Runs a command of this group.
pub async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::Create { connector, client_id, secret, public } => {
            let secret = if public { None } else { secret.read(true)? };
            if secret.is_none() && !public {
                let message = "give the app's secret with --client-secret-file (\"-\": from standard input), or say \
                               --public where the provider gave none";
                return Err(Error::Usage(message.to_owned()));
            }
            let app = OAuthApp {
                organization: context.organization(),
                connector,
                client_id,
                client_secret: secret.unwrap_or_default(),
                ..OAuthApp::default()
            };
            let request = CreateOAuthAppRequest { oauth_app: Some(app) };
            let answer = context.client.credentials().create_o_auth_app(request).await?.into_inner();
            let app = answer.oauth_app.ok_or_else(|| empty_answer("CreateOAuthApp"))?;
            print(context, &app)?;
            note(&format!("register {} with the provider as the redirect URI", app.redirect_uri));
            Ok(())
        }
        Command::List => list(context).await,
        Command::Show { app } => {
            let app = find(context, &app).await?;
            print(context, &app)
        }
        Command::Update { app, client_id, secret } => {
            let found = find(context, &app).await?;
            let client_secret = secret.read(client_id.is_none())?;
            if client_id.is_none() && client_secret.is_none() {
                let message =
                    "say what is to be changed: --client-id, --client-secret-file or --ask-client-secret";
                return Err(Error::Usage(message.to_owned()));
            }
            let app = OAuthApp {
                id: found.id,
                etag: found.etag,
                client_id: client_id.unwrap_or_default(),
                client_secret: client_secret.unwrap_or_default(),
                ..OAuthApp::default()
            };
            let request = UpdateOAuthAppRequest { oauth_app: Some(app) };
            let answer = context.client.credentials().update_o_auth_app(request).await?.into_inner();
            print(context, &answer.oauth_app.ok_or_else(|| empty_answer("UpdateOAuthApp"))?)
        }
        Command::Delete { app, yes } => delete(context, &app, yes).await,
    }
}

async fn delete(context: &mut Context, app: &str, yes: bool) -> Result<()> {
    let found = find(context, app).await?;
    let connected = connected_through(context, &found).await?;
    let accounts = match connected.as_slice() {
        [] => "No account is connected through it.".to_owned(),
        names => format!(
            "These connections stop when their access ends, until somebody connects them again: {}.",
            names.join(", ")
        ),
    };
    context.confirm(&format!("Forget the OAuth app of {}? {accounts}", found.connector), yes)?;
    // Of accounts that were not named nobody was asked.
    let request = DeleteOAuthAppRequest { oauth_app: found.id, force: !connected.is_empty() };
    context.client.credentials().delete_o_auth_app(request).await?;
    if context.out.is_json() {
        return context.out.line("{}");
    }
    note(&format!("the OAuth app of {} is forgotten. {accounts}", found.connector));
    Ok(())
}

/// The names of the connections whose accounts were connected through an app.
async fn connected_through(context: &Context, app: &OAuthApp) -> Result<Vec<String>> {
    let client = context.client.clone();
    let connections = pages::all(None, |page_size, page_token| {
        let mut client = client.connections();
        let request = ListConnectionsRequest {
            organization: app.organization.clone(),
            connector: app.connector.clone(),
            page_size,
            page_token,
        };
        async move {
            let answer = client.list_connections(request).await?.into_inner();
            Ok((answer.connections, answer.next_page_token))
        }
    })
    .await?;
    let mut names = Vec::new();
    for connection in connections {
        let request = GetCredentialRequest { connection: connection.id };
        let credential = context.client.credentials().get_credential(request).await?.into_inner().credential;
        if credential.is_some_and(|credential| credential.oauth_app == app.id) {
            names.push(connection.name);
        }
    }
    Ok(names)
}

/// The OAuth app that is meant: by its id; else the connector's, of the organisation that was given, else the installation's.
async fn find(context: &Context, meant: &str) -> Result<OAuthApp> {
    if Uuid::try_parse(meant).is_ok() {
        let request = GetOAuthAppRequest { oauth_app: meant.to_owned() };
        let answer = context.client.credentials().get_o_auth_app(request).await?.into_inner();
        return answer.oauth_app.ok_or_else(|| empty_answer("GetOAuthApp"));
    }
    let organization = context.organization();
    let apps = all(context, organization.clone()).await?;
    let found = apps.into_iter().find(|app| app.connector == meant && app.organization == organization);
    found.ok_or_else(|| {
        let whose = match organization.as_str() {
            "" => "the installation has".to_owned(),
            organization => format!("the organisation {organization:?} has"),
        };
        Error::Failed(format!("{whose} no OAuth app for {meant:?}; see `connectorctl oauth-apps list`"))
    })
}

async fn all(context: &Context, organization: String) -> Result<Vec<OAuthApp>> {
    let client = context.client.clone();
    pages::all(None, |page_size, page_token| {
        let mut client = client.credentials();
        let request = ListOAuthAppsRequest { organization: organization.clone(), page_size, page_token };
        async move {
            let answer = client.list_o_auth_apps(request).await?.into_inner();
            Ok((answer.oauth_apps, answer.next_page_token))
        }
    })
    .await
}

async fn list(context: &mut Context) -> Result<()> {
    let apps = all(context, context.organization()).await?;
    if context.out.is_json() {
        return apps.iter().try_for_each(|app| context.out.message(app));
    }
    if apps.is_empty() {
        note(
            "there are no OAuth apps yet; store one with `connectorctl oauth-apps create CONNECTOR --client-id ID`",
        );
        return Ok(());
    }
    let columns = [
        Column::whole("CONNECTOR"),
        Column::text("ORGANISATION"),
        Column::text("CLIENT ID"),
        Column::text("SECRET"),
        Column::text("CHANGED"),
        Column::whole("ID"),
    ];
    let now = human::now();
    let mut table = Table::list(&columns);
    for app in apps {
        table.row([
            app.connector,
            if app.organization.is_empty() { "all".to_owned() } else { app.organization },
            app.client_id,
            secret(app.has_client_secret),
            human::relative(app.updated_at.as_ref(), now),
            app.id,
        ]);
    }
    context.out.table(&table)
}

fn print(context: &mut Context, app: &OAuthApp) -> Result<()> {
    if context.out.is_json() {
        return context.out.message(app);
    }
    let now = human::now();
    let mut table = Table::fields();
    table.field("id", &app.id);
    table.field("connector", &app.connector);
    table.field("organisation", if app.organization.is_empty() { "all" } else { &app.organization });
    table.field("client id", &app.client_id);
    table.field("secret", secret(app.has_client_secret));
    table.field("redirect URI", &app.redirect_uri);
    table.field("created", human::exact(app.created_at.as_ref(), now));
    table.field("changed", human::exact(app.updated_at.as_ref(), now));
    context.out.table(&table)
}

fn secret(is_there: bool) -> String {
    if is_there { "stored" } else { "none (public client)" }.to_owned()
}
