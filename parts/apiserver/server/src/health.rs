//! Health as kube-apiserver tells it: `/healthz`, `/livez` and `/readyz`, and below each a path for each of its checks.
//!
//! `ok`, or with `?verbose` a line for each check; `?exclude=NAME` leaves one out. Where a check fails the answer is
//! 500 with all lines, but without the reason, since anybody may ask: it is logged, and told below the check's own
//! path, which needs a right. That caches are in step is no check: nothing is served before they are.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;

use crate::api::Api;
use crate::error::{ApiError, ApiResult};
use crate::options;

/// How long the store may take.
const STORE_LIMIT: Duration = Duration::from_secs(2);

/// One thing that is looked at.
#[derive(Clone, Copy)]
enum Check {
    /// That there is an answer at all.
    Ping,
    /// That the store can be read.
    Store,
    /// That the server is not about to end.
    Shutdown,
}

use Check::{Ping, Shutdown, Store};

const ENDPOINTS: [(&str, &[Check]); 3] =
    [("healthz", &[Ping, Store]), ("livez", &[Ping, Store]), ("readyz", &[Ping, Store, Shutdown])];

impl Check {
    fn name(self) -> &'static str {
        match self {
            Ping => "ping",
            Store => "store",
            Shutdown => "shutdown",
        }
    }

    /// Why it fails, where it does.
    async fn run(self, api: &Api) -> Result<(), String> {
        let result = match self {
            Ping => Ok(()),
            Store => match tokio::time::timeout(STORE_LIMIT, api.storage.probe()).await {
                Ok(read) => read.map_err(|e| format!("the store cannot be read: {e}")),
                Err(_) => Err(format!("the store has not answered within {} s", STORE_LIMIT.as_secs())),
            },
            Shutdown if api.shutdown.is_cancelled() || api.retired.load(Ordering::Acquire) => {
                Err("the API server is shutting down".to_owned())
            }
            Shutdown => Ok(()),
        };
        if let Err(why) = &result {
            tracing::warn!(check = self.name(), why, "a health check fails");
        }
        result
    }
}

/// Every path of health.
pub(crate) fn paths() -> impl Iterator<Item = String> {
    ENDPOINTS.iter().flat_map(|(endpoint, checks)| {
        let below = checks.iter().map(move |check| format!("/{endpoint}/{}", check.name()));
        std::iter::once(format!("/{endpoint}")).chain(below)
    })
}

/// Status and text of a path of health; none for any other path.
pub(crate) async fn answer(api: &Api, path: &str, query: &str) -> ApiResult<Option<(StatusCode, String)>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (endpoint, below) = path.split_once('/').map_or((path, None), |(endpoint, below)| (endpoint, Some(below)));
    let Some((endpoint, checks)) = ENDPOINTS.iter().find(|(name, _)| *name == endpoint) else { return Ok(None) };
    if let Some(name) = below {
        let check = checks.iter().find(|check| check.name() == name).ok_or_else(ApiError::no_such_path)?;
        return Ok(Some(match check.run(api).await {
            Ok(()) => (StatusCode::OK, "ok".to_owned()),
            Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
        }));
    }
    let asked = Asked::parse(query)?;
    let mut results = Vec::with_capacity(checks.len());
    for check in *checks {
        let excluded = asked.excluded.contains(check.name());
        let result = if excluded { Outcome::Excluded } else { check.run(api).await.into() };
        results.push((check.name(), result));
    }
    Ok(Some(report(endpoint, &asked, &results)))
}

/// What the query asks for; all else in it is ignored.
#[derive(Default)]
struct Asked {
    verbose: bool,
    excluded: BTreeSet<String>,
}

impl Asked {
    fn parse(query: &str) -> ApiResult<Asked> {
        let mut asked = Asked::default();
        for pair in query.split('&') {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("verbose", _) => asked.verbose = true,
                ("exclude", name) => {
                    asked.excluded.insert(options::decode(name)?);
                }
                _ => {}
            }
        }
        Ok(asked)
    }
}

#[derive(PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Excluded,
}

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        if result.is_ok() { Outcome::Passed } else { Outcome::Failed }
    }
}

/// The answer of an endpoint, in the words of `k8s.io/apiserver/pkg/server/healthz`.
fn report(endpoint: &str, asked: &Asked, results: &[(&str, Outcome)]) -> (StatusCode, String) {
    let mut lines = String::new();
    for (name, outcome) in results {
        let _ = match outcome {
            Outcome::Passed => writeln!(lines, "[+]{name} ok"),
            Outcome::Failed => writeln!(lines, "[-]{name} failed: reason withheld"),
            Outcome::Excluded => writeln!(lines, "[+]{name} excluded: ok"),
        };
    }
    let unknown = asked.excluded.iter().filter(|name| !results.iter().any(|(known, _)| known == name));
    let unknown: Vec<String> = unknown.map(|name| format!("{name:?}")).collect();
    if !unknown.is_empty() {
        let names = unknown.join(",");
        let _ = writeln!(lines, "warn: some health checks cannot be excluded: no matches for {names}");
    }
    if results.iter().any(|(_, outcome)| *outcome == Outcome::Failed) {
        let _ = writeln!(lines, "{endpoint} check failed");
        return (StatusCode::INTERNAL_SERVER_ERROR, lines);
    }
    if !asked.verbose {
        return (StatusCode::OK, "ok".to_owned());
    }
    let _ = writeln!(lines, "{endpoint} check passed");
    (StatusCode::OK, lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, store: Outcome, code: u16, text: &str) {
        let asked = Asked::parse(query).unwrap();
        let (status, body) = report("readyz", &asked, &[("ping", Outcome::Passed), ("store", store)]);
        assert_eq!((status.as_u16(), body.as_str()), (code, text), "{query}");
    }

    #[test]
    fn reports() {
        check("", Outcome::Passed, 200, "ok");
        check("timeout=5s", Outcome::Passed, 200, "ok");
        let all = "[+]ping ok\n[+]store ok\nreadyz check passed\n";
        for query in ["verbose", "verbose=true", "verbose=0", "a=b&verbose"] {
            check(query, Outcome::Passed, 200, all);
        }
        check("verbose", Outcome::Excluded, 200, "[+]ping ok\n[+]store excluded: ok\nreadyz check passed\n");
        let failed = "[+]ping ok\n[-]store failed: reason withheld\nreadyz check failed\n";
        check("", Outcome::Failed, 500, failed);
        check("verbose", Outcome::Failed, 500, failed);
        check(
            "verbose&exclude=b%2Fc&exclude=a&exclude=ping",
            Outcome::Passed,
            200,
            "[+]ping ok\n[+]store ok\nwarn: some health checks cannot be excluded: no matches for \"a\",\"b/c\"\nreadyz check passed\n",
        );
    }
}
