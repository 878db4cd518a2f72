//! A process that runs roles: what it holds, how it starts, and how it ends.
//!
//! Start: lock the data directory -> bind the listeners -> open the store and the certificates side by side -> write
//! the kubeconfig -> start the roles -> serve the admin listener. Whatever can be refused is refused before a role has
//! begun. End: stop the roles that ask the API (the last first), then what runs beside them, then the API server, then
//! the admin listener, then close the store; the data directory is given up last.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use purlin_audit::Ledger;
use purlin_net::file::{DataDir, create_private_dir, write_private};
use purlin_net::listen;
use purlin_net::pki::{Pki, ServerNames, ServingCertificate};
use purlin_net::serve::{ServeOptions, serve};
use purlin_resource::{ApiHandle, Watches};
use purlin_role::{Clock, Gate, Health, Platform, Supervisor, admin_answer};
use purlin_store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::connect::{self, Selection};
use crate::client::outside::Outside;
use crate::failure::Failure;
use crate::kubeconfig;
use crate::parts::{self, Part, Wiring};
use crate::ready::Ready;

/// What a process is to run, and where.
pub(crate) struct Plan {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The parts.
    pub parts: Vec<&'static Part>,
    /// Where the API listens, when it runs here.
    pub api_listen: SocketAddr,
    /// Where the admin listener is.
    pub admin_listen: SocketAddr,
    /// The gateway's configuration.
    pub gateway: parts::GatewayConfig,
    /// Which API is asked, when it does not run here.
    pub api: Selection,
}

/// How long the administrator's certificate lives; each start writes a new one.
const ADMIN_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How often certificates are looked at.
const RENEWAL_CHECK: Duration = Duration::from_secs(60 * 60);
/// The first address of the range of Services: the API's own.
const SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// A running process.
pub(crate) struct Host {
    started: Instant,
    ready: Ready,
    health: Health,
    api_gate: Option<Gate>,
    supervisor: Supervisor,
    store: Store,
    /// Runs beside the roles: watches, renewals, the sealing of audit rows.
    beside: Beside,
    admin: (CancellationToken, JoinHandle<()>),
    _data_dir: DataDir,
}

#[derive(Clone, Default)]
struct Beside {
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

/// The API as this process reaches it.
struct ApiSide {
    handle: ApiHandle,
    url: String,
    kubeconfig: Option<PathBuf>,
    /// Where it runs here.
    own: Option<parts::ApiServerConfig>,
}

impl Host {
    /// Starts everything that `plan` says; `started` is when the process began.
    pub(crate) async fn start(plan: Plan, started: Instant) -> Result<Host, Failure> {
        // Whatever is written from here on is for this user alone.
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        let data_dir = DataDir::lock(&plan.data_dir)?;
        let runs_api = plan.parts.iter().any(|part| part.name == parts::API_SERVER);
        let api_listener = runs_api.then(|| listen::bind(plan.api_listen, "--api-listen")).transpose()?;
        let admin_listener = listen::bind(plan.admin_listen, "--admin-listen")?;
        let admin_address = admin_listener.local_addr()?;

        let clock = Clock::default();
        let (store, pki) = open(&plan.data_dir, SystemTime::from(clock.now())).await?;
        let api = match api_listener {
            Some(listener) => serve_api(&plan.data_dir, listener, &pki, &clock).await?,
            None => ask_api(&plan.api).await?,
        };
        let beside = Beside::default();
        let watches =
            Watches::new(api.handle.client(parts::WATCHES_ASK_AS), beside.shutdown.clone(), beside.tasks.clone());
        let health = Health::default();
        let platform = Platform {
            data_dir: plan.data_dir.clone(),
            store: store.clone(),
            pki: pki.clone(),
            api: api.handle,
            watches,
            health: health.clone(),
            clock: clock.clone(),
        };
        if let Some(own) = &api.own {
            beside.tasks.spawn(renew(own.certificate.clone(), pki, clock, beside.shutdown.clone()));
            let audit = plan.data_dir.join("audit");
            create_private_dir(&audit).with_context(|| format!("cannot create {}", audit.display()))?;
            beside.tasks.spawn(Ledger::new(store.clone(), &audit).run(beside.shutdown.clone()));
        }
        let ready = Ready {
            event: "ready",
            version: env!("CARGO_PKG_VERSION"),
            api: api.url,
            admin: format!("http://{admin_address}"),
            kubeconfig: api.kubeconfig,
            data_dir: plan.data_dir,
            api_ms: None,
            ready_ms: 0,
            gateway: plan.parts.iter().any(|part| part.name == parts::GATEWAY),
        };
        let wiring = Wiring { api: api.own, gateway: plan.gateway };
        let api_gate = start_gates(&health, &plan.parts);
        let mut supervisor = Supervisor::new(platform);
        for part in plan.parts {
            supervisor.start((part.role)(&wiring)?);
        }
        let admin = serve_admin(admin_listener, admin_address, health.clone());
        Ok(Host { started, ready, health, api_gate, supervisor, store, beside, admin, _data_dir: data_dir })
    }

    /// Returns once every role is ready, with where everything is.
    pub(crate) async fn ready(&self) -> Ready {
        let elapsed = || u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut ready = self.ready.clone();
        // The API answers before any role that asks it can be ready.
        if let Some(gate) = &self.api_gate {
            gate.opened().await;
            ready.api_ms = Some(elapsed());
        }
        self.health.ready().await;
        ready.ready_ms = elapsed();
        ready
    }

    /// Finishes what is in flight and ends.
    pub(crate) async fn stop(mut self) {
        // Watches end before the server that they watch, which they would miss otherwise.
        let last = usize::from(self.api_gate.is_some());
        while self.supervisor.running() > last {
            self.supervisor.stop_last().await;
        }
        self.beside.shutdown.cancel();
        self.beside.tasks.close();
        self.beside.tasks.wait().await;
        self.supervisor.stop().await;
        let (shutdown, task) = self.admin;
        shutdown.cancel();
        if let Err(error) = task.await {
            tracing::error!(%error, "the admin listener failed");
        }
        self.store.close().await;
    }
}

/// Takes the gates of `parts` before any of them runs, so that the process is not ready too early.
fn start_gates(health: &Health, parts: &[&'static Part]) -> Option<Gate> {
    let mut api = None;
    for part in parts {
        for gate in part.gates {
            let gate = health.gate(&format!("{}/{gate}", part.name));
            if part.name == parts::API_SERVER {
                api.get_or_insert(gate);
            }
        }
    }
    api
}

/// Opens the store and the certificates at the same time: the first waits for the disk, the second for random numbers.
async fn open(data_dir: &Path, now: SystemTime) -> Result<(Store, Arc<Pki>), Failure> {
    let (database, certificates) = (data_dir.join("control.db"), data_dir.join("pki"));
    let store = tokio::task::spawn_blocking(move || {
        Store::open(&database, &parts::MIGRATIONS).with_context(|| format!("cannot open {}", database.display()))
    });
    let pki = tokio::task::spawn_blocking(move || Pki::open(&certificates, now).map(Arc::new));
    let (store, pki) = tokio::join!(store, pki);
    Ok((store.context("opening the store panicked")??, pki.context("opening the certificates panicked")??))
}

/// Prepares the API server of this process: its certificate, and the kubeconfig that leads to it.
async fn serve_api(data_dir: &Path, listener: TcpListener, pki: &Arc<Pki>, clock: &Clock) -> Result<ApiSide, Failure> {
    let address = listener.local_addr()?;
    let url = format!("https://{}", reachable(address));
    let path = data_dir.join("kubeconfig");
    let now = SystemTime::from(clock.now());
    let issue = {
        let (pki, url, path) = (pki.clone(), url.clone(), path.clone());
        move || -> anyhow::Result<Arc<ServingCertificate>> {
            let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let certificate = ServingCertificate::issue(&pki, server_names(hostname.trim(), address.ip()), now)?;
            let admin = pki.issue_client("purlin-admin", &["system:masters"], ADMIN_LIFETIME, now)?;
            let text = kubeconfig::render(&kubeconfig::Admin {
                server: &url,
                root: pki.root_pem(),
                certificate: &admin.chain_pem(),
                key: &admin.key_pem(),
            });
            write_private(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(certificate)
        }
    };
    let certificate = tokio::task::spawn_blocking(issue).await.context("issuing certificates panicked")??;
    let listener = Arc::new(listener.into_std()?);
    let own = parts::ApiServerConfig { listener, certificate };
    Ok(ApiSide { handle: ApiHandle::default(), url, kubeconfig: Some(path), own: Some(own) })
}

/// Reaches for an API server elsewhere.
async fn ask_api(selection: &Selection) -> Result<ApiSide, Failure> {
    let connection = connect::connect(selection).await?;
    let handle = ApiHandle::default();
    handle.register(Box::new(Outside::new(connection.client)));
    Ok(ApiSide { handle, url: connection.url, kubeconfig: connection.kubeconfig, own: None })
}

/// `address` as a client on this machine reaches it.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The names under which clients reach the API, within a cluster and from outside.
fn server_names(hostname: &str, listen: IpAddr) -> ServerNames {
    let service = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let mut dns: Vec<String> = service.map(str::to_owned).into();
    dns.push("kubernetes.default.svc.cluster.local".to_owned());
    let is_name = hostname.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    if is_name && !hostname.is_empty() && !dns.iter().any(|name| name == hostname) {
        dns.push(hostname.to_owned());
    }
    let mut ips = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), SERVICE_ADDRESS.into()];
    if !listen.is_unspecified() && !ips.contains(&listen) {
        ips.push(listen);
    }
    ServerNames { dns, ips }
}

/// Replaces the API's certificate before it expires. Looks often, since a clock may be set.
async fn renew(certificate: Arc<ServingCertificate>, pki: Arc<Pki>, clock: Clock, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(tokio::time::sleep(RENEWAL_CHECK)).await.is_some() {
        match certificate.renew_if_due(&pki, clock.now().into()) {
            Ok(true) => tracing::info!("renewed the API's serving certificate"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "failed to renew the API's serving certificate"),
        }
    }
}

fn serve_admin(listener: TcpListener, address: SocketAddr, health: Health) -> (CancellationToken, JoinHandle<()>) {
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "the admin listener is plain and answers anybody who reaches it");
    }
    let shutdown = CancellationToken::new();
    let answer = move |request: http::Request<hyper::body::Incoming>| {
        let response = admin_answer(&request, &health);
        async move { response }
    };
    let options = ServeOptions {
        name: "admin",
        max_connections: 256,
        max_streams: 32,
        max_header_bytes: 16 * 1024,
        drain: Duration::from_secs(2),
        ..ServeOptions::default()
    };
    let task = tokio::spawn(serve(listener, None, answer, options, shutdown.clone()));
    (shutdown, task)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_this_machine_is_told_an_address_that_it_reaches() {
        let check = |listen: &str, expected: &str| {
            assert_eq!(reachable(listen.parse().unwrap()), expected.parse().unwrap());
        };
        check("127.0.0.1:6443", "127.0.0.1:6443");
        check("0.0.0.0:6443", "127.0.0.1:6443");
        check("[::]:6443", "[::1]:6443");
        check("192.0.2.7:1", "192.0.2.7:1");
    }

    #[test]
    fn the_certificate_names_all_ways_to_the_api() {
        let names = server_names("ada-laptop", "192.0.2.7".parse().unwrap());
        let expected = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "ada-laptop",
        ];
        assert_eq!(names.dns, expected);
        let ips: Vec<String> = names.ips.iter().map(ToString::to_string).collect();
        assert_eq!(ips, ["127.0.0.1", "::1", "10.96.0.1", "192.0.2.7"]);
        for (hostname, listen) in [("localhost", "127.0.0.1"), ("", "::"), ("näme", "0.0.0.0")] {
            let names = server_names(hostname, listen.parse().unwrap());
            assert_eq!((names.dns.len(), names.ips.len()), (5, 3), "{hostname} {listen}");
        }
    }
}
