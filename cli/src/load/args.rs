//! The options of `purlin load`, as clap reads them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use purlin_load_model::plan::{Order, Protocol, Spacing};
use purlin_load_model::target::{self, Url};
use purlin_load_model::words::{self, Rate};

/// Loads a target at an intended rate and tells how long answers took from the intended start.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct LoadArgs {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compare two results of the same load, with confidence intervals
    Compare(CompareArgs),
    /// Show a result that was saved, or make a page of it
    Report(ReportArgs),
    /// Measure the concurrency that the generator stands on: 10,000 tasks, a bounded channel, 5 workers
    SelfTest(SelfTestArgs),
    /// Send a part of another purlin's load: orders on standard input, reports on standard output
    Agent,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The target: http, https, ws, wss, grpc or grpcs
    #[arg(value_parser = target::url)]
    pub(crate) url: Option<Url>,
    /// A scenario file; options win over what it says
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) pace: PaceArgs,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    #[command(flatten)]
    pub(crate) result: ResultArgs,
    #[command(flatten)]
    pub(crate) spread: SpreadArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Pace")]
pub(crate) struct PaceArgs {
    /// Iterations to begin, whether or not the target keeps up: 500/s, 30000/m, 100..1000 [default: 50/s]
    #[arg(short, long, value_name = "RATE", value_parser = words::rate)]
    pub(crate) rate: Option<Rate>,
    /// Begin the next iteration when the last has ended, on each connection
    #[arg(long, conflicts_with_all = ["rate", "spacing"])]
    pub(crate) closed: bool,
    /// How long, as in 30s or 1m30s [default: 10s]
    #[arg(short, long, value_name = "TIME", value_parser = words::duration)]
    pub(crate) duration: Option<Duration>,
    /// How long before figures count [default: 0s]
    #[arg(long, value_name = "TIME", value_parser = words::duration)]
    pub(crate) warm_up: Option<Duration>,
    /// How arrivals are spread within the rate [default: constant]
    #[arg(long, value_name = "HOW")]
    pub(crate) spacing: Option<SpacingArg>,
    /// Connections of all threads and processes together [default: 50]
    #[arg(short, long, value_name = "N")]
    pub(crate) connections: Option<u32>,
    /// Requests at a time on a connection, with HTTP/2 and gRPC [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) streams: Option<u32>,
    /// How long a request may take [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = words::duration)]
    pub(crate) timeout: Option<Duration>,
    /// Where random numbers begin [default: a random one]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Request")]
pub(crate) struct RequestArgs {
    /// What is spoken [default: as the URL and the steps say, else HTTP/1.1]
    #[arg(long, value_name = "PROTOCOL")]
    pub(crate) protocol: Option<ProtocolArg>,
    /// The method [default: GET, with a body POST]
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// A header of all requests, as in 'accept: text/html'; may have variables
    #[arg(short = 'H', long, value_name = "HEADER")]
    pub(crate) header: Vec<String>,
    /// The body; @FILE reads a file. May have variables, as in ${uuid}
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) body: Option<String>,
    /// The Host header or :authority, where it is not the URL's
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// A gRPC method: package.Service/Method
    #[arg(long, value_name = "METHOD", conflicts_with_all = ["method", "body"])]
    pub(crate) call: Option<String>,
    /// The message of a gRPC call as JSON, or of a WebSocket as text; @FILE reads a file
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["method", "body"])]
    pub(crate) message: Option<String>,
    /// The .proto files of a gRPC service [default: asks the server by reflection]
    #[arg(long, value_name = "FILE")]
    pub(crate) proto: Vec<PathBuf>,
    /// Where .proto files look for their imports [default: their own directories]
    #[arg(long, value_name = "DIR", requires = "proto")]
    pub(crate) proto_path: Vec<PathBuf>,
    /// Rows of variables: a CSV file whose first line has their names
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// Which row an iteration takes [default: sequential]
    #[arg(long, value_name = "ORDER")]
    pub(crate) order: Option<OrderArg>,
    /// The share of requests with a traceparent header, as in 0.05 or 5% [default: 0]
    #[arg(long, value_name = "SHARE", value_parser = words::share)]
    pub(crate) trace_share: Option<f64>,
    /// Authorities to trust, as PEM [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Take any certificate
    #[arg(long, conflicts_with = "ca_file")]
    pub(crate) insecure: bool,
    /// The name that must stand in the certificate [default: the URL's host]
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Result")]
pub(crate) struct ResultArgs {
    /// Exit with 1 when this is so, as in 'p99>50ms' or 'errors>0.1%'
    #[arg(long, value_name = "THRESHOLD")]
    pub(crate) fail_if: Vec<String>,
    /// Keep the result as JSON, to show or compare it later
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Write the result as a page that opens from disk
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// How the result is written to standard output
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: ResultFormat,
    /// Show nothing while the load lasts
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Senders")]
pub(crate) struct SpreadArgs {
    /// Threads that send, in each process [default: as many as cores, at most one a connection]
    #[arg(short, long, value_name = "N")]
    pub(crate) workers: Option<u32>,
    /// Send from so many processes of this machine
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) processes: u32,
    /// A command that starts an agent elsewhere, as in 'ssh host purlin load agent'; one for each
    #[arg(long, value_name = "COMMAND", conflicts_with = "processes")]
    pub(crate) agent: Vec<String>,
    /// Load this host though its address is neither loopback nor private
    #[arg(long, value_name = "HOST")]
    pub(crate) i_may_load_this_target: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ProtocolArg {
    Http1,
    Http2,
    Grpc,
    Websocket,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SpacingArg {
    Constant,
    Poisson,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OrderArg {
    Sequential,
    Random,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ResultFormat {
    Text,
    Json,
}

impl From<ProtocolArg> for Protocol {
    fn from(protocol: ProtocolArg) -> Self {
        match protocol {
            ProtocolArg::Http1 => Protocol::Http1,
            ProtocolArg::Http2 => Protocol::Http2,
            ProtocolArg::Grpc => Protocol::Grpc,
            ProtocolArg::Websocket => Protocol::WebSocket,
        }
    }
}

impl From<SpacingArg> for Spacing {
    fn from(spacing: SpacingArg) -> Self {
        match spacing {
            SpacingArg::Constant => Spacing::Constant,
            SpacingArg::Poisson => Spacing::Poisson,
        }
    }
}

impl From<OrderArg> for Order {
    fn from(order: OrderArg) -> Self {
        match order {
            OrderArg::Sequential => Order::Sequential,
            OrderArg::Random => Order::Random,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The result to compare with, as --save wrote it
    pub(crate) baseline: PathBuf,
    /// The result that may be better or worse
    pub(crate) candidate: PathBuf,
    /// How it is written to standard output
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: ResultFormat,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The result, as --save wrote it
    pub(crate) result: PathBuf,
    /// Write it as a page that opens from disk
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SelfTestArgs {
    /// How it is written to standard output
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: ResultFormat,
}
