//! `runs errors`: items of a connection that could not be read.

use superfasttt_proto::control::v1::ListItemErrorsRequest;

use crate::context::Context;
use crate::error::{Result, who};
use crate::output::table::{Column, Table};
use crate::output::text::word;
use crate::output::{human, note};
use crate::{pages, resolve};

const EXAMPLES: &str = "\
Examples:
  connectorctl runs errors docs
  connectorctl -o json runs errors docs | jq -r '.item + \": \" + .error.message'";

/// Whose item errors.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The connection's name or id
    connection: String,
    /// How many at most
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

/// `runs errors CONNECTION`.
pub async fn run(context: &mut Context, args: Args) -> Result<()> {
    let connection = resolve::connection_id(context, &args.connection).await?;
    let client = context.client.clone();
    let fetch = |page_size, page_token| {
        let mut client = client.sync();
        let request = ListItemErrorsRequest { connection: connection.clone(), page_size, page_token };
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
