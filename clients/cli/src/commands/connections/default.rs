//! Which connection is meant where only a category is named.

use superfasttt_proto::control::v1::resolve_connection_request::By;
use superfasttt_proto::control::v1::{ResolveConnectionRequest, SetDefaultConnectionRequest};

use super::{One, changed, show};
use crate::context::Context;
use crate::error::Result;
use crate::output::note;
use crate::resolve::connection_id;

pub(super) const DEFAULT_EXAMPLES: &str = "\
Examples:
  connectorctl connections default docs            from now on \"files\" means docs, where that is its category
  connectorctl connections resolve files           prints docs

An organisation has at most one default of each category (the connector's, as `connectors show` has it). Deleting
the connection leaves it without one.";

/// Makes a connection the default.
pub(super) async fn set(context: &mut Context, one: One) -> Result<()> {
    let connection = connection_id(context, &one.connection).await?;
    let request = SetDefaultConnectionRequest { connection };
    let answer = context.client.connections().set_default_connection(request).await?;
    changed(context, answer.into_inner().connection, "is the default of its category")
}

/// Says which one is the default. That there is none is an answer.
pub(super) async fn resolve(context: &mut Context, category: String) -> Result<()> {
    let request = ResolveConnectionRequest {
        organization: context.organization(),
        by: Some(By::Category(category.clone())),
    };
    let answer = context.client.connections().resolve_connection(request).await?.into_inner();
    match answer.connection {
        Some(connection) => show::print(context, &connection),
        None if context.out.is_json() => context.out.line("{}"),
        None => {
            note(&format!(
                "no connection is the default of {category:?}; `connectorctl connections default CONNECTION` makes one"
            ));
            context.out.line("none")
        }
    }
}
