//! Errors of the engine with the exit codes of the command line.

use purlin_load::Error;

use crate::exit;
use crate::failure::Failure;

/// The failure that `error` is.
pub(crate) fn of(error: Error) -> Failure {
    match &error {
        Error::Resolve { .. } => Failure::new(exit::UNREACHABLE, error),
        Error::Foreign { .. } | Error::ServerName(_) | Error::Request { .. } | Error::Deal { .. } => {
            Failure::new(exit::USAGE, error)
        }
        _ => Failure::new(exit::FAILED, error),
    }
}
