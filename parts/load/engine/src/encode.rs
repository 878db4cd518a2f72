//! Turns the action of a step into a request as it is written.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost_reflect::{MessageDescriptor, MethodDescriptor};
use purlin_load_model::iteration::Variables;
use purlin_load_model::plan::{Action, GrpcAction, HttpAction, MessageAction, Plan, Protocol, Template};
use purlin_load_wire::hpack::Head;
use purlin_load_wire::http1::Request;

use crate::grpc::{self, Methods, metadata};
use crate::trace::Trace;
use crate::wire::{Http2Request, Kind, Wire};

/// What a server sees as the sender, unless the plan says otherwise.
const USER_AGENT: &str = concat!("purlin-load/", env!("CARGO_PKG_VERSION"));

/// Encodes the requests of one step.
pub(crate) struct Encoder {
    what: What,
    origin: Origin,
    /// The value of `grpc-timeout`.
    timeout: String,
}

/// Where requests go, as HTTP says it.
struct Origin {
    authority: String,
    scheme: &'static str,
}

enum What {
    Http1(HttpAction),
    Http2(HttpAction),
    Grpc(Call),
    Message(MessageAction),
}

/// A call of gRPC.
struct Call {
    action: GrpcAction,
    method: MethodDescriptor,
    /// The message, where no variable makes a difference.
    message: Option<Bytes>,
}

type Headers<'a> = Vec<(&'a str, String)>;

impl Encoder {
    /// One for `action`; says why when its protocol is not the plan's or its method is not known.
    pub(crate) fn new(plan: &Plan, methods: &Methods, action: &Action) -> Result<Encoder, String> {
        let what = match (action, plan.protocol) {
            (Action::Http(action), Protocol::Http1) => What::Http1(action.clone()),
            (Action::Http(action), Protocol::Http2) => What::Http2(action.clone()),
            (Action::Grpc(action), Protocol::Grpc) => What::Grpc(Call::new(plan, methods, action)?),
            (Action::Message(action), Protocol::WebSocket) => What::Message(action.clone()),
            _ => return Err("it is of another protocol than the plan".to_owned()),
        };
        Ok(Encoder { what, origin: Origin::of(plan), timeout: timeout(plan.timeout) })
    }

    /// The type of an answer's messages, with gRPC.
    pub(crate) fn answer(&self) -> Option<MessageDescriptor> {
        match &self.what {
            What::Grpc(call) => Some(call.method.output()),
            What::Http1(_) | What::Http2(_) | What::Message(_) => None,
        }
    }

    /// Whether all requests of the step are the same.
    pub(crate) fn is_constant(&self) -> bool {
        let values = |fields: &[(String, Template)]| fields.iter().all(|(_, value)| value.is_constant());
        match &self.what {
            What::Http1(action) | What::Http2(action) => {
                values(&action.headers) && action.path.is_constant() && action.body.iter().all(Template::is_constant)
            }
            What::Grpc(call) => values(&call.action.metadata) && call.message.is_some(),
            What::Message(action) => action.text.is_constant(),
        }
    }

    /// The request with these values.
    pub(crate) fn wire(&self, variables: &Variables<'_>, trace: Option<&Trace>) -> Result<Wire, String> {
        match &self.what {
            What::Http1(action) => self.http1(action, variables, trace),
            What::Http2(action) => self.http2(action, variables, trace),
            What::Grpc(call) => self.grpc(call, variables, trace),
            What::Message(action) => {
                Ok(Wire::Message { text: text(&action.text, variables)?, answers: action.answers })
            }
        }
    }

    fn http1(&self, action: &HttpAction, variables: &Variables<'_>, trace: Option<&Trace>) -> Result<Wire, String> {
        let headers = headers(&action.headers, variables, trace)?;
        let target = text(&action.path, variables)?;
        let body = action.body.as_ref().map(|body| bytes(body, variables)).transpose()?;
        let request = Request {
            method: &action.method,
            target: &target,
            authority: &self.origin.authority,
            body_len: body.as_ref().map(|body| body.len() as u64),
        };
        let mut out = Vec::new();
        let fields = headers.iter().map(|(name, value)| (*name, value.as_str()));
        request.write(&mut out, fields).map_err(|e| e.to_string())?;
        out.extend_from_slice(body.as_deref().unwrap_or_default());
        Ok(Wire::Http1(out.into()))
    }

    fn http2(&self, action: &HttpAction, variables: &Variables<'_>, trace: Option<&Trace>) -> Result<Wire, String> {
        let mut headers = headers(&action.headers, variables, trace)?;
        let body = action.body.as_ref().map(|body| bytes(body, variables)).transpose()?.unwrap_or_default();
        if action.body.is_some() {
            headers.push(("content-length", body.len().to_string()));
        }
        let head = self.origin.head(&action.method, &text(&action.path, variables)?, &headers)?;
        Ok(Wire::Http2(Http2Request { head, body: body.into(), kind: Kind::Http }))
    }

    fn grpc(&self, call: &Call, variables: &Variables<'_>, trace: Option<&Trace>) -> Result<Wire, String> {
        let body = match &call.message {
            Some(message) => message.clone(),
            None => grpc::encode(&call.method, &bytes(&call.action.message, variables)?)?,
        };
        let headers = headers(&call.action.metadata, variables, trace)?;
        let head = self.origin.grpc_head(&call.action.path, headers, &self.timeout)?;
        let kind = if call.method.is_server_streaming() { Kind::Stream } else { Kind::Call };
        Ok(Wire::Http2(Http2Request { head, body, kind }))
    }
}

impl Call {
    fn new(plan: &Plan, methods: &Methods, action: &GrpcAction) -> Result<Call, String> {
        action.metadata.iter().try_for_each(|(name, _)| metadata::check_name(name))?;
        let method = methods.find(&action.path)?;
        let message = match action.message.is_constant() {
            true => Some(grpc::encode(&method, &bytes(&action.message, &plan.variables(0))?)?),
            false => None,
        };
        Ok(Call { action: action.clone(), method, message })
    }
}

impl Origin {
    fn of(plan: &Plan) -> Origin {
        Origin { authority: plan.target.authority.clone(), scheme: if plan.target.secure { "https" } else { "http" } }
    }

    /// The header block of a call.
    fn grpc_head(&self, path: &str, metadata: Headers<'_>, timeout: &str) -> Result<Arc<Head>, String> {
        // The order in which the specification lists them; proxies look for the first.
        let mut headers = vec![
            ("te", "trailers".to_owned()),
            ("content-type", "application/grpc".to_owned()),
            ("grpc-timeout", timeout.to_owned()),
        ];
        for (name, value) in metadata {
            headers.push((name, metadata::value(name, value)?));
        }
        self.head("POST", path, &headers)
    }

    /// A header block, with the same checks as the head of an HTTP/1.1 request.
    fn head(&self, method: &str, path: &str, headers: &Headers<'_>) -> Result<Arc<Head>, String> {
        let request = Request { method, target: path, authority: &self.authority, body_len: None };
        let fields = headers.iter().filter(|(name, _)| *name != "content-length");
        let fields = fields.map(|(name, value)| (*name, value.as_str()));
        request.write(&mut Vec::new(), fields).map_err(|e| e.to_string())?;
        let mut head = Head::new(method, self.scheme, &self.authority, path);
        headers.iter().for_each(|(name, value)| head.push(name, value.as_bytes()));
        Ok(Arc::new(head))
    }
}

/// The head of a call before the load, with the metadata of the plan's first call that have no variables.
pub(crate) fn early_call(plan: &Plan, path: &str, limit: Duration) -> Result<Arc<Head>, String> {
    let mut steps = plan.scenarios.iter().flat_map(|scenario| &scenario.steps);
    let metadata = steps.find_map(|step| match &step.action {
        Action::Grpc(action) => Some(action.metadata.as_slice()),
        Action::Http(_) | Action::Message(_) => None,
    });
    let constant = metadata.unwrap_or_default().iter().filter(|(_, value)| value.is_constant()).cloned();
    let constant: Vec<(String, Template)> = constant.collect();
    constant.iter().try_for_each(|(name, _)| metadata::check_name(name))?;
    Origin::of(plan).grpc_head(path, headers(&constant, &plan.variables(0), None)?, &timeout(limit))
}

/// The value of `grpc-timeout`.
fn timeout(limit: Duration) -> String {
    format!("{}m", limit.as_millis().min(99_999_999))
}

fn headers<'a>(
    templates: &'a [(String, Template)],
    variables: &Variables<'_>,
    trace: Option<&Trace>,
) -> Result<Headers<'a>, String> {
    let rendered = templates.iter().map(|(name, value)| Ok((name.as_str(), text(value, variables)?)));
    let mut headers = rendered.collect::<Result<Headers<'a>, String>>()?;
    if !headers.iter().any(|(name, _)| *name == "user-agent") {
        headers.push(("user-agent", USER_AGENT.to_owned()));
    }
    if let Some(trace) = trace {
        headers.retain(|(name, _)| *name != "traceparent");
        headers.push(("traceparent", trace.header()));
    }
    Ok(headers)
}

fn bytes(template: &Template, variables: &Variables<'_>) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    template.render(|name| variables.value(name), &mut out).map_err(|e| e.to_string())?;
    Ok(out)
}

fn text(template: &Template, variables: &Variables<'_>) -> Result<String, String> {
    String::from_utf8(bytes(template, variables)?).map_err(|e| e.to_string())
}
