//! `credentials connect`: a link for the browser, and waiting until somebody agreed there.

use std::process::{Command, Stdio};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use superfasttt_proto::control::v1::get_authorization_response::State;
use superfasttt_proto::control::v1::{
    GetAuthorizationRequest, GetAuthorizationResponse, StartAuthorizationRequest, StartAuthorizationResponse,
};

use super::{finish, status};
use crate::context::Context;
use crate::error::{Error, Result, is_connection_lost};
use crate::output::{human, note};
use crate::resolve::connection_id;

pub const EXAMPLES: &str = "\
The link is for the person whose account it is. It is good for ten minutes and for one answer, and whoever opens it has to \
agree in the same browser. What was connected before stays in use until the new account is there.

Before the first account an administrator registers an application with the provider, once for each connector, and stores \
what the provider calls it: `connectorctl oauth-apps create`.

Examples:
  connectorctl credentials connect drive
  connectorctl credentials connect drive --no-browser         only print the link
  connectorctl credentials connect slack --capability execute  agree to what its actions need as well
  connectorctl -o json credentials connect drive --no-wait | jq -r .authorizationUrl

Exit 0 when the account is connected, 1 when it is not, with the reason. Ctrl-C stops the waiting; the link stays good.";

/// How long one call waits for the end.
const WAIT: Duration = Duration::from_secs(20);
/// The pause before a lost server is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Which connection, and what is asked for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The connection's name or id
    connection: String,
    /// Do not open a browser; only print the link
    #[arg(long)]
    no_browser: bool,
    /// Do not wait; print what was begun
    #[arg(long)]
    no_wait: bool,
    /// Ask for this scope as well; repeat for more
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Ask for what this capability of the connector needs, such as "execute"; repeat for more
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<String>,
    /// Where the browser ends, from what the server's oauth.return_urls allows; without it: a page of the server
    #[arg(long, value_name = "URL")]
    return_url: Option<String>,
}

/// `credentials connect CONNECTION`.
pub async fn run(context: &mut Context, args: Args) -> Result<()> {
    let connection = connection_id(context, &args.connection).await?;
    let request = StartAuthorizationRequest {
        connection: connection.clone(),
        return_url: args.return_url.unwrap_or_default(),
        extra_scopes: args.scopes,
        capabilities: args.capabilities,
        redirect_uri: String::new(),
    };
    let begun = context.client.credentials().start_authorization(request).await?.into_inner();
    if args.no_wait {
        if context.out.is_json() {
            return context.out.message(&begun);
        }
        context.out.line(&begun.authorization_url)?;
        context.out.flush()?;
        note("see how it ended with `connectorctl credentials status`");
        return Ok(());
    }
    note(&format!(
        "Open this link in the browser of the person whose account {} is to use:",
        args.connection
    ));
    note("");
    note(&format!("  {}", begun.authorization_url));
    note("");
    if is_local(&begun.authorization_url) {
        note(
            "It works in browsers on the machine of the server only: an administrator can set server.public_url there.",
        );
    }
    if !args.no_browser && open_browser(&begun.authorization_url) {
        note("A browser is being opened.");
    }
    let ended = wait(context, &begun, &args.connection).await?;
    match ended.state() {
        State::Succeeded => {
            let credential = status(context, connection).await?;
            finish(context, &args.connection, &credential)?;
            if !credential.missing_scopes.is_empty() {
                let missing = credential.missing_scopes.join(", ");
                note(&format!("not granted: {missing}; what needs that cannot be synced until it is"));
            }
            Ok(())
        }
        State::Expired | State::Failed => {
            // What is there now is data; why it is not what was wanted is the error.
            let credential = status(context, connection).await?;
            super::print(context, &credential)?;
            context.out.flush()?;
            Err(Error::Failed(format!("{} was not connected: {}", args.connection, ended.message)))
        }
        State::Pending | State::Unspecified => Err(Error::Failed(
            "the server does not say what became of it; its version does not fit".to_owned(),
        )),
    }
}

/// Waits until somebody has answered or the link has ended, over restarts of the server.
async fn wait(
    context: &Context,
    begun: &StartAuthorizationResponse,
    name: &str,
) -> Result<GetAuthorizationResponse> {
    let spinner = Spinner::begin(begun);
    loop {
        let request = GetAuthorizationRequest {
            authorization: begun.authorization.clone(),
            wait: Some(prost_types::Duration { seconds: WAIT.as_secs() as i64, nanos: 0 }),
        };
        let mut client = context.client.credentials();
        let answer = tokio::select! {
            answer = client.get_authorization(request) => answer,
            () = spinner.run() => continue,
            _ = tokio::signal::ctrl_c() => {
                drop(spinner);
                note("stopped waiting; the link stays good for its ten minutes");
                note(&format!("  see how it ended: connectorctl credentials status {name}"));
                return Err(Error::Said);
            }
        };
        match answer.map(tonic::Response::into_inner) {
            Ok(answer) if answer.state() == State::Pending => {}
            Ok(answer) => return Ok(answer),
            Err(status) if is_connection_lost(&status) && !spinner.is_over() => {
                tokio::time::sleep(PAUSE).await
            }
            Err(status) => return Err(status.into()),
        }
    }
}

/// Says on a terminal how long the link is good.
struct Spinner {
    bar: Option<ProgressBar>,
    ends_at: Option<prost_types::Timestamp>,
}

impl Spinner {
    fn begin(begun: &StartAuthorizationResponse) -> Self {
        use std::io::IsTerminal as _;
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}");
            ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self { bar, ends_at: begun.expires_at }
    }

    fn left(&self) -> Option<Duration> {
        (human::time(self.ends_at.as_ref())? - human::now()).to_std().ok()
    }

    fn is_over(&self) -> bool {
        self.left().is_none()
    }

    /// Goes on for ever.
    async fn run(&self) {
        let Some(bar) = &self.bar else { return std::future::pending().await };
        loop {
            let left = Duration::from_secs(self.left().unwrap_or_default().as_secs());
            bar.set_message(format!(
                "waiting for the browser; the link is good for {}",
                human::duration(left)
            ));
            bar.tick();
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn is_local(url: &str) -> bool {
    ["http://127.", "http://localhost", "http://[::1]"].iter().any(|begin| url.starts_with(begin))
}

/// Opens the person's browser, where there is one: the one that `BROWSER` names, else what the desktop calls its own.
fn open_browser(url: &str) -> bool {
    use std::io::IsTerminal as _;
    let named = std::env::var("BROWSER").ok().filter(|browser| !browser.is_empty());
    let has_desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let program = match named {
        Some(browser) => browser,
        // Somebody who is not there needs no browser.
        None if !std::io::stderr().is_terminal() => return false,
        None if cfg!(target_os = "macos") => "open".to_owned(),
        None if has_desktop => "xdg-open".to_owned(),
        None => return false,
    };
    let mut command = Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // It goes on when this program ends.
    command.spawn().is_ok()
}
