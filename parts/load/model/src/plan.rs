//! What a load test sends, how fast, and for how long.
//!
//! A plan holds everything that decides about the load and nothing about its output, so that it can be handed to
//! another process as JSON and be printed into the result. It has been checked: a plan that exists can be run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::arrivals::begun_by;

/// A load test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Where the requests go.
    pub target: Target,
    /// The protocol that is spoken on the connections.
    pub protocol: Protocol,
    /// When iterations begin.
    pub pace: Pace,
    /// How long the load lasts before its figures count.
    #[serde(with = "crate::seconds")]
    pub warm_up: Duration,
    /// Connections of all workers and processes together.
    pub connections: u32,
    /// Requests at a time on one HTTP/2 connection; 1 with the other protocols.
    pub streams: u32,
    /// How long one request may take, from its sending to the last byte of its answer.
    #[serde(with = "crate::seconds")]
    pub timeout: Duration,
    /// Threads that send; connections and iterations are dealt out among them.
    pub workers: u32,
    /// Where random numbers begin: the same seed gives the same arrivals, scenarios and rows.
    pub seed: u64,
    /// What an iteration does; one of them is drawn by weight. Never empty.
    pub scenarios: Vec<Scenario>,
    /// Rows that templates take values from, one row an iteration.
    pub data: Option<Data>,
    /// The share of requests, 0 to 1, that carry a `traceparent` header (W3C Trace Context).
    pub trace_share: f64,
    /// How the server's certificate is judged.
    pub tls: Tls,
    /// The types of gRPC messages: a serialized `google.protobuf.FileDescriptorSet` in base64.
    pub descriptors: Option<String>,
}

/// Where the requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// `http` or `https`.
    pub secure: bool,
    /// The name or address to connect to; an IPv6 address without brackets.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
    /// The `Host` header and `:authority`, as the URL has it.
    pub authority: String,
}

/// The protocol that is spoken on the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 (RFC 9112), one request at a time on a connection.
    Http1,
    /// HTTP/2 (RFC 9113), by ALPN with TLS and by prior knowledge without.
    Http2,
    /// gRPC over HTTP/2, unary calls and server streams.
    Grpc,
    /// WebSocket over HTTP/1.1 (RFC 6455): an iteration is a message and its answers.
    WebSocket,
}

/// When iterations begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// Whether or not the target keeps up: the intended instants are known before the first request is sent.
    Open {
        /// One after the other.
        stages: Vec<Stage>,
        /// How arrivals are spread within the rate.
        spacing: Spacing,
    },
    /// Each connection (each stream of one) begins its next iteration when the last has ended.
    Closed {
        /// For how long.
        #[serde(with = "crate::seconds")]
        duration: Duration,
    },
}

/// A stretch of time in which the rate goes straight from one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// How long it lasts.
    #[serde(with = "crate::seconds")]
    pub duration: Duration,
    /// Iterations a second at its beginning.
    pub from: f64,
    /// Iterations a second at its end.
    pub to: f64,
}

/// How arrivals are spread within the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spacing {
    /// Evenly.
    Constant,
    /// As a Poisson process: as independent users would.
    Poisson,
}

impl Pace {
    /// How long the load lasts, warm-up included.
    pub fn duration(&self) -> Duration {
        match self {
            Pace::Open { stages, .. } => stages.iter().map(|stage| stage.duration).sum(),
            Pace::Closed { duration } => *duration,
        }
    }

    /// How many iterations are meant to have begun by `at`, counted from the start; none are with a closed pace.
    pub fn intended_by(&self, at: Duration) -> f64 {
        match self {
            Pace::Open { stages, .. } => begun_by(stages, at),
            Pace::Closed { .. } => 0.0,
        }
    }
}

/// What one iteration does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// How often it is drawn, relative to the others; above 0.
    pub weight: u32,
    /// The requests, one after the other on one connection. Never empty.
    pub steps: Vec<Step>,
}

/// One request of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name, unique within the plan.
    pub name: String,
    /// What is sent.
    pub action: Action,
    /// What an answer must be to count as a success.
    pub expect: Expect,
    /// Values that are taken from the answer for later steps, by variable.
    pub extract: BTreeMap<String, Extract>,
    /// How long to wait after the answer.
    #[serde(with = "crate::seconds")]
    pub think: Duration,
}

/// What a step sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// An HTTP request.
    Http(HttpAction),
    /// A gRPC call.
    Grpc(GrpcAction),
    /// A WebSocket message.
    Message(MessageAction),
}

impl Action {
    /// What has variables in it.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let (headers, others): (&[_], [Option<&Template>; 2]) = match self {
            Action::Http(http) => (&http.headers, [Some(&http.path), http.body.as_ref()]),
            Action::Grpc(grpc) => (&grpc.metadata, [Some(&grpc.message), None]),
            Action::Message(message) => (&[], [Some(&message.text), None]),
        };
        others.into_iter().flatten().chain(headers.iter().map(|(_, value)| value))
    }
}

/// An HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpAction {
    /// The method.
    pub method: String,
    /// Path and query, beginning with `/`.
    pub path: Template,
    /// Headers beyond those that the protocol needs, names in lower case.
    pub headers: Vec<(String, Template)>,
    /// The body.
    pub body: Option<Template>,
}

/// A gRPC call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrpcAction {
    /// `/package.Service/Method`.
    pub path: String,
    /// Headers beyond those that the protocol needs.
    pub metadata: Vec<(String, Template)>,
    /// The message in protobuf's JSON form; its type stands in the plan's `descriptors`.
    pub message: Template,
}

/// A WebSocket message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageAction {
    /// Path and query of the handshake.
    pub path: String,
    /// Headers of the handshake.
    pub headers: Vec<(String, String)>,
    /// The text that is sent.
    pub text: Template,
    /// How many messages are awaited in answer.
    pub answers: u32,
}

/// Text with variables. One without any is rendered once for all requests. `crate::template` parses and renders it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template(pub Vec<Piece>);

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Piece {
    /// As it is.
    Text(String),
    /// The value of a variable: a column of the data, what was extracted, or one of the built-in ones.
    Variable(String),
    /// The same, written so that it cannot end the place that it stands in.
    Escaped(String, Escape),
}

/// How the value of a variable is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Escape {
    /// Percent-encoded (RFC 3986): all but letters, digits and `-._~`.
    Url,
    /// As within a JSON string (RFC 8259), without the quotes around it.
    Json,
}

/// What an answer must be to count as a success.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// The status codes that are right; any from 200 to 399 where it is empty. With gRPC, 0 alone is right.
    pub status: Vec<u16>,
    /// Text that the body must contain.
    pub contains: Option<String>,
}

impl Expect {
    /// Whether `status` is right.
    pub fn accepts(&self, status: u16) -> bool {
        if self.status.is_empty() { (200..400).contains(&status) } else { self.status.contains(&status) }
    }
}

/// Where a value of an answer stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extract {
    /// The first match of a JSONPath (RFC 9535) in the body.
    Json(String),
    /// A header, by its name in lower case.
    Header(String),
}

/// Rows that templates take values from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each as long as `columns`. Never empty.
    pub rows: Vec<Vec<String>>,
    /// Which row an iteration takes.
    pub order: Order,
}

impl Data {
    /// Whether it gives the variable `name` a value.
    pub fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column == name)
    }
}

/// Which row an iteration takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// One after the other, from the beginning again after the last.
    Sequential,
    /// Any.
    Random,
}

/// How the server's certificate is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// Authorities in PEM that are trusted; those of the system where there are none.
    pub roots_pem: Option<String>,
    /// Whether any certificate is taken.
    pub insecure: bool,
    /// The name that is asked for (SNI) and must stand in the certificate; the target's host where it is none.
    pub server_name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_intended_is_the_area_under_the_rate() {
        let stage = |seconds, from, to| Stage { duration: Duration::from_secs(seconds), from, to };
        let pace = Pace::Open { stages: vec![stage(10, 0.0, 100.0), stage(5, 20.0, 20.0)], spacing: Spacing::Constant };
        for (seconds, expected) in [(0, 0.0), (5, 125.0), (10, 500.0), (12, 540.0), (15, 600.0), (99, 600.0)] {
            assert!((pace.intended_by(Duration::from_secs(seconds)) - expected).abs() < 1e-9, "{seconds}");
        }
        assert_eq!(pace.duration(), Duration::from_secs(15));
    }
}
