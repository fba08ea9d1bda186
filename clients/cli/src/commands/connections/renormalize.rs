//! `connections renormalize`: documents made anew of kept raw items, or what that would change.

use superfasttt_proto::control::v1::document_difference::Kind;
use superfasttt_proto::control::v1::{
    DocumentDifference, PreviewRenormalizationRequest, PreviewRenormalizationResponse, RenormalizationTotals,
    RenormalizeConnectionRequest,
};

use crate::commands::{runs, sync};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::table::{Column, Table};
use crate::output::text::word;
use crate::output::{human, note};
use crate::resolve::{connection_id, empty_answer};

/// Beneath the help of `renormalize`.
pub const EXAMPLES: &str = "\
Examples:
  connectorctl connections renormalize docs --preview           what would change, of a sample of 100
  connectorctl connections renormalize docs --preview --all     of all documents
  connectorctl connections renormalize docs --wait              do it

The connection must keep raw items (`connectorctl connections update docs --keep-raw true`, then a sync). A preview \
writes nothing; its table leaves out what stays as it is, with -o json each document is a line and the totals are \
the last one.";

/// Which connection, and whether only to look.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The connection's name or id
    connection: String,
    /// Only tell what would change
    #[arg(long)]
    preview: bool,
    /// How many documents to look at, spread evenly over all, 1 to 1000
    #[arg(long, value_name = "N", requires = "preview", value_parser = clap::value_parser!(u32).range(1..=1000))]
    sample: Option<u32>,
    /// Look at all documents
    #[arg(long, requires = "preview", conflicts_with = "sample")]
    all: bool,
    /// Wait until it has ended, and show how it goes
    #[arg(long, short, conflicts_with = "preview")]
    wait: bool,
}

/// `connections renormalize CONNECTION [--preview [--sample N | --all]] [--wait]`.
pub async fn run(context: &mut Context, args: Args) -> Result<()> {
    let connection = connection_id(context, &args.connection).await?;
    if args.preview {
        let sample_size = args.sample.unwrap_or(0);
        let request = PreviewRenormalizationRequest { connection, sample_size, all: args.all };
        return preview(context, request, &args.connection).await;
    }
    let request = RenormalizeConnectionRequest { connection };
    let answer = context.client.sync().renormalize_connection(request).await?.into_inner();
    let run = answer.run.ok_or_else(|| empty_answer("RenormalizeConnection"))?;
    if answer.already_running {
        note(&format!("{}: a re-normalization is under way already", args.connection));
    }
    if args.wait {
        let ended = sync::wait(context, "re-normalization", &run.id, &args.connection).await?;
        return sync::finish(context, &ended);
    }
    if context.out.is_json() {
        return context.out.message(&run);
    }
    runs::print(context, &run)?;
    note(&format!("see how it goes with `connectorctl runs show {}`", run.id));
    Ok(())
}

async fn preview(context: &mut Context, request: PreviewRenormalizationRequest, name: &str) -> Result<()> {
    let mut stream = context.client.sync().preview_renormalization(request).await?.into_inner();
    let mut shown = false;
    while let Some(message) = stream.message().await? {
        let PreviewRenormalizationResponse { documents, totals, done } = message;
        if context.out.is_json() {
            documents.iter().try_for_each(|document| context.out.message(document))?;
        } else {
            let differing: Vec<_> =
                documents.into_iter().filter(|document| document.kind() != Kind::Unchanged).collect();
            if !differing.is_empty() {
                context.out.table(&table(differing).without_header(shown))?;
                shown = true;
            }
        }
        context.out.flush()?;
        if done {
            return end(context, totals.unwrap_or_default(), name);
        }
    }
    Err(Error::Failed("the preview ended before its end; try again".to_owned()))
}

fn end(context: &mut Context, totals: RenormalizationTotals, name: &str) -> Result<()> {
    if context.out.is_json() {
        let (documents, totals) = (Vec::new(), Some(totals));
        return context.out.message(&PreviewRenormalizationResponse { documents, totals, done: true });
    }
    let of = |count: u64| human::count(count);
    note(&format!(
        "of {} raw items {} were looked at: {} unchanged, {} changed, {} newly readable, {} become errors, {} stay errors",
        of(totals.kept),
        of(totals.examined),
        of(totals.unchanged),
        of(totals.changed),
        of(totals.newly_readable),
        of(totals.become_error),
        of(totals.still_error)
    ));
    if totals.changed + totals.newly_readable > 0 {
        note(&format!("to make it so: connectorctl connections renormalize {name} --wait"));
    }
    Ok(())
}

fn table(documents: Vec<DocumentDifference>) -> Table {
    let columns = [Column::whole("DOCUMENT"), Column::whole("BECOMES"), Column::text("WHAT")];
    let mut table = Table::list(&columns);
    for document in documents {
        let kind = word(document.kind().as_str_name(), "KIND_");
        let what = match document.error {
            Some(error) => error.message,
            None => document.fields.join(", "),
        };
        table.row([document.id, kind, what]);
    }
    table
}
