//! A small client of the Kubernetes API, for any kind that the server knows.
//!
//! [`connect`] finds the server, [`catalog`] asks it which kinds it has, and each command sends plain JSON through
//! [`request`]: objects stay as the server or the manifest gives them, so that no field is lost on the way.

pub(crate) mod apply;
pub(crate) mod catalog;
pub(crate) mod connect;
pub(crate) mod delete;
#[cfg(test)]
mod fake;
pub(crate) mod get;
pub(crate) mod manifest;
pub(crate) mod outside;
pub(crate) mod request;
mod table;

use anyhow::Context as _;

use crate::args::ClientArgs;
use crate::client::connect::{Connection, Selection};
use crate::failure::Failure;

/// Runs a command of the client.
pub(crate) fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    purlin_net::crypto::install_crypto();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(command)
}

/// Connects as the command line says.
async fn connection(args: &ClientArgs) -> Result<Connection, Failure> {
    let selection = Selection { kubeconfig: args.kubeconfig.clone(), context: args.context.clone() };
    let mut connection = connect::connect(&selection).await?;
    if let Some(namespace) = &args.namespace {
        connection.namespace = namespace.clone();
    }
    Ok(connection)
}
