//! The scenario file of `purlin load -f FILE`: YAML in, a checked [`Plan`] out.
//!
//! [`Script::parse`] reads what the file says about the load; [`Script::plan`] adds what the command line says, which
//! wins, and what the caller has read for it (the CSV file, the authorities), then reads the scenarios, whose variables
//! it can now check. Without a file, [`Script::default`] and the command line's [`Options`] make a plan all the same.
//! Every mistake is told with its field's path and its line; nothing is ignored.

mod steps;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::data;
use crate::field::{Field, Fields};
use crate::node::{self, Node, Value};
use crate::plan::{Action, Data, Order, Pace, Plan, Protocol, Spacing, Stage, Target, Template, Tls};
use crate::target::{self, Url};
use crate::threshold::Threshold;
use crate::words::{MAX_DURATION, Rate};

pub use crate::field::ScriptError;
pub use steps::{grpc_path, header, method};

/// The most connections.
pub const MAX_CONNECTIONS: u32 = 100_000;
/// The most requests at a time on a connection.
pub const MAX_STREAMS: u32 = 1_000;
/// The most sending threads.
pub const MAX_WORKERS: u32 = 1_024;
/// The longest timeout and the longest pause between steps: what histograms can tell apart.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// The most stages.
const MAX_STAGES: usize = 1_000;
/// The most thresholds.
const MAX_THRESHOLDS: usize = 100;
/// The shortest stage, load or timeout.
const SHORTEST: Duration = Duration::from_millis(1);

/// All fields of a script.
const FIELDS: [&str; 20] = [
    "target",
    "host",
    "protocol",
    "rate",
    "duration",
    "stages",
    "closed",
    "spacing",
    "warm_up",
    "connections",
    "streams",
    "timeout",
    "workers",
    "seed",
    "headers",
    "data",
    "scenarios",
    "fail_if",
    "trace_share",
    "tls",
];

/// A scenario file.
#[derive(Clone, Debug)]
pub struct Script {
    document: Node,
    options: Options,
    thresholds: Vec<Threshold>,
    data_file: Option<String>,
    ca_file: Option<String>,
}

/// What both a file and the command line can say. What is `None` or empty was not said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// The URL.
    pub url: Option<Url>,
    /// The `Host` header, where it is not the URL's host.
    pub host: Option<String>,
    /// The protocol, where it does not follow from the URL and the steps.
    pub protocol: Option<Protocol>,
    /// When iterations begin.
    pub shape: Option<Shape>,
    /// How long the load lasts; not with stages, which say it themselves.
    pub duration: Option<Duration>,
    /// How arrivals are spread.
    pub spacing: Option<Spacing>,
    /// How long the load lasts before its figures count.
    pub warm_up: Option<Duration>,
    /// Connections of all workers and processes together.
    pub connections: Option<u32>,
    /// Requests at a time on one connection.
    pub streams: Option<u32>,
    /// How long one request may take.
    pub timeout: Option<Duration>,
    /// Threads that send.
    pub workers: Option<u32>,
    /// Where random numbers begin.
    pub seed: Option<u64>,
    /// Which row an iteration takes.
    pub order: Option<Order>,
    /// The share of requests that carry a `traceparent`.
    pub trace_share: Option<f64>,
    /// Whether any certificate is taken.
    pub insecure: Option<bool>,
    /// The name that is asked for and must stand in the certificate.
    pub server_name: Option<String>,
    /// Headers of all requests, made by [`header`]. A file's own are read later, since they may have variables.
    pub headers: Vec<(String, Template)>,
    /// One request that takes the place of all scenarios.
    pub action: Option<Action>,
}

/// How a pace is said.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// At one rate, or from one to another.
    Rate(Rate),
    /// One after the other.
    Stages(Vec<Stage>),
    /// Each connection as fast as it is answered.
    Closed,
}

/// What the caller brings to a plan.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The content of the CSV file: the command line's, else [`Script::data_file`].
    pub data: Option<Vec<u8>>,
    /// The content of the file of authorities: the command line's, else [`Script::ca_file`].
    pub roots_pem: Option<String>,
    /// The workers where nobody says how many: usually the cores.
    pub workers: u32,
    /// The seed where nobody says one: usually a random number.
    pub seed: u64,
}

impl Default for Script {
    fn default() -> Self {
        let document = Node { line: 0, value: Value::Map(Vec::new()) };
        Script { document, options: Options::default(), thresholds: Vec::new(), data_file: None, ca_file: None }
    }
}

impl Script {
    /// Reads a scenario file.
    pub fn parse(text: &str) -> Result<Script, ScriptError> {
        let whole =
            |error: node::NodeError| ScriptError { line: error.line, path: String::new(), message: error.message };
        let document = node::parse(text).map_err(whole)?;
        let fields = Field::root(&document).fields(&FIELDS)?;
        let mut script = Script { options: options(&fields)?, ..Script::default() };
        if let Some(data) = fields.read("data", |field| field.fields(&["file", "order"]))? {
            script.data_file = Some(file_name(data.need("file")?)?);
            script.options.order = data.read("order", |field| {
                one_of(&field, &[("sequential", Order::Sequential), ("random", Order::Random)])
            })?;
        }
        if let Some(tls) = fields.read("tls", |field| field.fields(&["ca_file", "insecure", "server_name"]))? {
            script.ca_file = tls.read("ca_file", file_name)?;
            script.options.insecure = tls.read("insecure", |field| field.bool())?;
            script.options.server_name = tls.read("server_name", |field| field.name().map(str::to_owned))?;
        }
        if let Some(list) = fields.get("fail_if") {
            let items = list.one_or_more(MAX_THRESHOLDS)?;
            script.thresholds = items.iter().map(|item| item.parsed(Threshold::parse)).collect::<Result<_, _>>()?;
        }
        Ok(Script { document, ..script })
    }

    /// The CSV file that it names, relative to the scenario file.
    pub fn data_file(&self) -> Option<&str> {
        self.data_file.as_deref()
    }

    /// The file of authorities that it names, relative to the scenario file.
    pub fn ca_file(&self) -> Option<&str> {
        self.ca_file.as_deref()
    }

    /// Its thresholds (`fail_if`).
    pub fn thresholds(&self) -> &[Threshold] {
        &self.thresholds
    }

    /// What it says about the load.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The plan of this script. What `overrides` say wins. The types of gRPC messages are left to the caller, who gets
    /// them from the target or from files.
    pub fn plan(&self, overrides: Options, inputs: Inputs) -> Result<Plan, ScriptError> {
        let fields = Field::root(&self.document).fields(&FIELDS)?;
        let own_url = overrides.url.is_none();
        let options = overrides.over(self.options.clone());
        options.check()?;
        let url = options.url.clone().ok_or_else(|| of("target", "it is missing: a URL is needed"))?;
        // A URL of the command line may take the place of one with TLS.
        let tls = self.ca_file.is_some() || self.options.insecure == Some(true) || self.options.server_name.is_some();
        if own_url && tls && !url.target.secure {
            return Err(of("tls", "it has no effect: the target is without TLS; https, wss and grpcs have it"));
        }
        let data = self.data(&options, inputs.data)?;
        if data.is_none() && options.order.is_some() {
            return Err(of("data.order", "it has no effect without data"));
        }
        let columns = data.as_ref().map(|data| data.columns.as_slice()).unwrap_or_default();
        let read = steps::read(&fields, &options, &url, columns)?;
        let connections = options.connections.unwrap_or(50);
        let streams = options.streams.unwrap_or(1);
        if streams > 1 && !matches!(read.protocol, Protocol::Http2 | Protocol::Grpc) {
            return Err(of("streams", "only HTTP/2 and gRPC have several requests at a time on one connection"));
        }
        let workers = match options.workers {
            Some(workers) if workers > connections => {
                return Err(of("workers", "there are more workers than connections: each needs one"));
            }
            said => said.unwrap_or(inputs.workers).clamp(1, connections.min(MAX_WORKERS)),
        };
        let plan = Plan {
            target: Target { authority: options.host.clone().unwrap_or(url.target.authority), ..url.target },
            protocol: read.protocol,
            pace: options.pace()?,
            warm_up: options.warm_up.unwrap_or_default(),
            connections,
            streams,
            timeout: options.timeout.unwrap_or(Duration::from_secs(10)),
            workers,
            seed: options.seed.unwrap_or(inputs.seed),
            scenarios: read.scenarios,
            data,
            trace_share: options.trace_share.unwrap_or(0.0),
            tls: Tls {
                roots_pem: inputs.roots_pem,
                insecure: options.insecure.unwrap_or(false),
                server_name: options.server_name,
            },
            descriptors: None,
        };
        if plan.warm_up >= plan.pace.duration() {
            return Err(of("warm_up", "it must be shorter than the load, or no figure counts"));
        }
        if plan.trace_share > 0.0 && plan.protocol == Protocol::WebSocket {
            return Err(of("trace_share", "a WebSocket message has no headers that could carry a traceparent"));
        }
        if plan.tls.roots_pem.as_ref().is_some_and(|pem| !pem.contains("-----BEGIN CERTIFICATE-----")) {
            return Err(of("tls.ca_file", "there is no certificate in it: PEM is needed"));
        }
        if let Some(list) = fields.get("fail_if") {
            let each = list.one_or_more(MAX_THRESHOLDS)?;
            let mut both = each.iter().zip(&self.thresholds);
            both.try_for_each(|(item, threshold)| threshold.check(&plan).map_err(|error| item.error(error)))?;
        }
        Ok(plan)
    }

    fn data(&self, options: &Options, bytes: Option<Vec<u8>>) -> Result<Option<Data>, ScriptError> {
        let fields = Field::root(&self.document).fields(&FIELDS)?;
        let place = fields.get("data").and_then(|field| field.fields(&["file", "order"]).ok()?.get("file"));
        let wrong = |message: String| match &place {
            Some(field) => field.error(message),
            None => of("data", message),
        };
        match bytes {
            None if self.data_file.is_some() => Err(wrong("the file was not read".to_owned())),
            None => Ok(None),
            Some(bytes) => {
                let data = data::parse(&bytes, options.order.unwrap_or(Order::Sequential));
                data.map(Some).map_err(|error| wrong(error.to_string()))
            }
        }
    }
}

impl Options {
    /// These, and where they say nothing, `others`.
    fn over(self, others: Options) -> Options {
        let closes = self.shape == Some(Shape::Closed);
        Options {
            url: self.url.or(others.url),
            host: self.host.or(others.host),
            protocol: self.protocol.or(others.protocol),
            shape: self.shape.or(others.shape),
            duration: self.duration.or(others.duration),
            // That of a pace which is not taken goes with it.
            spacing: self.spacing.or(others.spacing.filter(|_| !closes)),
            warm_up: self.warm_up.or(others.warm_up),
            connections: self.connections.or(others.connections),
            streams: self.streams.or(others.streams),
            timeout: self.timeout.or(others.timeout),
            workers: self.workers.or(others.workers),
            seed: self.seed.or(others.seed),
            order: self.order.or(others.order),
            trace_share: self.trace_share.or(others.trace_share),
            insecure: self.insecure.or(others.insecure),
            server_name: self.server_name.or(others.server_name),
            headers: if self.headers.is_empty() { others.headers } else { self.headers },
            action: self.action.or(others.action),
        }
    }

    /// The limits, for what did not come from a file.
    fn check(&self) -> Result<(), ScriptError> {
        let number = |name, value: Option<u32>, max| match value {
            Some(value) if value == 0 || value > max => Err(of(name, format!("it must be from 1 to {max}"))),
            _ => Ok(()),
        };
        number("connections", self.connections, MAX_CONNECTIONS)?;
        number("streams", self.streams, MAX_STREAMS)?;
        number("workers", self.workers, MAX_WORKERS)?;
        if self.timeout.is_some_and(|timeout| timeout < SHORTEST || timeout > MAX_TIMEOUT) {
            return Err(of("timeout", "it must be from 1ms to 1h"));
        }
        if self.trace_share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err(of("trace_share", "it must be from 0 to 1"));
        }
        if self.host.as_ref().is_some_and(|host| !target::is_authority(host)) {
            return Err(of("host", "it is neither a host nor a host and a port"));
        }
        let server_name = |name: &String| !target::is_authority(name) || name.contains([':', '[']);
        if self.server_name.as_ref().is_some_and(server_name) {
            return Err(of("tls.server_name", "it is no name of a host"));
        }
        Ok(())
    }

    fn pace(&self) -> Result<Pace, ScriptError> {
        let duration = self.duration.unwrap_or(Duration::from_secs(10));
        if duration < SHORTEST || duration > MAX_DURATION {
            return Err(of("duration", "it must be from 1ms to a week"));
        }
        let stages = match &self.shape {
            Some(Shape::Closed) if self.spacing.is_some() => {
                return Err(of("spacing", "a closed pace has no arrivals to spread"));
            }
            Some(Shape::Closed) => return Ok(Pace::Closed { duration }),
            Some(Shape::Stages(_)) if self.duration.is_some() => {
                return Err(of("duration", "stages say themselves how long they last"));
            }
            Some(Shape::Stages(stages)) => stages.clone(),
            Some(Shape::Rate(rate)) => vec![Stage { duration, from: rate.from, to: rate.to }],
            None => vec![Stage { duration, from: 50.0, to: 50.0 }],
        };
        let pace = Pace::Open { stages, spacing: self.spacing.unwrap_or(Spacing::Constant) };
        if pace.duration() > MAX_DURATION {
            return Err(of("stages", "together they are longer than a week"));
        }
        match &pace {
            Pace::Open { stages, .. } if stages.iter().all(|stage| stage.from + stage.to <= 0.0) => {
                Err(of("rate", "it must be above 0 at some time"))
            }
            _ => Ok(pace),
        }
    }
}

/// A mistake that has no line.
fn of(path: &str, message: impl Into<String>) -> ScriptError {
    ScriptError { line: None, path: path.to_owned(), message: message.into() }
}

/// What the fields that stand by themselves say.
fn options(fields: &Fields<'_>) -> Result<Options, ScriptError> {
    let protocols = [
        ("http1", Protocol::Http1),
        ("http2", Protocol::Http2),
        ("grpc", Protocol::Grpc),
        ("websocket", Protocol::WebSocket),
    ];
    let shape = match fields.one_of(&["rate", "stages", "closed"])? {
        Some(("rate", field)) => Some(Shape::Rate(field.rate()?)),
        Some(("stages", field)) => Some(Shape::Stages(stages(&field)?)),
        Some((_, field)) => field.bool()?.then_some(Shape::Closed),
        None => None,
    };
    if let (Some(Shape::Stages(_)), Some(field)) = (&shape, fields.get("duration")) {
        return Err(field.error("stages say themselves how long they last"));
    }
    if let (Some(Shape::Closed), Some(field)) = (&shape, fields.get("spacing")) {
        return Err(field.error("a closed pace has no arrivals to spread"));
    }
    let lasting = |field: Field<'_>| field.duration(SHORTEST, MAX_DURATION);
    Ok(Options {
        url: fields.read("target", |field| field.parsed(target::url))?,
        host: fields.read("host", |field| field.parsed(authority))?,
        protocol: fields.read("protocol", |field| one_of(&field, &protocols))?,
        shape,
        duration: fields.read("duration", lasting)?,
        spacing: fields.read("spacing", |field| {
            one_of(&field, &[("constant", Spacing::Constant), ("poisson", Spacing::Poisson)])
        })?,
        warm_up: fields.read("warm_up", |field| field.duration(Duration::ZERO, MAX_DURATION))?,
        connections: fields.read("connections", |field| field.number(1, MAX_CONNECTIONS))?,
        streams: fields.read("streams", |field| field.number(1, MAX_STREAMS))?,
        timeout: fields.read("timeout", |field| field.duration(SHORTEST, MAX_TIMEOUT))?,
        workers: fields.read("workers", |field| field.number(1, MAX_WORKERS))?,
        seed: fields.read("seed", |field| field.number(0, u64::MAX))?,
        trace_share: fields.read("trace_share", |field| field.share())?,
        ..Options::default()
    })
}

fn stages(field: &Field<'_>) -> Result<Vec<Stage>, ScriptError> {
    let stage = |item: Field<'_>| {
        let fields = item.fields(&["duration", "rate"])?;
        let Rate { from, to } = fields.need("rate")?.rate()?;
        Ok(Stage { duration: fields.need("duration")?.duration(SHORTEST, MAX_DURATION)?, from, to })
    };
    field.items(MAX_STAGES)?.into_iter().map(stage).collect()
}

fn authority(text: &str) -> Result<String, &'static str> {
    target::is_authority(text).then(|| text.to_owned()).ok_or("it is neither a host nor a host and a port")
}

fn file_name(field: Field<'_>) -> Result<String, ScriptError> {
    let name = field.text()?;
    if name.is_empty() || name.len() > 4096 || name.contains('\0') {
        return Err(field.error("the path of a file is needed"));
    }
    Ok(name.to_owned())
}

fn one_of<T: Copy>(field: &Field<'_>, all: &[(&str, T)]) -> Result<T, ScriptError> {
    let text = field.text()?;
    let found = all.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    let names = || all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| field.error(format!("it must be one of {}", names())))
}
