//! `consumers`: the named readers of the feed.

use superfasttt_proto::control::v1::{DeleteConsumerRequest, ListConsumersRequest};

use crate::context::Context;
use crate::error::Result;
use crate::output::table::{Column, Table};
use crate::output::{human, note};
use crate::{pages, resolve};

const EXAMPLES: &str = "\
Examples:
  connectorctl consumers list
  connectorctl documents watch --consumer search --commit      makes the consumer when it is new
  connectorctl consumers delete search";

/// What to do with consumers.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// List consumers and how far behind each is
    #[command(visible_alias = "ls")]
    List,
    /// Forget a consumer and its position
    #[command(visible_alias = "rm")]
    Delete {
        /// The consumer's name
        consumer: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Runs a command of this group.
pub async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List => list(context).await,
        Command::Delete { consumer, yes } => {
            let question = format!("Forget the consumer {consumer:?}? When it comes back, it begins again.");
            context.confirm(&question, yes)?;
            let request = DeleteConsumerRequest { consumer: consumer.clone() };
            context.client.admin().delete_consumer(request).await?;
            if context.out.is_json() {
                return context.out.line("{}");
            }
            note(&format!("{consumer} is forgotten"));
            Ok(())
        }
    }
}

async fn list(context: &mut Context) -> Result<()> {
    let names = if context.out.is_json() { Default::default() } else { resolve::names(context).await? };
    let client = context.client.clone();
    let fetch = |page_size, page_token| {
        let mut client = client.admin();
        async move {
            let answer =
                client.list_consumers(ListConsumersRequest { page_size, page_token }).await?.into_inner();
            Ok((answer.consumers, answer.next_page_token))
        }
    };
    let out = &mut context.out;
    let now = human::now();
    let mut empty = true;
    pages::each_page(None, fetch, |consumers, first| {
        empty = empty && consumers.is_empty();
        if out.is_json() {
            return consumers.iter().try_for_each(|consumer| out.message(consumer));
        }
        if consumers.is_empty() {
            return Ok(());
        }
        let columns = [
            Column::whole("NAME"),
            Column::number("BEHIND"),
            Column::text("SINCE"),
            Column::text("COMMITTED"),
            Column::text("CONNECTION"),
            Column::text("ORGANISATION"),
            Column::text("POSITION"),
        ];
        let mut table = Table::list(&columns).without_header(!first);
        for consumer in consumers {
            let connection = names.get(&consumer.connection).unwrap_or(&consumer.connection);
            table.row([
                consumer.name,
                human::count(consumer.lag),
                match &consumer.oldest_unread_at {
                    Some(since) => human::relative(Some(since), now),
                    None => String::new(),
                },
                human::relative(consumer.committed_at.as_ref(), now),
                if connection.is_empty() { "all".to_owned() } else { connection.clone() },
                if consumer.organization.is_empty() { "all".to_owned() } else { consumer.organization },
                human::or_dash(&consumer.position),
            ]);
        }
        out.table(&table)
    })
    .await?;
    if empty && !out.is_json() {
        note("there are no consumers; `connectorctl documents watch --consumer NAME` makes one");
    }
    Ok(())
}
