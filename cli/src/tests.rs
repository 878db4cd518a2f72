//! What the command line says: help, wrong uses, versions.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::*;

/// Where a test's output goes.
#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An output, and what goes to its two streams.
pub(crate) fn captured() -> (Output, Sink, Sink) {
    let (data, notes) = (Sink::default(), Sink::default());
    (Output::new(data.clone(), notes.clone()), data, notes)
}

pub(crate) fn text_of(sink: &Sink) -> String {
    String::from_utf8_lossy(&sink.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

/// Exit code, data and notes of a command.
fn said(arguments: &[&str]) -> (u8, String, String) {
    let (mut output, data, notes) = captured();
    let arguments = ["purlin"].iter().chain(arguments).map(OsString::from);
    let code = run(arguments, Instant::now(), &mut output);
    (code, text_of(&data), text_of(&notes))
}

/// The text of a command that succeeds with data alone.
fn told(arguments: &[&str]) -> String {
    let (code, data, notes) = said(arguments);
    assert_eq!((code, notes.as_str()), (exit::OK, ""), "{arguments:?}");
    data
}

/// The text of a wrong use.
fn refused(arguments: &[&str]) -> String {
    let (code, data, notes) = said(arguments);
    assert_eq!((code, data.as_str()), (exit::USAGE, ""), "{arguments:?}");
    notes
}

#[test]
fn help_is_readable() {
    insta::assert_snapshot!(told(&["--help"]), @"
    A cloud-native platform in one binary: a Kubernetes API, and a gateway that serves what you apply

    Usage: purlin <COMMAND>

    Commands:
      up            Run the platform: the Kubernetes API and the gateway, until SIGTERM or Ctrl-C
      run           Run one role of the platform in a process of its own
      get           Show objects
      apply         Create or change objects as manifests say (server-side apply)
      delete        Delete objects by name or by manifests
      load          Load an HTTP, gRPC or WebSocket service, and tell what its answers took
      version       Show the version
      demo-backend  Serve HTTP that tells what it was asked: something to route to
      completion    Write a completion script for a shell

    Options:
      -h, --help     Print help
      -V, --version  Print version
    ");
    insta::assert_snapshot!(told(&["up", "--help"]), @"
    Run the platform: the Kubernetes API and the gateway, until SIGTERM or Ctrl-C

    Usage: purlin up [OPTIONS]

    Options:
          --data-dir <DIR>             Where all data is kept [default: $XDG_DATA_HOME/purlin] [env:
                                       PURLIN_DATA_DIR]
          --api-listen <ADDRESS>       Where the Kubernetes API listens; port 0 picks a free one
                                       [default: 127.0.0.1:6443]
          --admin-listen <ADDRESS>     Where /livez, /readyz and /metrics are served, plain and to
                                       anybody; port 0 picks a free one [default: 127.0.0.1:7070]
          --gateway-addresses <CIDRS>  Addresses that Gateways are bound to, as in
                                       127.0.0.1,127.77.0.0/16, which is the default
          --access-log <TARGET>        Where the gateway logs requests: `off`, `stderr` or a file
                                       [default: off]
          --kubeconfig <FILE>          How a role without the API beside it reaches one
          --json                       Say in one line of JSON on standard output when all is ready
          --log <FILTER>               Which events are logged to standard error, as in
                                       info,purlin_gateway=debug [env: PURLIN_LOG] [default: info]
          --log-format <FORMAT>        How they are written: text on a terminal, else JSON, when `auto`
                                       [env: PURLIN_LOG_FORMAT] [default: auto] [possible values: auto,
                                       text, json]
          --only <ROLES>               Run these roles only
          --except <ROLES>             Run all roles but these
      -h, --help                       Print help
    ");
    insta::assert_snapshot!(told(&["get", "--help"]), @"
    Show objects

    Usage: purlin get [OPTIONS] <KIND> [NAME]...

    Arguments:
      <KIND>     What to show: kinds, their plurals or short names, as in HTTPRoute or gateways,svc; or
                 KIND/NAME
      [NAME]...  The objects, or more KIND/NAME; all of the namespace where none is named

    Options:
          --kubeconfig <FILE>  The kubeconfig [default: $KUBECONFIG, else that of `purlin up`, else
                               ~/.kube/config]
          --context <NAME>     The context of the kubeconfig [default: its current one]
      -n, --namespace <NAME>   The namespace [default: the context's]
      -A, --all-namespaces     Look into all namespaces
      -o, --output <FORMAT>    How to show it: as a table, whole, or only by kind and name [default:
                               text] [possible values: text, json, yaml, name]
      -h, --help               Print help
    ");
    insta::assert_snapshot!(told(&["apply", "--help"]), @"
    Create or change objects as manifests say (server-side apply)

    Usage: purlin apply [OPTIONS] --filename <FILE>

    Options:
      -f, --filename <FILE>    A manifest, a directory of them, or - for standard input
          --kubeconfig <FILE>  The kubeconfig [default: $KUBECONFIG, else that of `purlin up`, else
                               ~/.kube/config]
          --context <NAME>     The context of the kubeconfig [default: its current one]
      -n, --namespace <NAME>   The namespace [default: the context's]
          --dry-run            Let the server check everything and keep nothing
          --force-conflicts    Take over fields that another manager owns
      -h, --help               Print help
    ");
    insta::assert_snapshot!(told(&["delete", "--help"]), @"
    Delete objects by name or by manifests

    Usage: purlin delete [OPTIONS] [KIND] [NAME]...

    Arguments:
      [KIND]     Kinds, their plurals or short names; or KIND/NAME
      [NAME]...  The objects, or more KIND/NAME

    Options:
      -f, --filename <FILE>    Delete what a manifest or a directory of them names, or - for standard
                               input
          --kubeconfig <FILE>  The kubeconfig [default: $KUBECONFIG, else that of `purlin up`, else
                               ~/.kube/config]
          --context <NAME>     The context of the kubeconfig [default: its current one]
      -n, --namespace <NAME>   The namespace [default: the context's]
          --dry-run            Let the server check everything and delete nothing
          --ignore-not-found   It is no failure when an object is not there
      -h, --help               Print help
    ");
    insta::assert_snapshot!(told(&["demo-backend", "--help"]), @"
    Serve HTTP that tells what it was asked: something to route to

    Usage: purlin demo-backend [OPTIONS]

    Options:
          --listen <ADDRESS>  Where it listens; port 0 picks a free one [default: 127.0.0.1:9001]
          --name <NAME>       The name that its answers carry [default: demo]
          --json              Say in one line of JSON where it listens
      -h, --help              Print help
    ");
}

#[test]
fn help_of_load_is_readable() {
    insta::assert_snapshot!(told(&["load", "--help"]), @"
    Load an HTTP, gRPC or WebSocket service, and tell what its answers took

    Usage: purlin load [OPTIONS] [URL]
           purlin load <COMMAND>

    Commands:
      compare    Compare two results of the same load, with confidence intervals
      report     Show a result that was saved, or make a page of it
      self-test  Measure the concurrency that the generator stands on: 10,000 tasks, a bounded channel,
                 5 workers
      agent      Send a part of another purlin's load: orders on standard input, reports on standard
                 output

    Arguments:
      [URL]  The target: http, https, ws, wss, grpc or grpcs

    Options:
      -f, --file <FILE>  A scenario file; options win over what it says
      -h, --help         Print help

    Pace:
      -r, --rate <RATE>      Iterations to begin, whether or not the target keeps up: 500/s, 30000/m,
                             100..1000 [default: 50/s]
          --closed           Begin the next iteration when the last has ended, on each connection
      -d, --duration <TIME>  How long, as in 30s or 1m30s [default: 10s]
          --warm-up <TIME>   How long before figures count [default: 0s]
          --spacing <HOW>    How arrivals are spread within the rate [default: constant] [possible
                             values: constant, poisson]
      -c, --connections <N>  Connections of all threads and processes together [default: 50]
          --streams <N>      Requests at a time on a connection, with HTTP/2 and gRPC [default: 1]
          --timeout <TIME>   How long a request may take [default: 10s]
          --seed <N>         Where random numbers begin [default: a random one]

    Request:
          --protocol <PROTOCOL>  What is spoken [default: as the URL and the steps say, else HTTP/1.1]
                                 [possible values: http1, http2, grpc, websocket]
      -X, --method <METHOD>      The method [default: GET, with a body POST]
      -H, --header <HEADER>      A header of all requests, as in 'accept: text/html'; may have variables
      -b, --body <TEXT>          The body; @FILE reads a file. May have variables, as in ${uuid}
          --host <HOST>          The Host header or :authority, where it is not the URL's
          --call <METHOD>        A gRPC method: package.Service/Method
          --message <TEXT>       The message of a gRPC call as JSON, or of a WebSocket as text; @FILE
                                 reads a file
          --proto <FILE>         The .proto files of a gRPC service [default: asks the server by
                                 reflection]
          --proto-path <DIR>     Where .proto files look for their imports [default: their own
                                 directories]
          --data <FILE>          Rows of variables: a CSV file whose first line has their names
          --order <ORDER>        Which row an iteration takes [default: sequential] [possible values:
                                 sequential, random]
          --trace-share <SHARE>  The share of requests with a traceparent header, as in 0.05 or 5%
                                 [default: 0]
          --ca-file <FILE>       Authorities to trust, as PEM [default: those of the system]
          --insecure             Take any certificate
          --server-name <NAME>   The name that must stand in the certificate [default: the URL's host]

    Result:
          --fail-if <THRESHOLD>  Exit with 1 when this is so, as in 'p99>50ms' or 'errors>0.1%'
          --save <FILE>          Keep the result as JSON, to show or compare it later
          --html <FILE>          Write the result as a page that opens from disk
      -o, --output <FORMAT>      How the result is written to standard output [default: text] [possible
                                 values: text, json]
      -q, --quiet                Show nothing while the load lasts

    Senders:
      -w, --workers <N>                    Threads that send, in each process [default: as many as
                                           cores, at most one a connection]
          --processes <N>                  Send from so many processes of this machine [default: 1]
          --agent <COMMAND>                A command that starts an agent elsewhere, as in 'ssh host
                                           purlin load agent'; one for each
          --i-may-load-this-target <HOST>  Load this host though its address is neither loopback nor
                                           private
    ");
    insta::assert_snapshot!(told(&["load", "compare", "--help"]), @"
    Compare two results of the same load, with confidence intervals

    Usage: purlin load compare [OPTIONS] <BASELINE> <CANDIDATE>

    Arguments:
      <BASELINE>   The result to compare with, as --save wrote it
      <CANDIDATE>  The result that may be better or worse

    Options:
      -o, --output <FORMAT>  How it is written to standard output [default: text] [possible values:
                             text, json]
      -h, --help             Print help
    ");
    insta::assert_snapshot!(told(&["load", "report", "--help"]), @"
    Show a result that was saved, or make a page of it

    Usage: purlin load report [OPTIONS] <RESULT>

    Arguments:
      <RESULT>  The result, as --save wrote it

    Options:
          --html <FILE>  Write it as a page that opens from disk
      -h, --help         Print help
    ");
}

#[test]
fn wrong_uses_name_the_way_out() {
    insta::assert_snapshot!(refused(&[]), @"
    A cloud-native platform in one binary: a Kubernetes API, and a gateway that serves what you apply

    Usage: purlin <COMMAND>

    Commands:
      up            Run the platform: the Kubernetes API and the gateway, until SIGTERM or Ctrl-C
      run           Run one role of the platform in a process of its own
      get           Show objects
      apply         Create or change objects as manifests say (server-side apply)
      delete        Delete objects by name or by manifests
      load          Load an HTTP, gRPC or WebSocket service, and tell what its answers took
      version       Show the version
      demo-backend  Serve HTTP that tells what it was asked: something to route to
      completion    Write a completion script for a shell

    Options:
      -h, --help     Print help
      -V, --version  Print version
    ");
    insta::assert_snapshot!(refused(&["dance"]), @"
    error: unrecognized subcommand 'dance'

    Usage: purlin <COMMAND>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refused(&["up", "--only", "mesh"]), @r#"
    error: there is no role "mesh"
    hint: the roles are: apiserver, gateway
    "#);
    insta::assert_snapshot!(refused(&["up", "--only", "gateway", "--except", "gateway"]), @"
    error: the argument '--only <ROLES>' cannot be used with '--except <ROLES>'

    Usage: purlin up --only <ROLES>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refused(&["up", "--api-listen", "localhost"]), @"
    error: invalid value 'localhost' for '--api-listen <ADDRESS>': invalid socket address syntax

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refused(&["run", "mesh"]), @r#"
    error: there is no role "mesh"
    hint: the roles are: apiserver, gateway
    "#);
    insta::assert_snapshot!(refused(&["delete", "cm"]), @"
    error: no object of kind cm is named
    hint: objects are named as in `purlin delete KIND NAME` or `purlin delete KIND/NAME`
    ");
    insta::assert_snapshot!(refused(&["get", "-A", "cm/x"]), @"
    error: an object that is named is not looked for in all namespaces
    hint: name its namespace with --namespace
    ");
}

#[test]
fn the_version_is_told() {
    assert_eq!(told(&["version"]), format!("purlin {}\n", env!("CARGO_PKG_VERSION")));
    let version: serde_json::Value = serde_json::from_str(&told(&["version", "-o", "json"])).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(told(&["--version"]), format!("purlin {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_are_generated() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(told(&["completion", shell]).contains("demo-backend"), "{shell}");
    }
}
