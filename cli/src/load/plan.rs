//! A plan of what a scenario file and the command line say, with the files that they name.
//!
//! Every mistake names the option, or the field and its line; an option that would have no effect is one.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use purlin_load_model::plan::{Action, GrpcAction, HttpAction, MessageAction, Plan, Protocol, Template};
use purlin_load_model::script::{self, Inputs, Options, Script, ScriptError, Shape};
use purlin_load_model::target::Url;
use purlin_load_model::threshold::Threshold;

use crate::failure::Failure;
use crate::load::args::{PaceArgs, RunArgs, SpreadArgs};

/// The largest file that a load is made of.
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
        data: data.as_deref().map(|path| bytes(path, MAX_FILE)).transpose()?,
        roots_pem: roots.as_deref().map(text).transpose()?,
        workers: std::thread::available_parallelism().map_or(1, |cores| cores.get().try_into().unwrap_or(1)),
        seed: rand::random(),
    };
    let options = options(args, &script)?;
    let workers_said = options.workers.or(script.options().workers).is_some();
    let mut plan = script.plan(options, inputs).map_err(|error| misled(&error, args))?;
    share_connections(&mut plan, workers_said, &args.spread)?;
    without_effect(&plan, args)?;
    let mut thresholds = script.thresholds().to_vec();
    for text in &args.result.fail_if {
        let threshold = Threshold::parse(text).map_err(Failure::usage)?;
        threshold.check(&plan).map_err(Failure::usage)?;
        thresholds.push(threshold);
    }
    Ok(Task { plan, thresholds })
}

/// What is wrong with a plan, by the name of whoever said it.
fn misled(error: &ScriptError, args: &RunArgs) -> Failure {
    // What has a line stands in the file, but for the rows that an option has in their place.
    if (error.line.is_none() || error.path.starts_with("data"))
        && let Some(option) = option_of(&error.path, args)
    {
        return Failure::usage(format!("{option}: {}", error.message));
    }
    match &args.file {
        Some(path) => Failure::usage(format!("{}: {error}", path.display())),
        None => Failure::usage(error),
    }
}

/// The option that was given for a field of a script.
fn option_of(field: &str, args: &RunArgs) -> Option<&'static str> {
    let RunArgs { pace, request, spread, .. } = args;
    let given = match field {
        "target" => ("the URL", args.url.is_some()),
        "rate" => ("--rate", pace.rate.is_some()),
        "duration" => ("--duration", pace.duration.is_some()),
        "warm_up" => ("--warm-up", pace.warm_up.is_some()),
        "spacing" => ("--spacing", pace.spacing.is_some()),
        "connections" => ("--connections", pace.connections.is_some()),
        "streams" => ("--streams", pace.streams.is_some()),
        "timeout" => ("--timeout", pace.timeout.is_some()),
        "workers" => ("--workers", spread.workers.is_some()),
        "protocol" => ("--protocol", request.protocol.is_some()),
        "host" => ("--host", request.host.is_some()),
        "header" => ("--header", !request.header.is_empty()),
        "request" if request.body.is_some() => ("--body", true),
        "request" => ("--message", request.message.is_some()),
        "data" | "data.file" => ("--data", request.data.is_some()),
        "data.order" => ("--order", request.order.is_some()),
        "trace_share" => ("--trace-share", request.trace_share.is_some()),
        "tls.ca_file" => ("--ca-file", request.ca_file.is_some()),
        "tls.server_name" => ("--server-name", request.server_name.is_some()),
        _ => return None,
    };
    given.1.then_some(given.0)
}

/// Sees to it that each thread of each process has a connection: one without could send nothing of its part.
fn share_connections(plan: &mut Plan, workers_said: bool, spread: &SpreadArgs) -> Result<(), Failure> {
    let processes = u32::try_from(spread.agent.len()).unwrap_or(u32::MAX).max(spread.processes).max(1);
    if !workers_said {
        plan.workers = plan.workers.min(plan.connections / processes).max(1);
    }
    let threads = u64::from(processes) * u64::from(plan.workers);
    if threads > u64::from(plan.connections) {
        let threads = format!("{processes} processes of {} threads need a connection each", plan.workers);
        return Err(Failure::usage(format!("{threads}, but there are {}", plan.connections))
            .hint("more --connections, or fewer --workers or processes"));
    }
    Ok(())
}

/// Refuses what was asked for and would change nothing.
fn without_effect(plan: &Plan, args: &RunArgs) -> Result<(), Failure> {
    let request = &args.request;
    let tls = [
        ("--ca-file", request.ca_file.is_some()),
        ("--insecure", request.insecure),
        ("--server-name", request.server_name.is_some()),
    ];
    if let Some((option, _)) = tls.iter().find(|(_, given)| *given && !plan.target.secure) {
        return Err(Failure::usage(format!("{option} has no effect: the target is without TLS"))
            .hint("begin the URL with https://, wss:// or grpcs://, or leave it out"));
    }
    let steps = || plan.scenarios.iter().flat_map(|scenario| &scenario.steps);
    if let (Some(_), Some(data)) = (&request.data, &plan.data)
        && !steps().flat_map(|step| step.action.templates()).flat_map(Template::variables).any(|name| data.has(name))
    {
        return Err(Failure::usage("--data has no effect: no request uses a variable of it").hint(format!(
            "write it as in ${{{}}}, in the path, a header or the body of a scenario file, or leave it out",
            data.columns.first().map_or("name", String::as_str)
        )));
    }
    let (allowed, host) = (&args.spread.i_may_load_this_target, &plan.target.host);
    if !allowed.is_empty() && !allowed.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        let named = allowed.join(", ");
        return Err(Failure::usage(format!("--i-may-load-this-target names {named}, but the target is {host}")));
    }
    Ok(())
}

/// What the command line says.
fn options(args: &RunArgs, script: &Script) -> Result<Options, Failure> {
    let RunArgs { pace, request, .. } = args;
    let headers = request.header.iter().map(|header| {
        let (name, value) = header.split_once(':').ok_or_else(|| {
            Failure::usage(format!("the header {header:?} has no value")).hint("write it as in 'accept: text/html'")
        })?;
        script::header(name.trim(), value.trim()).map_err(|error| of_option("--header", error))
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
        // Whoever names authorities wants certificates to be judged, whatever the file says.
        insecure: (request.insecure || request.ca_file.is_some()).then_some(request.insecure),
        server_name: request.server_name.clone(),
        headers: headers.collect::<Result<_, Failure>>()?,
        action: action(args, script)?,
    })
}

fn shape(pace: &PaceArgs) -> Option<Shape> {
    if pace.closed { Some(Shape::Closed) } else { pace.rate.map(Shape::Rate) }
}

/// The one request that the command line asks for, if it does.
fn action(args: &RunArgs, script: &Script) -> Result<Option<Action>, Failure> {
    let request = &args.request;
    let url = args.url.as_ref().or(script.options().url.as_ref());
    let path = || url.map_or("/", |url| url.path.as_str());
    let message = request.message.as_deref().map(given).transpose()?;
    if let Some(method) = &request.call {
        let message = message.unwrap_or_else(|| "{}".to_owned());
        return Ok(Some(Action::Grpc(GrpcAction {
            path: script::grpc_path(method).map_err(|error| of_option("--call", error))?,
            metadata: Vec::new(),
            message: Template::parse_json(&message).map_err(|error| of_option("--message", error))?,
        })));
    }
    if let Some(message) = message {
        if says_grpc(args, script, url) {
            return Err(Failure::usage("--message has no method").hint("name it with --call package.Service/Method"));
        }
        return Ok(Some(Action::Message(MessageAction {
            path: path().to_owned(),
            headers: Vec::new(),
            text: Template::parse(&message).map_err(|error| of_option("--message", error))?,
            answers: 1,
        })));
    }
    let body = request.body.as_deref().map(given).transpose()?;
    if request.method.is_none() && body.is_none() {
        return Ok(None);
    }
    let method = request.method.as_deref().unwrap_or("POST");
    let body = body.map(|body| Template::parse(&body)).transpose();
    Ok(Some(Action::Http(HttpAction {
        method: script::method(method).map_err(|error| of_option("--method", error))?,
        path: Template::constant(path()),
        headers: Vec::new(),
        body: body.map_err(|error| of_option("--body", error))?,
    })))
}

fn of_option(option: &str, error: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("{option}: {error}"))
}

fn says_grpc(args: &RunArgs, script: &Script, url: Option<&Url>) -> bool {
    let asked = args.request.protocol.map(Protocol::from).or(script.options().protocol);
    asked.or(url.and_then(|url| url.protocol)) == Some(Protocol::Grpc)
}

/// Text as it is, or of the file that `@` names.
fn given(text_or_file: &str) -> Result<String, Failure> {
    match text_or_file.strip_prefix('@') {
        Some(path) => text(Path::new(path)),
        None => Ok(text_or_file.to_owned()),
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    let text = String::from_utf8(bytes(path, MAX_FILE)?);
    Ok(text.with_context(|| format!("{} is no text in UTF-8", path.display()))?)
}

/// The content of a file of at most `max` bytes.
pub(crate) fn bytes(path: &Path, max: u64) -> Result<Vec<u8>, Failure> {
    let what = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    File::open(path).with_context(what)?.take(max + 1).read_to_end(&mut bytes).with_context(what)?;
    if bytes.len() as u64 > max {
        return Err(Failure::from(anyhow::anyhow!("{} has more than {} MiB", path.display(), max >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RunArgs,
    }

    fn args(arguments: &str) -> RunArgs {
        Line::try_parse_from(["load"].into_iter().chain(arguments.split_whitespace())).unwrap().args
    }

    fn refused(arguments: &str) -> String {
        task(&args(arguments)).err().map(|failure| failure.to_string()).unwrap_or_default()
    }

    /// A directory with a file of each kind.
    fn files() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("closed.yaml", "target: http://127.0.0.1/\nclosed: true\n"),
            ("path.yaml", "target: http://127.0.0.1/a/path\n"),
            ("insecure.yaml", "target: https://127.0.0.1/\ntls: {insecure: true}\n"),
            ("rows.yaml", "target: http://127.0.0.1/\ndata: {file: rows.csv}\nheaders: {x: '${id}'}\n"),
            ("rows.csv", "id\n7\n"),
            ("bad.csv", "id\n7,8\n"),
            ("none.pem", "nothing"),
            ("ca.pem", "-----BEGIN CERTIFICATE-----\n"),
        ] {
            std::fs::write(directory.path().join(name), content).unwrap();
        }
        directory
    }

    #[test]
    fn what_has_no_effect_is_refused() {
        let files = files();
        let check = |arguments: &str, expected: &str| {
            let failed = refused(&arguments.replace("DIR", &files.path().display().to_string()));
            assert!(failed.starts_with(&format!("error: {expected}")), "{arguments}: {failed}");
        };
        let (plain, tls) = ("http://127.0.0.1/", "https://127.0.0.1/");
        check(&format!("{plain} --insecure"), "--insecure has no effect: the target is without TLS");
        check(&format!("{plain} --ca-file DIR/ca.pem"), "--ca-file has no effect");
        check(&format!("{plain} --server-name a"), "--server-name has no effect");
        check("-f DIR/insecure.yaml http://127.0.0.1/ --insecure", "--insecure has no effect");
        check(&format!("{plain} --order random"), "--order: it has no effect without data");
        check(&format!("{plain} --data DIR/rows.csv"), "--data has no effect: no request uses a variable of it");
        check("-f DIR/closed.yaml --spacing poisson", "--spacing: a closed pace has no arrivals");
        check(&format!("{plain} --i-may-load-this-target a"), "--i-may-load-this-target names a, but the target");
        check("grpc://127.0.0.1/path --call a.B/C", "the URL: its path means nothing to gRPC");
        check("ws://127.0.0.1/ --message a --trace-share 5%", "--trace-share: a WebSocket message has no headers");
        check(&format!("{plain} -c 3 --processes 4"), "4 processes of 1 threads need a connection each, but");
        check(&format!("{plain} -c 3 --processes 2 -w 2"), "2 processes of 2 threads need a connection each");
        // The same where it has one.
        let rows = "-f DIR/rows.yaml --order random --data DIR/rows.csv";
        let rows = rows.replace("DIR", &files.path().display().to_string());
        for arguments in [format!("{tls} --insecure --i-may-load-this-target 127.0.0.1"), rows] {
            assert_eq!(refused(&arguments), "", "{arguments}");
        }
    }

    #[test]
    fn mistakes_name_the_option() {
        let files = files();
        let check = |arguments: &str, expected: &str| {
            let failed = refused(&arguments.replace("DIR", &files.path().display().to_string()));
            assert!(failed.starts_with(&format!("error: {expected}")), "{arguments}: {failed}");
        };
        let plain = "http://127.0.0.1/";
        check("https://127.0.0.1/ --ca-file DIR/none.pem", "--ca-file: there is no certificate in it");
        check("-f DIR/rows.yaml --data DIR/bad.csv", "--data: line 2: it has 2 values");
        check(&format!("{plain} --connections 0"), "--connections: it must be from 1 to");
        check(&format!("{plain} --warm-up 10s"), "--warm-up: it must be shorter");
        check(&format!("{plain} --body ${{id}}"), "--body: nothing gives the variable id");
        check(&format!("{plain} --body $"), "--body: a $ must be followed");
        check(&format!("{plain} --method get"), "--method: methods have capital letters");
        check("grpc://127.0.0.1 --call a", "--call: a method is needed as in");
    }

    #[test]
    fn the_command_line_wins() {
        let files = files();
        let plan = |arguments: &str| {
            task(&args(&arguments.replace("DIR", &files.path().display().to_string()))).map(|task| task.plan).unwrap()
        };
        assert_eq!(plan("http://127.0.0.1/ --trace-share 5%").trace_share, 0.05);
        assert_eq!(plan("http://127.0.0.1/ --trace-share 0.5").trace_share, 0.5);
        // Authorities that are named are asked, though the file takes anybody.
        let judged = plan("-f DIR/insecure.yaml --ca-file DIR/ca.pem").tls;
        assert!(!judged.insecure && judged.roots_pem.is_some());
        // The path of the file's target is that of the request, too.
        let posted = plan("-f DIR/path.yaml --body a");
        assert_eq!(posted.scenarios[0].steps[0].name, "POST /a/path");
        assert!(plan("http://127.0.0.1/ -c 3 --processes 3").workers == 1);
    }
}
