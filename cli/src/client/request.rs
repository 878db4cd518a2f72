//! One request to the API server: JSON there and back, a limit of time and size, refusals as failures.

use std::error::Error;
use std::time::Duration;

use anyhow::Context as _;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use kube::core::Status;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::client::connect::Connection;
use crate::exit;
use crate::failure::Failure;

/// A request must be answered within this time.
const LIMIT: Duration = Duration::from_secs(60);
/// The largest answer that is read.
const MAX_ANSWER: usize = 256 << 20;

/// A server-side apply configuration; JSON is YAML too.
pub(crate) const APPLY_PATCH: &str = "application/apply-patch+yaml";
/// Objects as they are.
pub(crate) const JSON: &str = "application/json";
/// Lists and objects as tables, where the server can.
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// What is asked.
pub(crate) struct Ask<'a> {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Which representation is wanted.
    pub accept: &'a str,
    /// The type of the body, and the body.
    pub body: Option<(&'a str, &'a Value)>,
}

impl Ask<'_> {
    /// A GET of JSON.
    pub(crate) fn get(path: String) -> Ask<'static> {
        Ask { method: Method::GET, path, accept: JSON, body: None }
    }
}

/// What the server said.
pub(crate) struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Value,
    /// The texts of `Warning` headers.
    pub warnings: Vec<String>,
}

impl Connection {
    /// Asks, and fails where the server refuses.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<Answer, Failure> {
        let answer = self.answer(ask).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(answer.refusal()) }
    }

    /// As [`Connection::ask`], but what is not there is none.
    pub(crate) async fn find(&self, ask: Ask<'_>) -> Result<Option<Answer>, Failure> {
        let answer = self.answer(ask).await?;
        match answer.status {
            status if status.is_success() => Ok(Some(answer)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(answer.refusal()),
        }
    }

    async fn answer(&self, ask: Ask<'_>) -> Result<Answer, Failure> {
        match tokio::time::timeout(LIMIT, self.exchange(ask)).await {
            Ok(answer) => answer,
            Err(_) => {
                let url = &self.url;
                let what = anyhow::anyhow!("the API server at {url} did not answer within {} s", LIMIT.as_secs());
                Err(Failure::new(exit::TIMEOUT, what))
            }
        }
    }

    async fn exchange(&self, ask: Ask<'_>) -> Result<Answer, Failure> {
        let mut request = Request::builder().method(ask.method).uri(ask.path).header(header::ACCEPT, ask.accept);
        let mut body = Vec::new();
        if let Some((content_type, value)) = ask.body {
            request = request.header(header::CONTENT_TYPE, content_type);
            body = serde_json::to_vec(value)?;
        }
        let request = request.body(Body::from(body)).context("cannot ask the API server")?;
        let (head, body) = self.client.send(request).await.map_err(|e| self.unreachable(&e))?.into_parts();
        let bytes = Limited::new(body, MAX_ANSWER).collect().await.map_err(|e| self.unreachable(&*e))?.to_bytes();
        let text = || String::from_utf8_lossy(&bytes).trim().to_owned();
        let body = match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            // A proxy on the way answers in its own words.
            Err(_) if !head.status.is_success() => Value::String(text()),
            Err(error) => {
                return Err(Failure::from(error).context(format!("{} does not answer in JSON", self.url)));
            }
        };
        Ok(Answer { status: head.status, body, warnings: warnings(&head.headers) })
    }

    fn unreachable(&self, error: &(dyn Error + 'static)) -> Failure {
        let what = anyhow::anyhow!("cannot reach the API server at {}: {}", self.url, root_cause(error));
        Failure::new(exit::UNREACHABLE, what)
            .hint("is it running? start it with `purlin up`, or choose another server with --kubeconfig or KUBECONFIG")
    }
}

impl Answer {
    fn refusal(&self) -> Failure {
        let mut status: Status = serde_json::from_value(self.body.clone()).unwrap_or_default();
        status.code = self.status.as_u16();
        if let (true, Value::String(text)) = (status.message.is_empty(), &self.body) {
            status.message = text.chars().take(500).collect();
        }
        Failure::refused(&status)
    }
}

/// The deepest cause of an error: those around it only repeat where it was noticed.
pub(crate) fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// The texts of `Warning: 299 - "text"` headers (RFC 7234, 5.5).
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let text = |value: &http::HeaderValue| {
        let quoted = value.to_str().ok()?.splitn(3, ' ').nth(2)?.trim();
        let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
        Some(inner.replace("\\\"", "\"").replace("\\\\", "\\"))
    };
    headers.get_all(header::WARNING).iter().filter_map(text).collect()
}

/// Bytes that stand in a path segment as they are: RFC 3986's unreserved characters, and the colon of RBAC's names.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A name as a segment of a path or a value of a query.
pub(crate) fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_unquoted() {
        let mut headers = HeaderMap::new();
        for value in [r#"299 - "unknown field \"spec.a\"""#, "299 - unquoted", "broken"] {
            headers.append(header::WARNING, value.parse().unwrap());
        }
        assert_eq!(warnings(&headers), [r#"unknown field "spec.a""#]);
    }

    #[test]
    fn names_stay_within_their_segment() {
        assert_eq!(segment("system:node-1.a"), "system:node-1.a");
        assert_eq!(segment("a/../b?c"), "a%2F..%2Fb%3Fc");
    }

    #[test]
    fn refusals_in_other_words_are_shown() {
        let answer = Answer { status: StatusCode::BAD_GATEWAY, body: "no upstream".into(), warnings: vec![] };
        let failure = answer.refusal();
        assert_eq!((failure.code, failure.error.to_string()), (exit::UNREACHABLE, "no upstream (status 502)".into()));
    }
}
