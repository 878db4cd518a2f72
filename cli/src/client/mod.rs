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
mod named;
pub(crate) mod outside;
pub(crate) mod request;
mod table;

use anyhow::Context as _;

use crate::args::ClientArgs;
use crate::client::connect::{Connection, Selection};
use crate::exit;
use crate::failure::Failure;
use crate::output::Output;

/// Runs a command of the client.
pub(crate) fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    purlin_net::crypto::install_crypto();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(command)
}

/// The objects of a command that have failed; those after them are tried all the same.
struct Failures {
    all: usize,
    failed: usize,
    code: u8,
}

impl Failures {
    /// None yet, of `all` objects.
    fn of(all: usize) -> Failures {
        Failures { all, failed: 0, code: exit::OK }
    }

    /// Tells of a failure, or returns it where it ends the command: the others would fail alike, or there are none.
    fn add(&mut self, failure: Failure, output: &mut Output) -> Result<(), Failure> {
        if failure.code == exit::UNREACHABLE || self.all == 1 {
            return Err(failure);
        }
        self.code = if self.failed == 0 { failure.code } else { self.code };
        self.failed += 1;
        Ok(output.note(&failure.to_string())?)
    }

    /// Fails with the first failure's code where there was one: `what` could not be done.
    fn end(self, what: &str) -> Result<(), Failure> {
        match self.failed {
            0 => Ok(()),
            failed => Err(Failure::new(self.code, anyhow::anyhow!("{failed} of {} {what}", self.all))),
        }
    }
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
