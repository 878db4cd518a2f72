//! How a command fails: an exit code, what went wrong with its causes, and a hint.

use std::fmt;

use http::StatusCode;
use kube::core::Status;

use crate::exit;

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    /// The exit code, one of [`exit`].
    pub code: u8,
    /// What went wrong.
    pub error: anyhow::Error,
    /// What the person can do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with this exit code.
    pub fn new(code: u8, error: impl Into<anyhow::Error>) -> Failure {
        Failure { code, error: error.into(), hint: None }
    }

    /// A wrong use of the command line.
    pub fn usage(message: impl fmt::Display) -> Failure {
        Failure::new(exit::USAGE, anyhow::anyhow!("{message}"))
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// With what was being done, before the error.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display + Send + Sync + 'static) -> Failure {
        self.error = self.error.context(what);
        self
    }

    /// What the API server refused.
    pub fn refused(status: &Status) -> Failure {
        let code = match StatusCode::from_u16(status.code) {
            Ok(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => exit::DENIED,
            Ok(StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT) => exit::TIMEOUT,
            Ok(StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY) => exit::UNREACHABLE,
            _ => exit::FAILED,
        };
        let message = if status.message.is_empty() { "the API server gives no message" } else { &status.message };
        let failure = match status.reason.as_str() {
            "" => Failure::new(code, anyhow::anyhow!("{message} (status {})", status.code)),
            reason => Failure::new(code, anyhow::anyhow!("{message} ({reason})")),
        };
        match StatusCode::from_u16(status.code) {
            Ok(StatusCode::UNAUTHORIZED) => failure.hint("the credentials of this kubeconfig are not accepted; choose another one with --kubeconfig or KUBECONFIG"),
            Ok(StatusCode::FORBIDDEN) => failure.hint("a Role or ClusterRole must allow it to this user: `kubectl auth can-i --list` shows what is allowed"),
            _ => failure,
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::new(exit::FAILED, error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.error)?;
        // Many errors repeat their cause in their own words: what was said already is not said again.
        let mut said = self.error.to_string();
        for cause in self.error.chain().skip(1) {
            let cause = cause.to_string();
            if !said.contains(&cause) {
                write!(f, "\n  caused by: {cause}")?;
                said = cause;
            }
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn causes_and_a_hint_follow_the_error() {
        let cause = std::io::Error::other("no such disk");
        let failure = Failure::from(Err::<(), _>(cause).context("cannot open the store").unwrap_err()).hint("buy one");
        assert_eq!(failure.to_string(), "error: cannot open the store\n  caused by: no such disk\nhint: buy one");
        let told = anyhow::anyhow!("cause").context("all of it: cause");
        assert_eq!(Failure::from(told).to_string(), "error: all of it: cause");
    }

    #[test]
    fn refusals_have_exit_codes() {
        let check = |code: u16, expected: u8| {
            let status = Status { code, message: "m".into(), reason: "R".into(), ..Status::default() };
            let failure = Failure::refused(&status);
            assert_eq!((failure.code, failure.error.to_string()), (expected, "m (R)".to_owned()), "{code}");
        };
        check(401, exit::DENIED);
        check(403, exit::DENIED);
        check(404, exit::FAILED);
        check(409, exit::FAILED);
        check(503, exit::UNREACHABLE);
        check(504, exit::TIMEOUT);
    }
}
