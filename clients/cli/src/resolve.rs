//! Connections and runs by the names that people use.

use std::collections::HashMap;

use superfasttt_proto::control::v1::resolve_connection_request::By;
use superfasttt_proto::control::v1::{
    Connection, GetConnectionRequest, ListConnectionsRequest, ListRunsRequest, ResolveConnectionRequest,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::pages;

/// The id of the connection that is meant: an id as it is, a name by asking the server.
///
/// # Errors
///
/// There is no connection of this name, or the server cannot be asked.
pub async fn connection_id(context: &Context, meant: &str) -> Result<String> {
    if Uuid::try_parse(meant).is_ok() { Ok(meant.to_owned()) } else { Ok(by_name(context, meant).await?.id) }
}

/// The connection that is meant, by id or name.
///
/// # Errors
///
/// There is no such connection, or the server cannot be asked.
pub async fn connection(context: &Context, meant: &str) -> Result<Connection> {
    if Uuid::try_parse(meant).is_err() {
        return by_name(context, meant).await;
    }
    let request = GetConnectionRequest { connection: meant.to_owned() };
    let answer = context.client.connections().get_connection(request).await?.into_inner();
    answer.connection.ok_or_else(|| empty_answer("GetConnection"))
}

async fn by_name(context: &Context, name: &str) -> Result<Connection> {
    let request = ResolveConnectionRequest {
        organization: context.organization(),
        by: Some(By::Name(name.to_owned())),
    };
    let answer = context.client.connections().resolve_connection(request).await.map_err(|status| {
        let organization = context.organization.as_deref().unwrap_or("default");
        match status.code() {
            Code::NotFound => Error::Failed(format!(
                "there is no connection named {name:?} in the organisation {organization:?}; see `connectorctl connections list`"
            )),
            _ => status.into(),
        }
    })?;
    answer.into_inner().connection.ok_or_else(|| empty_answer("ResolveConnection"))
}

/// The id of the run that is meant: a run's id as it is, a connection's name for its newest run.
///
/// # Errors
///
/// There is no connection of this name, or it never ran.
pub async fn run_id(context: &Context, meant: &str) -> Result<String> {
    if Uuid::try_parse(meant).is_ok() {
        return Ok(meant.to_owned());
    }
    let connection = by_name(context, meant).await?.id;
    let request = ListRunsRequest { connection, page_size: 1, page_token: String::new() };
    let newest = context.client.sync().list_runs(request).await?.into_inner().runs.into_iter().next();
    newest.map(|run| run.id).ok_or_else(|| Error::Failed(format!("the connection {meant:?} never ran yet")))
}

/// The names of all connections by id, for tables. A program gets ids.
///
/// # Errors
///
/// The server cannot be asked.
pub async fn names(context: &Context) -> Result<HashMap<String, String>> {
    let client = context.client.clone();
    let organization = context.organization();
    let connections = pages::all(None, |page_size, page_token| {
        let mut client = client.connections();
        let request = ListConnectionsRequest {
            organization: organization.clone(),
            page_size,
            page_token,
            ..Default::default()
        };
        async move {
            let answer = client.list_connections(request).await?.into_inner();
            Ok((answer.connections, answer.next_page_token))
        }
    })
    .await?;
    Ok(connections.into_iter().map(|connection| (connection.id, connection.name)).collect())
}

/// The error for an answer without what the contract says is always there.
pub fn empty_answer(rpc: &str) -> Error {
    Error::from(Status::internal(format!("the server's answer to {rpc} is empty; its version does not fit")))
}
