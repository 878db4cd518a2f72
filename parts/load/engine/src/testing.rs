//! What tests of connections begin with: a worker, and a target that the test itself plays.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use purlin_load_model::arrivals::Shard;
use purlin_load_model::plan::{Pace, Plan, Protocol, Target, Tls};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::connect::Dialer;
use crate::prepare::Prepared;
use crate::worker::Worker;

/// What a connection may take for which its server is too slow.
pub(crate) const NARROW: u32 = 4096;
/// How long what must end may take.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A target on loopback, and a worker that connects to it.
pub(crate) async fn target() -> (TcpListener, Worker) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let plan = Plan {
        target: Target { secure: false, host: "127.0.0.1".into(), port, authority: "target.test".into() },
        protocol: Protocol::Http1,
        pace: Pace::Closed { duration: LONG },
        warm_up: Duration::ZERO,
        connections: 1,
        streams: 1,
        timeout: LONG,
        workers: 1,
        seed: 1,
        scenarios: Vec::new(),
        data: None,
        trace_share: 0.0,
        tls: Tls::default(),
        descriptors: None,
    };
    let dialer = Dialer::new(&plan.target, plan.protocol, &plan.tls, plan.timeout).await.unwrap();
    let prepared = Prepared::new(&plan).unwrap();
    let worker = Worker::new(Arc::new(plan), Arc::new(prepared), Arc::new(dialer), Shard { index: 0, count: 1 });
    (listener, worker)
}

/// A deadline that is not met.
pub(crate) fn later() -> Instant {
    Instant::now() + LONG
}

/// Two ends of a connection: the client's and the server's. It takes about `bytes` that nobody reads.
pub(crate) async fn pair(bytes: u32) -> (TcpStream, TcpStream) {
    let socket = || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.set_send_buffer_size(bytes).unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    };
    let listening = socket();
    listening.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = listening.listen(1).unwrap();
    let client = socket().connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// What makes a server's connection one of TLS.
pub(crate) fn acceptor() -> TlsAcceptor {
    let issued = rcgen::generate_simple_self_signed(["target.test".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![issued.cert.der().clone()], key.into()).unwrap();
    TlsAcceptor::from(Arc::new(config))
}
