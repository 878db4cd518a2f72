//! The handle: start, apply, drain.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use purlin_traffic::model::{ListenerName, RouteModel, RouteName};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::config::Options;
use crate::metrics::Metrics;
use crate::snapshot::{Legacy, Snapshot, compile};
use crate::worker::{Command, Shared};
use crate::{access_log, listen, tls, worker};

/// A running data plane. [`Proxy::drain`] ends it; dropped, its threads end at once.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    provider: Arc<CryptoProvider>,
    commands: Vec<mpsc::UnboundedSender<Command>>,
    control: Mutex<Control>,
}

#[derive(Debug, Default)]
struct Control {
    open: HashSet<SocketAddr>,
    legacy: Legacy,
    threads: Vec<JoinHandle<()>>,
}

/// Why a proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The access log's sink.
    #[error("the access log cannot be opened: {0}")]
    AccessLog(io::Error),
    /// A thread or its runtime.
    #[error("a worker thread cannot be started: {0}")]
    Worker(io::Error),
}

/// What an [`apply`](Proxy::apply) could not do; all else is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyReport {
    /// Addresses that are not listened on; the next apply tries them again.
    pub binds: Vec<BindError>,
    /// Parts of the model that did not compile; they fail closed, unless they say that they are served.
    pub errors: Vec<CompileError>,
}

/// An address that cannot be listened on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BindError {
    /// The address.
    pub at: SocketAddr,
    /// What is wrong and what to do.
    pub message: String,
}

/// A part of the model that did not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct CompileError {
    /// Which part.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// The part is served all the same: a listener by its other certificates, or by one from before.
    pub served: bool,
}

/// A part of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the model")]
pub enum Place {
    Listener(ListenerName),
    Certificates(ListenerName),
    Rule { route: RouteName, index: u32 },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listener(listener) => listener.fmt(f),
            Self::Certificates(listener) => write!(f, "certificates of {listener}"),
            Self::Rule { route, index } => write!(f, "rule {index} of {route}"),
        }
    }
}

impl Proxy {
    /// Starts the worker threads; nothing is listened on before the first [`apply`](Self::apply).
    pub fn start(options: Options) -> Result<Self, StartError> {
        let metrics = Metrics::new();
        let (log, log_thread) =
            access_log::start(&options.access_log, metrics.log_dropped.clone()).map_err(StartError::AccessLog)?;
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
        let shared = Arc::new(Shared { snapshot, metrics, limits: options.limits });
        let mut control = Control { threads: log_thread.into_iter().collect(), ..Control::default() };
        let mut commands = Vec::new();
        for number in 0..options.workers.get() {
            let started = worker::start(number, Arc::clone(&shared), log.clone());
            let (sender, thread) = started.map_err(StartError::Worker)?;
            commands.push(sender);
            control.threads.push(thread);
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        Ok(Self { shared, provider, commands, control: Mutex::new(control) })
    }

    /// Serves this model from now on.
    ///
    /// New sockets are bound first and listen once the new snapshot is in place; sockets that stay are not touched;
    /// those that the model no longer has are drained. What fails is reported and does not stop the rest.
    pub async fn apply(&self, model: &RouteModel) -> ApplyReport {
        let mut control = self.control.lock().await;
        let mut report = ApplyReport::default();
        let snapshot = compile(model, &self.provider, &mut control.legacy, &mut report.errors);
        let mut bound = HashMap::new();
        for at in model.binds.keys().filter(|at| !control.open.contains(at)) {
            match listen::bind(*at, self.commands.len()) {
                Ok(sockets) => drop(bound.insert(*at, sockets)),
                Err(message) => report.binds.push(BindError { at: *at, message }),
            }
        }
        self.shared.snapshot.store(Arc::new(snapshot));
        self.shared.metrics.applies.inc();
        for (at, sockets) in bound {
            match self.open(at, sockets) {
                Ok(()) => drop(control.open.insert(at)),
                Err(message) => report.binds.push(BindError { at, message }),
            }
        }
        let gone: Vec<_> = control.open.extract_if(|at| !model.binds.contains_key(at)).collect();
        for at in gone {
            self.close(at).await;
        }
        report
    }

    fn open(&self, at: SocketAddr, sockets: Vec<socket2::Socket>) -> Result<(), String> {
        let tls = tls::server_config(&self.provider, &self.shared.snapshot, at);
        let tls = tls.map_err(|e| format!("{at}: TLS cannot be set up: {e}"))?;
        let listening: Result<Vec<_>, _> = sockets.into_iter().map(listen::listen).collect();
        let listening = listening.map_err(|e| format!("{at} cannot be listened on: {e}"))?;
        let count = Arc::new(AtomicUsize::new(0));
        for (worker, listener) in self.commands.iter().zip(listening) {
            // A worker that is gone has been drained.
            let _ = worker.send(Command::Open { at, listener, tls: Arc::clone(&tls), count: Arc::clone(&count) });
        }
        Ok(())
    }

    /// Closes the sockets of an address, and waits until all are: it can be bound again then.
    async fn close(&self, at: SocketAddr) {
        let mut closing = Vec::new();
        for worker in &self.commands {
            let (closed, on_closed) = oneshot::channel();
            let _ = worker.send(Command::Close(at, closed));
            closing.push(on_closed);
        }
        for on_closed in closing {
            // The sender is dropped when it is done.
            let _ = on_closed.await;
        }
    }

    /// Stops accepting, lets what is under way finish for at most `deadline`, ends all threads.
    /// Nothing of the proxy is left running when it returns.
    pub async fn drain(&self, deadline: Duration) {
        let mut control = self.control.lock().await;
        for worker in &self.commands {
            let _ = worker.send(Command::Drain(deadline));
        }
        let threads: Vec<_> = control.threads.drain(..).collect();
        control.open.clear();
        // The workers come after the log's thread, which ends when they have dropped their senders.
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().rev().filter_map(|thread| thread.join().err()).count()
        });
        if let Ok(1..) = joined.await {
            tracing::error!("a thread of the proxy had panicked");
        }
    }
}
