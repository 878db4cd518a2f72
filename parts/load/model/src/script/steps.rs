//! The scenarios of a script: steps, their templates, and the variables that these may use.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use super::{MAX_TIMEOUT, Options, of};
use crate::extract::JsonPath;
use crate::field::{Field, Fields, ScriptError};
use crate::iteration;
use crate::plan::{Action, Expect, Extract, GrpcAction, HttpAction, MessageAction, Protocol, Scenario, Step, Template};
use crate::target::Url;
use crate::template::is_name;

/// The most scenarios.
const MAX_SCENARIOS: usize = 100;
/// The most steps of a scenario.
const MAX_STEPS: usize = 100;
/// The most headers of a step.
const MAX_HEADERS: usize = 100;
/// The most values that a step takes from an answer.
const MAX_EXTRACTS: usize = 32;
/// The most status codes that a step expects.
const MAX_STATUS: usize = 100;
/// The highest weight.
const MAX_WEIGHT: u32 = 1_000_000;
/// The longest text that an answer must contain.
const MAX_CONTAINS: usize = 64 << 10;
/// The most messages that are awaited.
const MAX_ANSWERS: u32 = 1_000;

/// Headers that purlin writes itself, or that would change how a request is framed.
const OWN: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "traceparent",
    "transfer-encoding",
    "upgrade",
];

/// What was read.
pub(super) struct Read {
    pub protocol: Protocol,
    pub scenarios: Vec<Scenario>,
}

/// The variables that a template may use.
struct Scope<'a> {
    columns: &'a [String],
    extracted: HashSet<String>,
}

/// What all steps share while they are read.
struct Reader<'a> {
    columns: &'a [String],
    headers: Vec<(String, Template)>,
    protocol: Protocol,
    names: HashSet<String>,
    /// The path of the URL.
    path: &'a str,
    /// Path and headers of the first WebSocket step: a connection has one handshake.
    handshake: Option<(String, Vec<(String, String)>)>,
}

/// A header of all requests from the command line, or of a step: its name in lower case, and its value.
pub fn header(name: &str, value: &str) -> Result<(String, Template), String> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no name of a header"))?;
    let name = name.as_str();
    let hint = match name {
        "host" => ": say it as host",
        "traceparent" => ": say trace_share",
        _ => "",
    };
    if OWN.contains(&name) || name.starts_with("sec-websocket-") && name != "sec-websocket-protocol" {
        return Err(format!("{name} cannot be set, since purlin writes it{hint}"));
    }
    let value = Template::parse(value).map_err(|error| format!("{name}: {error}"))?;
    let fits = value.literals().all(|text| HeaderValue::from_str(text).is_ok());
    if fits {
        Ok((name.to_owned(), value))
    } else {
        Err(format!("{name}: only visible ASCII characters and spaces can stand in a header"))
    }
}

/// Reads the scenarios, or makes one of the command line's request or of the URL.
pub(super) fn read(fields: &Fields<'_>, options: &Options, url: &Url, columns: &[String]) -> Result<Read, ScriptError> {
    let scope = Scope { columns, extracted: HashSet::new() };
    let mut headers = match fields.get("headers") {
        Some(field) => read_headers(&field, &scope)?,
        None => Vec::new(),
    };
    for (name, value) in &options.headers {
        scope.check(value).map_err(|message| of("header", format!("{name}: {message}")))?;
        set(&mut headers, name, value);
    }
    let scenarios = fields.get("scenarios").filter(|_| options.action.is_none());
    let said = match (&options.action, &scenarios) {
        (Some(action), _) => Some(kind_of(action)),
        (None, Some(list)) => first_kind(list)?,
        (None, None) => None,
    };
    let protocol = protocol(options.protocol, url.protocol, said)?;
    if matches!(options.action, Some(Action::Grpc(_))) && url.path != "/" {
        return Err(of("target", "its path means nothing to gRPC, whose path is the method: leave it out"));
    }
    if scenarios.is_some() && protocol != Protocol::WebSocket && url.path != "/" {
        return Err(of("target", "its path means nothing beside scenarios, whose steps have their own: leave it out"));
    }
    let mut reader = Reader { columns, headers, protocol, names: HashSet::new(), path: &url.path, handshake: None };
    let scenarios = match (scenarios, &options.action) {
        (Some(list), _) => reader.scenarios(&list)?,
        (None, Some(action)) => vec![reader.only(action.clone())?],
        (None, None) if matches!(protocol, Protocol::Http1 | Protocol::Http2) => {
            let path = Template::constant(url.path.clone());
            let get = HttpAction { method: "GET".to_owned(), path, headers: Vec::new(), body: None };
            vec![reader.only(Action::Http(get))?]
        }
        (None, None) => return Err(of("scenarios", "they are missing: there is nothing to send")),
    };
    Ok(Read { protocol, scenarios })
}

/// The protocol that is spoken; what the URL and the steps say must go with what was asked for.
fn protocol(asked: Option<Protocol>, url: Option<Protocol>, steps: Option<Kind>) -> Result<Protocol, ScriptError> {
    let of_steps = steps.map(|kind| match kind {
        Kind::Http => Protocol::Http1,
        Kind::Grpc => Protocol::Grpc,
        Kind::WebSocket => Protocol::WebSocket,
    });
    match (asked, url) {
        (Some(asked), Some(url)) if asked != url => {
            Err(of("protocol", "it is not the one of the target's URL: begin the URL with http:// or https://"))
        }
        (asked, url) => Ok(asked.or(url).or(of_steps).unwrap_or(Protocol::Http1)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Grpc,
    WebSocket,
}

impl Kind {
    fn speaks(self, protocol: Protocol) -> bool {
        match self {
            Kind::Http => matches!(protocol, Protocol::Http1 | Protocol::Http2),
            Kind::Grpc => protocol == Protocol::Grpc,
            Kind::WebSocket => protocol == Protocol::WebSocket,
        }
    }
}

fn kind_of(action: &Action) -> Kind {
    match action {
        Action::Http(_) => Kind::Http,
        Action::Grpc(_) => Kind::Grpc,
        Action::Message(_) => Kind::WebSocket,
    }
}

/// The kind of the first step, which decides where nothing else does.
fn first_kind(list: &Field<'_>) -> Result<Option<Kind>, ScriptError> {
    let Some(scenario) = list.items(MAX_SCENARIOS)?.into_iter().next() else { return Ok(None) };
    let steps = scenario.fields(&SCENARIO)?.need("steps")?.items(MAX_STEPS)?;
    let Some(step) = steps.into_iter().next() else { return Ok(None) };
    Ok(Some(kind(&step, &step.fields(&STEP)?)?.0))
}

const SCENARIO: [&str; 3] = ["name", "weight", "steps"];
const STEP: [&str; 7] = ["name", "http", "grpc", "websocket", "expect", "extract", "think"];

fn kind<'n>(step: &Field<'n>, fields: &Fields<'n>) -> Result<(Kind, Field<'n>), ScriptError> {
    match fields.one_of(&["http", "grpc", "websocket"])? {
        Some(("http", field)) => Ok((Kind::Http, field)),
        Some(("grpc", field)) => Ok((Kind::Grpc, field)),
        Some((_, field)) => Ok((Kind::WebSocket, field)),
        None => Err(step.error("one of http, grpc and websocket is missing: it says what the step sends")),
    }
}

impl Reader<'_> {
    fn scenarios(&mut self, list: &Field<'_>) -> Result<Vec<Scenario>, ScriptError> {
        let mut scenarios: Vec<Scenario> = Vec::new();
        for (at, item) in list.items(MAX_SCENARIOS)?.into_iter().enumerate() {
            let fields = item.fields(&SCENARIO)?;
            let name = fields.read("name", |field| field.name().map(str::to_owned))?;
            let name = name.unwrap_or_else(|| format!("scenario {}", at + 1));
            if scenarios.iter().any(|other| other.name == name) {
                let place = fields.get("name").unwrap_or(item);
                return Err(place.error(format!("another scenario has the name {name:?}")));
            }
            let weight = fields.read("weight", |field| field.number(1, MAX_WEIGHT))?.unwrap_or(1);
            let mut scope = Scope { columns: self.columns, extracted: HashSet::new() };
            let steps = fields.need("steps")?.items(MAX_STEPS)?;
            let steps = steps.iter().map(|step| self.step(step, &mut scope)).collect::<Result<_, _>>()?;
            scenarios.push(Scenario { name, weight, steps });
        }
        Ok(scenarios)
    }

    /// The one step of a script without scenarios.
    fn only(&mut self, mut action: Action) -> Result<Scenario, ScriptError> {
        if !kind_of(&action).speaks(self.protocol) {
            return Err(of("protocol", "the request is not one of this protocol"));
        }
        let scope = Scope { columns: self.columns, extracted: HashSet::new() };
        action.templates().try_for_each(|t| scope.check(t)).map_err(|message| of("request", message))?;
        self.add_headers(&mut action).map_err(|message| of("header", message))?;
        let name = default_name(&action, 1);
        let expect = Expect { status: ok_of(self.protocol), contains: None };
        let step = Step { name, action, expect, extract: BTreeMap::new(), think: Duration::ZERO };
        Ok(Scenario { name: "scenario 1".to_owned(), weight: 1, steps: vec![step] })
    }

    fn step(&mut self, item: &Field<'_>, scope: &mut Scope<'_>) -> Result<Step, ScriptError> {
        let fields = item.fields(&STEP)?;
        let (kind, field) = kind(item, &fields)?;
        if !kind.speaks(self.protocol) {
            return Err(field.error("this is not the protocol of the target or of the first step: a plan speaks one"));
        }
        let mut action = match kind {
            Kind::Http => Action::Http(http(&field, scope)?),
            Kind::Grpc => Action::Grpc(grpc(&field, scope)?),
            Kind::WebSocket => Action::Message(message(&field, scope, self.path)?),
        };
        self.add_headers(&mut action).map_err(|message| field.error(message))?;
        let name = match fields.get("name") {
            Some(field) => field.name()?.to_owned(),
            None => default_name(&action, self.names.len() + 1),
        };
        if !self.names.insert(name.clone()) {
            let place = fields.get("name").unwrap_or_else(|| item.clone());
            return Err(place.error(format!("another step has the name {name:?}: give each a name of its own")));
        }
        let expect = match fields.get("expect") {
            Some(field) => expect(&field, self.protocol)?,
            None => Expect { status: ok_of(self.protocol), contains: None },
        };
        let extract = match fields.get("extract") {
            Some(field) => extract(&field, self.protocol, scope)?,
            None => BTreeMap::new(),
        };
        scope.extracted.extend(extract.keys().cloned());
        let think = fields.read("think", |field| field.duration(Duration::ZERO, MAX_TIMEOUT))?.unwrap_or_default();
        Ok(Step { name, action, expect, extract, think })
    }

    /// Adds the headers of all requests where the step has not its own of the same name.
    fn add_headers(&mut self, action: &mut Action) -> Result<(), String> {
        let add = |own: &mut Vec<(String, Template)>| {
            let mut all = self.headers.clone();
            own.iter().for_each(|(name, value)| set(&mut all, name, value));
            *own = all;
        };
        match action {
            Action::Http(http) => add(&mut http.headers),
            Action::Grpc(grpc) => add(&mut grpc.metadata),
            Action::Message(message) => {
                for (name, value) in &self.headers {
                    if !value.is_constant() {
                        return Err(format!(
                            "{name}: a WebSocket handshake happens once a connection: it has no variables"
                        ));
                    }
                    if !message.headers.iter().any(|(own, _)| own == name) {
                        message.headers.push((name.clone(), value.literals().collect()));
                    }
                }
                let handshake = (message.path.clone(), message.headers.clone());
                if *self.handshake.get_or_insert_with(|| handshake.clone()) != handshake {
                    return Err(
                        "path and headers must be those of the first step: a connection has one handshake".into()
                    );
                }
            }
        }
        Ok(())
    }
}

impl Scope<'_> {
    fn check(&self, template: &Template) -> Result<(), String> {
        let known = |name: &str| {
            iteration::BUILT_IN.contains(&name)
                || self.columns.iter().any(|column| column == name)
                || self.extracted.contains(name)
        };
        match template.variables().find(|name| !known(name)) {
            None => Ok(()),
            Some(name) => Err(format!(
                "nothing gives the variable {name} a value: it is no column of the data, no step before has extracted it in this scenario, and the built-in ones are {}",
                iteration::BUILT_IN.join(", ")
            )),
        }
    }

    fn template(&self, field: &Field<'_>) -> Result<Template, ScriptError> {
        let template = field.parsed(Template::parse)?;
        self.check(&template).map_err(|message| field.error(message))?;
        Ok(template)
    }

    /// What stands there as JSON, with the variables in its texts.
    fn json(&self, field: &Field<'_>) -> Result<Template, ScriptError> {
        let template = Template::parse_json(&field.json()?.to_string()).map_err(|error| field.error(error))?;
        self.check(&template).map_err(|message| field.error(message))?;
        Ok(template)
    }
}

fn http(field: &Field<'_>, scope: &Scope<'_>) -> Result<HttpAction, ScriptError> {
    let fields = field.fields(&["method", "path", "headers", "body", "json"])?;
    let mut headers = fields.read("headers", |field| read_headers(&field, scope))?.unwrap_or_default();
    let body = match fields.one_of(&["body", "json"])? {
        Some(("body", field)) => Some(scope.template(&field)?),
        Some((_, field)) => {
            if !headers.iter().any(|(name, _)| name == "content-type") {
                headers.push(("content-type".to_owned(), Template::constant("application/json")));
            }
            Some(scope.json(&field)?)
        }
        None => None,
    };
    let method = match fields.get("method") {
        Some(field) => field.parsed(method)?,
        None if body.is_some() => "POST".to_owned(),
        None => "GET".to_owned(),
    };
    let place = fields.need("path")?;
    let path = scope.template(&place)?;
    if !place.text()?.starts_with('/') {
        return Err(place.error("it must begin with /: the host stands in target"));
    }
    if let Some(wrong) = path.literals().flat_map(str::chars).find(|c| !('!'..='~').contains(c) || *c == '#') {
        return Err(place.error(format!("{wrong:?} cannot stand in a path: write it percent-encoded")));
    }
    Ok(HttpAction { method, path, headers, body })
}

/// A method of HTTP, as it is sent.
pub fn method(text: &str) -> Result<String, &'static str> {
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| "it is no method")?;
    match method.as_str() {
        "CONNECT" => Err("CONNECT makes a tunnel, which purlin does not load"),
        name if name.bytes().any(|b| b.is_ascii_lowercase()) => Err("methods have capital letters, as in GET"),
        name if name.len() > 32 => Err("a method has 32 letters at most"),
        name => Ok(name.to_owned()),
    }
}

fn grpc(field: &Field<'_>, scope: &Scope<'_>) -> Result<GrpcAction, ScriptError> {
    let fields = field.fields(&["method", "metadata", "message"])?;
    let path = fields.need("method")?.parsed(grpc_path)?;
    let metadata = fields.read("metadata", |field| read_headers(&field, scope))?.unwrap_or_default();
    if let Some((name, _)) = metadata.iter().find(|(name, _)| name.starts_with("grpc-") || name == "content-type") {
        return Err(field.error(format!("{name} cannot be set, since purlin writes it")));
    }
    let message = match fields.get("message") {
        Some(field) => scope.json(&field)?,
        None => Template::constant("{}"),
    };
    Ok(GrpcAction { path, metadata, message })
}

/// The path of a gRPC method: of `package.Service/Method`, with or without the slash before it.
pub fn grpc_path(text: &str) -> Result<String, &'static str> {
    let name = |text: &str, more: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || more.contains(c);
        !text.is_empty() && text.len() <= 200 && text.chars().all(fits)
    };
    match text.strip_prefix('/').unwrap_or(text).split_once('/') {
        Some((service, method)) if name(service, ".") && name(method, "") => Ok(format!("/{service}/{method}")),
        _ => Err("a method is needed as in package.Service/Method"),
    }
}

fn message(field: &Field<'_>, scope: &Scope<'_>, url_path: &str) -> Result<MessageAction, ScriptError> {
    let fields = field.fields(&["path", "headers", "text", "answers"])?;
    let constant = |field: &Field<'_>, template: &Template| match template.is_constant() {
        true => Ok(template.literals().collect::<String>()),
        false => Err(field.error("a WebSocket handshake happens once a connection: it has no variables")),
    };
    let path = match fields.get("path") {
        Some(place) => {
            let path = constant(&place, &scope.template(&place)?)?;
            if !path.starts_with('/') || path.chars().any(|c| !('!'..='~').contains(&c) || c == '#') {
                return Err(place.error("it must begin with / and have neither spaces nor #"));
            }
            path
        }
        None => url_path.to_owned(),
    };
    let mut headers = Vec::new();
    if let Some(place) = fields.get("headers") {
        for (name, value) in read_headers(&place, scope)? {
            headers.push((name, constant(&place, &value)?));
        }
    }
    let text = scope.template(&fields.need("text")?)?;
    let answers = fields.read("answers", |field| field.number(0, MAX_ANSWERS))?.unwrap_or(1);
    Ok(MessageAction { path, headers, text, answers })
}

fn read_headers(field: &Field<'_>, scope: &Scope<'_>) -> Result<Vec<(String, Template)>, ScriptError> {
    let mut headers: Vec<(String, Template)> = Vec::new();
    for (name, value) in field.entries(MAX_HEADERS)? {
        let (name, template) = value.parsed(|text| header(name, text))?;
        scope.check(&template).map_err(|message| value.error(message))?;
        if headers.iter().any(|(other, _)| *other == name) {
            return Err(value.error("there is this header already; names do not differ by capital letters"));
        }
        headers.push((name, template));
    }
    Ok(headers)
}

fn set(headers: &mut Vec<(String, Template)>, name: &str, value: &Template) {
    headers.retain(|(known, _)| known != name);
    headers.push((name.to_owned(), value.clone()));
}

fn expect(field: &Field<'_>, protocol: Protocol) -> Result<Expect, ScriptError> {
    let fields = field.fields(&["status", "contains"])?;
    let (low, high) = if protocol == Protocol::Grpc { (0, 16) } else { (200, 599) };
    let status = match fields.get("status") {
        Some(place) if protocol == Protocol::WebSocket => {
            return Err(place.error("a WebSocket message has no status"));
        }
        Some(place) => {
            place.one_or_more(MAX_STATUS)?.iter().map(|item| item.number(low, high)).collect::<Result<_, _>>()?
        }
        None => ok_of(protocol),
    };
    let contains = fields.read("contains", |place| match place.text()? {
        text if text.is_empty() || text.len() > MAX_CONTAINS => Err(place.error("it has 1 to 65536 bytes")),
        text => Ok(text.to_owned()),
    })?;
    Ok(Expect { status, contains })
}

/// The status codes that are right where nobody says which.
fn ok_of(protocol: Protocol) -> Vec<u16> {
    if protocol == Protocol::Grpc { vec![0] } else { Vec::new() }
}

fn extract(field: &Field<'_>, protocol: Protocol, scope: &Scope<'_>) -> Result<BTreeMap<String, Extract>, ScriptError> {
    let mut extract = BTreeMap::new();
    for (name, place) in field.entries(MAX_EXTRACTS)? {
        if !is_name(name) {
            return Err(
                place.error("the name of a variable is 1 to 64 letters, digits and _, and begins with no digit")
            );
        }
        if iteration::BUILT_IN.contains(&name) || scope.columns.iter().any(|column| column == name) {
            return Err(place.error("a column of the data or a built-in variable has this name"));
        }
        let fields = place.fields(&["json", "header"])?;
        let from = match fields.one_of(&["json", "header"])? {
            Some(("json", path)) => {
                path.parsed(JsonPath::parse)?;
                Extract::Json(path.text()?.to_owned())
            }
            Some((_, place)) if protocol == Protocol::WebSocket => {
                return Err(place.error("a WebSocket message has no headers"));
            }
            Some((_, place)) => Extract::Header(
                place.parsed(|text| HeaderName::from_bytes(text.as_bytes()).map(|name| name.as_str().to_owned()))?,
            ),
            None => return Err(place.error("json or header is missing: it says where the value stands")),
        };
        extract.insert(name.to_owned(), from);
    }
    Ok(extract)
}

/// What a step is called that has no name. Without the query: a name is shown everywhere, and that may hold a secret.
fn default_name(action: &Action, number: usize) -> String {
    match action {
        Action::Http(http) => {
            let path = http.path.to_string();
            let path = path.split('?').next().unwrap_or_default();
            format!("{} {path}", http.method).chars().take(100).collect()
        }
        Action::Grpc(grpc) => grpc.path.trim_start_matches('/').to_owned(),
        Action::Message(_) => format!("message {number}"),
    }
}
