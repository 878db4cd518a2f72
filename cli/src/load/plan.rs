//! A plan of what a scenario file and the command line say, with the files that they name.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use purlin_load_model::plan::{Action, GrpcAction, HttpAction, MessageAction, Plan, Protocol, Template};
use purlin_load_model::script::{self, Inputs, Options, Script, Shape};
use purlin_load_model::threshold::Threshold;

use crate::failure::Failure;
use crate::load::args::{PaceArgs, RunArgs};

/// The largest file that is read.
const MAX_FILE: u64 = 64 << 20;

/// What is to be done: a plan, and what its result must not be.
pub(crate) struct Task {
    /// The plan; the types of gRPC messages are not in it yet.
    pub plan: Plan,
    /// What the result must not be.
    pub thresholds: Vec<Threshold>,
}

/// Reads the files and puts all together.
pub(crate) fn task(args: &RunArgs) -> Result<Task, Failure> {
    let script = match &args.file {
        Some(path) => {
            let wrong = |error| Failure::usage(format!("{}: {error}", path.display()));
            Script::parse(&text(path)?).map_err(wrong)?
        }
        None => Script::default(),
    };
    if args.url.is_none() && args.file.is_none() {
        return Err(Failure::usage("nothing says what to load")
            .hint("name a URL, as in `purlin load http://127.0.0.1:8080/ --rate 500/s`, or a scenario file with -f"));
    }
    let beside = |name: &str| args.file.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).join(name);
    let data = args.request.data.clone().or_else(|| script.data_file().map(beside));
    let roots = args.request.ca_file.clone().or_else(|| script.ca_file().map(beside));
    let inputs = Inputs {
        data: data.as_deref().map(bytes).transpose()?,
        roots_pem: roots.as_deref().map(text).transpose()?,
        workers: std::thread::available_parallelism().map_or(1, |cores| cores.get().try_into().unwrap_or(1)),
        seed: rand::random(),
    };
    let options = options(args)?;
    let plan = script.plan(options, inputs).map_err(|error| match &args.file {
        Some(path) if error.line.is_some() => Failure::usage(format!("{}: {error}", path.display())),
        _ => Failure::usage(error),
    })?;
    let mut thresholds = script.thresholds().to_vec();
    for text in &args.result.fail_if {
        let threshold = Threshold::parse(text).map_err(Failure::usage)?;
        threshold.check(&plan).map_err(Failure::usage)?;
        thresholds.push(threshold);
    }
    Ok(Task { plan, thresholds })
}

/// What the command line says.
fn options(args: &RunArgs) -> Result<Options, Failure> {
    let RunArgs { pace, request, .. } = args;
    let headers = request.header.iter().map(|header| {
        let (name, value) = header.split_once(':').ok_or_else(|| {
            Failure::usage(format!("the header {header:?} has no value")).hint("write it as in 'accept: text/html'")
        })?;
        script::header(name.trim(), value.trim()).map_err(Failure::usage)
    });
    Ok(Options {
        url: args.url.clone(),
        host: request.host.clone(),
        protocol: request.protocol.map(Into::into),
        shape: shape(pace),
        duration: pace.duration,
        spacing: pace.spacing.map(Into::into),
        warm_up: pace.warm_up,
        connections: pace.connections,
        streams: pace.streams,
        timeout: pace.timeout,
        workers: args.spread.workers,
        seed: pace.seed,
        order: request.order.map(Into::into),
        trace_share: request.trace_share,
        insecure: request.insecure.then_some(true),
        server_name: request.server_name.clone(),
        headers: headers.collect::<Result<_, Failure>>()?,
        action: action(args)?,
    })
}

fn shape(pace: &PaceArgs) -> Option<Shape> {
    if pace.closed { Some(Shape::Closed) } else { pace.rate.map(Shape::Rate) }
}

/// The one request that the command line asks for, if it does.
fn action(args: &RunArgs) -> Result<Option<Action>, Failure> {
    let request = &args.request;
    let path = || args.url.as_ref().map_or("/", |url| url.path.as_str());
    let message = request.message.as_deref().map(given).transpose()?;
    if let Some(method) = &request.call {
        let message = message.unwrap_or_else(|| "{}".to_owned());
        return Ok(Some(Action::Grpc(GrpcAction {
            path: format!("/{}", method.trim_start_matches('/')),
            metadata: Vec::new(),
            message: Template::parse_json(&message).map_err(Failure::usage)?,
        })));
    }
    if let Some(message) = message {
        if says_grpc(args) {
            return Err(Failure::usage("--message has no method").hint("name it with --call package.Service/Method"));
        }
        return Ok(Some(Action::Message(MessageAction {
            path: path().to_owned(),
            headers: Vec::new(),
            text: Template::parse(&message).map_err(Failure::usage)?,
            answers: 1,
        })));
    }
    let body = request.body.as_deref().map(given).transpose()?;
    if request.method.is_none() && body.is_none() {
        return Ok(None);
    }
    let method = request.method.clone().unwrap_or_else(|| "POST".to_owned());
    Ok(Some(Action::Http(HttpAction {
        method,
        path: Template::constant(path()),
        headers: Vec::new(),
        body: body.map(|body| Template::parse(&body)).transpose().map_err(Failure::usage)?,
    })))
}

fn says_grpc(RunArgs { url, request, .. }: &RunArgs) -> bool {
    let of_url = url.as_ref().and_then(|url| url.protocol);
    request.protocol.map(Protocol::from).or(of_url) == Some(Protocol::Grpc)
}

/// Text as it is, or of the file that `@` names.
fn given(text_or_file: &str) -> Result<String, Failure> {
    match text_or_file.strip_prefix('@') {
        Some(path) => text(Path::new(path)),
        None => Ok(text_or_file.to_owned()),
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    let text = String::from_utf8(bytes(path)?);
    Ok(text.with_context(|| format!("{} is no text in UTF-8", path.display()))?)
}

/// The content of a file of moderate size.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let what = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    File::open(path).with_context(what)?.take(MAX_FILE + 1).read_to_end(&mut bytes).with_context(what)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Failure::from(anyhow::anyhow!("{} has more than {} MiB", path.display(), MAX_FILE >> 20)));
    }
    Ok(bytes)
}
