//! `purlin up` and `purlin run ROLE`: starts roles, says when they are ready, and ends them on a signal.

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use purlin_gateway_proxy::AccessLog;
use tokio::runtime::Runtime;

use crate::args::{HostArgs, RunArgs, UpArgs};
use crate::client::connect::Selection;
use crate::data_dir;
use crate::failure::Failure;
use crate::host::{Host, Plan};
use crate::output::Output;
use crate::parts::{self, GatewayConfig, Part};
use crate::signals::Signals;

const API_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);

/// Runs the roles that `--only` and `--except` leave.
pub(crate) fn up(args: UpArgs, started: Instant, output: &mut Output) -> Result<(), Failure> {
    let parts = parts::select(&args.only, &args.except)?;
    let data_dir = data_dir::resolve(args.host.data_dir.as_deref())?;
    host(args.host, parts, data_dir, started, output)
}

/// Runs one role. What the API server keeps is in the data directory itself; another role has a directory within, so
/// that they can run side by side.
pub(crate) fn run_role(args: RunArgs, started: Instant, output: &mut Output) -> Result<(), Failure> {
    let part = parts::find(&args.role)?;
    let mut data_dir = data_dir::resolve(args.host.data_dir.as_deref())?;
    if part.name != parts::API_SERVER {
        data_dir.push(part.name);
    }
    host(args.host, vec![part], data_dir, started, output)
}

fn host(
    args: HostArgs,
    parts: Vec<&'static Part>,
    data_dir: PathBuf,
    started: Instant,
    output: &mut Output,
) -> Result<(), Failure> {
    let (json, format, filter) = (args.json, args.log_format.into(), args.log.clone());
    let plan = plan(args, parts, data_dir)?;
    if let AccessLog::File(path) = &plan.gateway.proxy.access_log {
        can_append(path)?;
    }
    purlin_telemetry::log::init(format, &filter).map_err(Failure::usage)?;
    purlin_net::crypto::install_crypto();
    let runtime = runtime()?;
    let ended = runtime.block_on(live(plan, json, started, output));
    // What blocks still, such as a slow disk, does not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

fn plan(args: HostArgs, parts: Vec<&'static Part>, data_dir: PathBuf) -> Result<Plan, Failure> {
    let runs = |name: &str| parts.iter().any(|part| part.name == name);
    let api = runs(parts::API_SERVER);
    let unread = [
        (args.api_listen.is_some() && !api, "--api-listen", "the role apiserver does not run here"),
        (args.kubeconfig.is_some() && api, "--kubeconfig", "the API that is used is the one that runs here"),
        (
            args.gateway_addresses.is_some() && !runs(parts::GATEWAY),
            "--gateway-addresses",
            "the role gateway does not run here",
        ),
        (args.access_log.is_some() && !runs(parts::GATEWAY), "--access-log", "the role gateway does not run here"),
    ];
    if let Some((_, option, why)) = unread.iter().find(|(is_unread, ..)| *is_unread) {
        return Err(Failure::usage(format!("{option} has no effect: {why}")).hint("leave it out"));
    }
    let mut gateway = GatewayConfig::default();
    if let Some(addresses) = args.gateway_addresses {
        gateway.addresses = addresses;
    }
    if let Some(target) = args.access_log {
        gateway.proxy.access_log = target.0;
    }
    Ok(Plan {
        data_dir,
        parts,
        api_listen: args.api_listen.unwrap_or(API_LISTEN),
        admin_listen: args.admin_listen,
        gateway,
        api: Selection { kubeconfig: args.kubeconfig, context: None },
    })
}

/// Refuses an access log that the gateway could not open: it would try again for ever, and never be ready.
fn can_append(path: &Path) -> Result<(), Failure> {
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let what = || format!("cannot write the access log {}", path.display());
    opened.with_context(what).map(drop).map_err(|e| {
        Failure::from(e)
            .hint("choose another file with --access-log, one whose directory is there and can be written to")
    })
}

/// A few threads for the control plane: the gateway's data plane has its own.
fn runtime() -> anyhow::Result<Runtime> {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.clamp(2, 4))
        .max_blocking_threads(32)
        .thread_name("purlin")
        .enable_all()
        .build()
        .context("cannot start threads")
}

async fn live(plan: Plan, json: bool, started: Instant, output: &mut Output) -> Result<(), Failure> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let host = tokio::select! {
        host = Host::start(plan, started) => host?,
        // Nothing has been promised yet, so there is nothing to finish.
        _ = signals.next() => return Ok(()),
    };
    let told = tokio::select! {
        ready = host.ready() => {
            let text = if json { ready.json()? } else { ready.text() };
            let told = output.data(&text).context("cannot write to standard output");
            if told.is_ok() {
                signals.next().await;
            }
            told
        }
        _ = signals.next() => Ok(()),
    };
    tracing::info!("ending: requests in flight are finished first; a second signal ends at once");
    signals.unless_repeated(host.stop()).await;
    Ok(told?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn planned(arguments: &[&str]) -> Result<Plan, String> {
        let Command::Up(args) = Cli::parse_from([&["purlin", "up"], arguments].concat()).command else { panic!() };
        let parts = parts::select(&args.only, &args.except).map_err(|failure| failure.to_string())?;
        plan(args.host, parts, "/d".into()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn options_that_nothing_would_read_are_refused() {
        let check = |arguments: &[&str], expected: &str| {
            assert_eq!(planned(arguments).err().as_deref(), Some(expected), "{arguments:?}");
        };
        check(
            &["--only", "gateway", "--api-listen", "127.0.0.1:0"],
            "error: --api-listen has no effect: the role apiserver does not run here\nhint: leave it out",
        );
        check(
            &["--kubeconfig", "k"],
            "error: --kubeconfig has no effect: the API that is used is the one that runs here\nhint: leave it out",
        );
        check(
            &["--except", "gateway", "--access-log", "stderr"],
            "error: --access-log has no effect: the role gateway does not run here\nhint: leave it out",
        );
    }

    #[test]
    fn an_access_log_that_cannot_be_written_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let check = |path: &Path, expected: Option<&str>| {
            let hint =
                "hint: choose another file with --access-log, one whose directory is there and can be written to";
            let text =
                |cause| format!("error: cannot write the access log {}\n  caused by: {cause}\n{hint}", path.display());
            let found = can_append(path).map_err(|failure| (failure.code, failure.to_string()));
            assert_eq!(found.err(), expected.map(|cause| (crate::exit::FAILED, text(cause))));
        };
        let file = dir.path().join("access.log");
        check(&file, None);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&file, "kept").unwrap();
        check(&file, None);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
        check(&dir.path().join("missing/access.log"), Some("No such file or directory (os error 2)"));
        check(dir.path(), Some("Is a directory (os error 21)"));
        check(&file.join("access.log"), Some("Not a directory (os error 20)"));
    }

    #[test]
    fn the_defaults_are_loopback() {
        let plan = planned(&[]).unwrap();
        assert_eq!(
            (plan.api_listen.to_string(), plan.admin_listen.to_string()),
            ("127.0.0.1:6443".into(), "127.0.0.1:7070".into())
        );
        assert_eq!(plan.parts.len(), parts::PARTS.len());
    }
}
