//! The command line, as clap reads it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use purlin_telemetry::log::LogFormat;
use serde_json::json;

use crate::data_dir;
use crate::load::args::LoadArgs;
use crate::parts::{AccessLogTarget, AddressPool};

/// A cloud-native platform in one binary: a Kubernetes API, and a gateway that serves what you apply.
#[derive(Debug, Parser)]
#[command(name = "purlin", version, disable_help_subcommand = true, term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the platform: the Kubernetes API and the gateway, until SIGTERM or Ctrl-C
    Up(UpArgs),
    /// Run one role of the platform in a process of its own
    Run(RunArgs),
    /// Show objects
    Get(GetArgs),
    /// Create or change objects as manifests say (server-side apply)
    Apply(ApplyArgs),
    /// Delete objects by name or by manifests
    Delete(DeleteArgs),
    /// Load an HTTP, gRPC or WebSocket service, and tell what its answers took
    Load(Box<LoadArgs>),
    /// Show the version
    Version(VersionArgs),
    /// Serve HTTP that tells what it was asked: something to route to
    DemoBackend(DemoBackendArgs),
    /// Write a completion script for a shell
    Completion(CompletionArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) host: HostArgs,
    /// Run these roles only
    #[arg(long, value_name = "ROLES", value_delimiter = ',', conflicts_with = "except")]
    pub(crate) only: Vec<String>,
    /// Run all roles but these
    #[arg(long, value_name = "ROLES", value_delimiter = ',')]
    pub(crate) except: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The role
    pub(crate) role: String,
    #[command(flatten)]
    pub(crate) host: HostArgs,
}

/// What a process that runs roles can be told.
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    /// Where all data is kept [default: $XDG_DATA_HOME/purlin]
    #[arg(long, value_name = "DIR", env = data_dir::VARIABLE, hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the Kubernetes API listens; port 0 picks a free one [default: 127.0.0.1:6443]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) api_listen: Option<SocketAddr>,
    /// Where /livez, /readyz and /metrics are served, plain and to anybody; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    pub(crate) admin_listen: SocketAddr,
    /// Addresses that Gateways are bound to, as in 127.0.0.1,127.77.0.0/16, which is the default
    #[arg(long, value_name = "CIDRS")]
    pub(crate) gateway_addresses: Option<AddressPool>,
    /// Where the gateway logs requests: `off`, `stderr` or a file [default: off]
    #[arg(long, value_name = "TARGET")]
    pub(crate) access_log: Option<AccessLogTarget>,
    /// How a role without the API beside it reaches one
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Say in one line of JSON on standard output when all is ready
    #[arg(long)]
    pub(crate) json: bool,
    /// Which events are logged to standard error, as in info,purlin_gateway=debug
    #[arg(long, value_name = "FILTER", env = "PURLIN_LOG", hide_env_values = true, default_value = "info")]
    pub(crate) log: String,
    /// How they are written: text on a terminal, else JSON, when `auto`
    #[arg(long, value_name = "FORMAT", env = "PURLIN_LOG_FORMAT", hide_env_values = true, default_value = "auto")]
    pub(crate) log_format: LogFormatArg,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormatArg {
    Auto,
    Text,
    Json,
}

impl From<LogFormatArg> for LogFormat {
    fn from(format: LogFormatArg) -> Self {
        match format {
            LogFormatArg::Auto => LogFormat::Auto,
            LogFormatArg::Text => LogFormat::Text,
            LogFormatArg::Json => LogFormat::Json,
        }
    }
}

/// Which API server is asked, and where in it.
#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// The kubeconfig [default: $KUBECONFIG, else that of `purlin up`, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The namespace [default: the context's]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// What to show: kinds, their plurals or short names, as in HTTPRoute or gateways,svc; or KIND/NAME
    pub(crate) kind: String,
    /// The objects, or more KIND/NAME; all of the namespace where none is named
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Look into all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "names"])]
    pub(crate) all_namespaces: bool,
    /// How to show it: as a table, whole, or only by kind and name
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    Yaml,
    Name,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// A manifest, a directory of them, or - for standard input
    #[arg(short, long, value_name = "FILE", required = true)]
    pub(crate) filename: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Let the server check everything and keep nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Take over fields that another manager owns
    #[arg(long)]
    pub(crate) force_conflicts: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Kinds, their plurals or short names; or KIND/NAME
    #[arg(required_unless_present = "filename")]
    pub(crate) kind: Option<String>,
    /// The objects, or more KIND/NAME
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Delete what a manifest or a directory of them names, or - for standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "kind")]
    pub(crate) filename: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Let the server check everything and delete nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// It is no failure when an object is not there
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// How to show it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: VersionFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum VersionFormat {
    Text,
    Json,
}

impl VersionArgs {
    /// The version in the format that was asked for.
    pub(crate) fn render(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        match self.output {
            VersionFormat::Text => format!("purlin {version}"),
            VersionFormat::Json => {
                json!({"version": version, "os": std::env::consts::OS, "arch": std::env::consts::ARCH}).to_string()
            }
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoBackendArgs {
    /// Where it listens; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9001")]
    pub(crate) listen: SocketAddr,
    /// The name that its answers carry
    #[arg(long, default_value = "demo")]
    pub(crate) name: String,
    /// Say in one line of JSON where it listens
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}
