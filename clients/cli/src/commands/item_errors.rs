//! `errors list`, or `runs errors`: items of a connection that could not be read.

use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::control::v1::ListItemErrorsRequest;
use superfasttt_proto::error::reason_by_name;

use crate::context::Context;
use crate::error::{Result, who};
use crate::output::table::{Column, Table};
use crate::output::text::word;
use crate::output::{human, note};
use crate::{pages, resolve};

const EXAMPLES: &str = "\
Examples:
  connectorctl errors list docs
  connectorctl errors list docs --scope team-a --reason access-denied
  connectorctl -o json errors list docs | jq -r '.item + \": \" + .error.message'";

/// Whose item errors.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The connection's name or id
    connection: String,
    /// Only in this scope
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
    /// Only for this reason, such as access-denied
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: Option<Reason>,
    /// How many at most
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

/// A reason as people write it.
fn reason(text: &str) -> std::result::Result<Reason, String> {
    let name = text.to_uppercase().replace(['-', ' '], "_");
    reason_by_name(&name).ok_or_else(|| "there is no such reason: docs/errors lists them".to_owned())
}

/// `errors list CONNECTION [--scope SCOPE] [--reason REASON]`.
pub async fn run(context: &mut Context, args: Args) -> Result<()> {
    let connection = resolve::connection_id(context, &args.connection).await?;
    let client = context.client.clone();
    let fetch = |page_size, page_token| {
        let mut client = client.sync();
        let request = ListItemErrorsRequest {
            connection: connection.clone(),
            page_size,
            page_token,
            scope: args.scope.clone(),
            reason: args.reason.unwrap_or_default().into(),
        };
        async move {
            let answer = client.list_item_errors(request).await?.into_inner();
            Ok((answer.item_errors, answer.next_page_token))
        }
    };
    let out = &mut context.out;
    let now = human::now();
    let mut empty = true;
    pages::each_page(args.limit, fetch, |errors, first| {
        empty = empty && errors.is_empty();
        if out.is_json() {
            return errors.iter().try_for_each(|error| out.message(error));
        }
        if errors.is_empty() {
            return Ok(());
        }
        let columns = [
            Column::text("ITEM"),
            Column::whole("REASON"),
            Column::text("MESSAGE"),
            Column::text("WHO MUST ACT"),
            Column::number("TIMES"),
            Column::text("LAST SEEN"),
            Column::whole("ID"),
        ];
        let mut table = Table::list(&columns).without_header(!first);
        for record in errors {
            let error = record.error.unwrap_or_default();
            let mut item = if record.item.is_empty() { record.locator } else { record.item };
            if record.with_descendants {
                item.push_str(" and what is under it");
            }
            table.row([
                human::or_dash(&item),
                word(error.reason().as_str_name(), "REASON_"),
                error.message,
                who(&record.actor).to_owned(),
                human::count(record.attempts.into()),
                human::relative(record.last_seen_at.as_ref(), now),
                record.id,
            ]);
        }
        out.table(&table)
    })
    .await?;
    if empty && !out.is_json() {
        note("every item could be read");
    }
    Ok(())
}
