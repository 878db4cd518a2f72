//! One thread that serves: its runtime, its sockets, its connections, its pool.
//!
//! Workers share nothing that is written to by requests but metric atomics. A request takes the newest snapshot once,
//! by a reference that is counted in this thread only ([`Pinned`]).

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::FutureExt as _;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle as Task, LocalSet};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access_log::LogSender;
use crate::config::Limits;
use crate::connection::{self, Accepted};
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::snapshot::{Snapshot, Wire};

/// Idle connections are looked through this often.
const SWEEP: Duration = Duration::from_secs(1);
/// Rest after a failed accept, as when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all workers see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
}

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Command {
    Open {
        at: SocketAddr,
        listener: std::net::TcpListener,
        tls: Arc<ServerConfig>,
        /// How many connections it has, over all workers.
        count: Arc<AtomicUsize>,
    },
    /// Stop accepting; what is accepted already goes on. Told when the socket is closed.
    Close(SocketAddr, oneshot::Sender<()>),
    /// The last one: serve what is under way to its end, at most this long.
    Drain(Duration),
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: LogSender,
    pub(crate) pool: Pool,
    pub(crate) tasks: TaskTracker,
    /// Held by each copy of a request that is under way.
    pub(crate) copies: Rc<()>,
    slots: Arc<Semaphore>,
    newest: RefCell<Pinned>,
    /// How long connections go on once their bind has stopped.
    pub(crate) drain: Cell<Duration>,
}

/// A snapshot that a request holds on to.
#[derive(Clone, Debug)]
#[expect(clippy::redundant_allocation, reason = "the outer count is not shared between threads")]
pub(crate) struct Pinned(Rc<Arc<Snapshot>>);

impl Deref for Pinned {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

impl Worker {
    /// The newest snapshot.
    pub(crate) fn snapshot(&self) -> Pinned {
        let newest = self.shared.snapshot.load();
        let mut held = self.newest.borrow_mut();
        if !Arc::ptr_eq(&newest, &held.0) {
            *held = Pinned(Rc::new(Arc::clone(&newest)));
        }
        held.clone()
    }
}

/// Starts a worker; it ends when the sender of commands is gone or has sent [`Command::Drain`].
pub(crate) fn start(
    number: usize,
    shared: Arc<Shared>,
    log: LogSender,
) -> io::Result<(mpsc::UnboundedSender<Command>, JoinHandle<()>)> {
    let (commands, receiver) = mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let thread = thread::Builder::new().name(format!("proxy-{number}")).spawn(move || {
        let worker = Rc::new(Worker {
            slots: Arc::new(Semaphore::new(shared.limits.connections.min(Semaphore::MAX_PERMITS))),
            newest: RefCell::new(Pinned(Rc::new(shared.snapshot.load_full()))),
            drain: Cell::new(shared.limits.drain),
            shared,
            log,
            pool: Pool::default(),
            copies: Rc::new(()),
            tasks: TaskTracker::new(),
        });
        // What still runs when this returns is dropped with the set.
        LocalSet::new().block_on(&runtime, run(worker, receiver));
    })?;
    Ok((commands, thread))
}

/// A socket that is listened on.
struct Open {
    stop: CancellationToken,
    accepting: Task<()>,
}

async fn run(worker: Rc<Worker>, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut binds: HashMap<SocketAddr, Open> = HashMap::new();
    let mut sweep = interval(SWEEP);
    let mut swept = None;
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Open { at, listener, tls, count }) => {
                    let stop = CancellationToken::new();
                    match TcpListener::from_std(listener) {
                        Ok(listener) => {
                            let accept = accept(Rc::clone(&worker), at, (listener, count), tls, stop.clone());
                            let accepting = worker.tasks.spawn_local(accept);
                            binds.insert(at, Open { stop, accepting });
                        }
                        Err(error) => tracing::error!(%at, %error, "a listening socket cannot be used"),
                    }
                }
                Some(Command::Close(at, closed)) => {
                    if let Some(bind) = binds.remove(&at) {
                        bind.stop.cancel();
                        drop(worker.tasks.spawn_local(async move {
                            drop(bind.accepting.await);
                            drop(closed);
                        }));
                    }
                }
                Some(Command::Drain(deadline)) => return drain(&worker, &binds, deadline).await,
                None => return,
            },
            _ = sweep.tick() => {
                let newest = worker.snapshot();
                let changed = swept.as_ref().is_none_or(|before: &Pinned| !Rc::ptr_eq(&before.0, &newest.0));
                let used = changed.then(|| {
                    newest.endpoints().map(|(at, p)| (at, p == Wire::Http2)).collect::<HashSet<_>>()
                });
                worker.pool.sweep(&worker.shared.limits, used.as_ref());
                swept = Some(newest);
            }
        }
    }
}

async fn drain(worker: &Worker, binds: &HashMap<SocketAddr, Open>, deadline: Duration) {
    worker.drain.set(deadline);
    for bind in binds.values() {
        bind.stop.cancel();
    }
    worker.tasks.close();
    if timeout(deadline, worker.tasks.wait()).await.is_err() {
        tracing::warn!(connections = worker.tasks.len(), "connections were cut at the end of the drain");
    }
}

/// Counts a connection of a bind for as long as it is there.
struct Held(Arc<AtomicUsize>);

impl Held {
    /// None where there are as many as may be.
    fn new(count: &Arc<AtomicUsize>, limit: Option<usize>) -> Option<Self> {
        let held = Self(Arc::clone(count));
        let before = count.fetch_add(1, Ordering::Relaxed);
        limit.is_none_or(|limit| before < limit).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn accept(
    worker: Rc<Worker>,
    at: SocketAddr,
    (listener, count): (TcpListener, Arc<AtomicUsize>),
    tls: Arc<ServerConfig>,
    stop: CancellationToken,
) {
    let serve = |stream: TcpStream, client: SocketAddr, slot| {
        let accepted = Accepted { stream, client, bind: at, tls: Arc::clone(&tls), stop: stop.clone() };
        let worker = Rc::clone(&worker);
        let limit = worker.snapshot().binds.get(&at).and_then(|bind| bind.client.as_ref()?.connections());
        let Some(held) = Held::new(&count, limit) else { return worker.shared.metrics.connections_refused.inc() };
        drop(worker.clone().tasks.spawn_local(async move {
            connection::serve(worker, accepted).await;
            drop((slot, held));
        }));
    };
    let mut failing = false;
    loop {
        let next = async {
            let slot = Arc::clone(&worker.slots).acquire_owned().await;
            (listener.accept().await, slot.ok())
        };
        match stop.run_until_cancelled(next).await {
            None => break,
            Some((Ok((stream, client)), slot)) => {
                failing = false;
                serve(stream, client, slot);
            }
            Some((Err(error), _)) => {
                worker.shared.metrics.accept_errors.inc();
                // Said once, not twenty times a second.
                if !failing {
                    tracing::warn!(%at, %error, "connections cannot be accepted: this is tried again until they can");
                }
                failing = true;
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Closing the socket would reset those that wait in its queue.
    while let Some(Ok((stream, client))) = listener.accept().now_or_never() {
        serve(stream, client, None);
    }
}
