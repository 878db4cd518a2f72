use std::net::Ipv4Addr;

use http_body_util::{BodyExt as _, Empty, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::*;
use crate::crypto::install_crypto;
use crate::pki::{Leaf, Pki, ServerNames, ServingCertificate};

const LONG: Duration = Duration::from_secs(60);
const GET: &[u8] = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n";

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(LONG, self.task).await.unwrap().unwrap();
    }
}

async fn start<S, F>(tls: Option<Arc<ServerConfig>>, options: ServeOptions, service: S) -> Running
where
    S: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let task = tokio::spawn(serve(listener, tls, service, options, stop.clone()));
    Running { address, stop, task }
}

/// Says who asked and by which protocol.
async fn whoami(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let info = request.extensions().get::<ConnInfo>().unwrap();
    assert!(info.peer.ip().is_loopback());
    let certs = info.client_certs.as_ref().map_or(0, |certs| certs.len());
    Response::new(Full::from(format!("{} {:?} {certs} certificates", request.uri().path(), request.version())))
}

async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut out = Vec::new();
    // A reset is an end as well.
    let _ = timeout(LONG, stream.read_to_end(&mut out)).await.expect("the connection never ends");
    String::from_utf8(out).unwrap()
}

async fn read_until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut out = String::new();
    while !out.contains(end) {
        let mut buffer = [0; 1024];
        let n = timeout(LONG, stream.read(&mut buffer)).await.unwrap().unwrap();
        assert_ne!(n, 0, "closed after {out:?}");
        out.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
    }
    out
}

#[tokio::test]
async fn plain_http_is_served_and_an_idle_connection_ends_with_the_drain() {
    let server = start(None, ServeOptions::default(), whoami).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    read_until(&mut stream, "/x HTTP/1.1 0 certificates").await;
    server.end().await;
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test]
async fn a_request_in_flight_finishes_while_nothing_new_is_accepted() {
    let (entered, mut enter) = mpsc::unbounded_channel();
    let go = Arc::new(Notify::new());
    let server = start(None, ServeOptions::default(), {
        let go = go.clone();
        move |_| {
            let (entered, go) = (entered.clone(), go.clone());
            async move {
                entered.send(()).unwrap();
                go.notified().await;
                Response::new(Full::from("finished"))
            }
        }
    })
    .await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    enter.recv().await.unwrap();
    server.stop.cancel();
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.task.is_finished());
    go.notify_one();
    assert!(read_to_end(&mut stream).await.ends_with("finished"));
    server.end().await;
}

#[tokio::test]
async fn what_does_not_finish_is_dropped_after_the_drain() {
    let (entered, mut enter) = mpsc::unbounded_channel();
    let options = ServeOptions { drain: Duration::from_millis(20), name: "test-stuck", ..Default::default() };
    let server = start(None, options, move |_| {
        let entered = entered.clone();
        async move {
            entered.send(()).unwrap();
            std::future::pending().await
        }
    })
    .await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    enter.recv().await.unwrap();
    server.end().await;
    assert_eq!(read_to_end(&mut stream).await, "");
    assert_eq!(Metrics::of("test-stuck").open.get(), 0);
    assert_eq!(enter.recv().await, None, "the service is gone");
}

#[tokio::test]
async fn silent_and_slow_peers_are_cut_off() {
    let (_dir, pki) = pki();
    let options = |name| ServeOptions {
        name,
        header_timeout: Duration::from_millis(50),
        handshake_timeout: Duration::from_millis(50),
        ..Default::default()
    };
    let plain = start(None, options("test-slow-plain"), whoami).await;
    let tls = start(Some(tls(&pki)), options("test-slow-tls"), whoami).await;
    // Nothing; the start of HTTP/2's or HTTP/1's first words; a handshake that stops.
    for (server, sent) in
        [(&plain, ""), (&plain, "PRI * HT"), (&plain, "GET / HTTP/1.1\r\nhost"), (&tls, "\x16\x03\x01")]
    {
        let mut stream = server.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(!answer.contains("200"), "{sent:?}: {answer}");
    }
    assert_eq!(Metrics::of("test-slow-tls").handshake_failures.get(), 1);
    plain.end().await;
    tls.end().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let options = ServeOptions { max_connections: 1, name: "test-limit", ..Default::default() };
    let server = start(None, options, whoami).await;
    let mut first = server.connect().await;
    first.write_all(GET).await.unwrap();
    read_until(&mut first, "certificates").await;
    let mut second = server.connect().await;
    second.write_all(GET).await.unwrap();
    assert!(timeout(Duration::from_millis(50), second.read_u8()).await.is_err());
    assert_eq!(Metrics::of("test-limit").accepted.get(), 1);
    drop(first);
    read_until(&mut second, "certificates").await;
    server.end().await;
}

#[tokio::test]
async fn upgraded_connections_belong_to_the_service() {
    let server = start(None, ServeOptions::default(), |request: Request<Incoming>| async move {
        tokio::spawn(async move {
            let mut io = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
            io.write_all(b"hello").await.unwrap();
        });
        let answer = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
        answer.body(Full::default()).unwrap()
    })
    .await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await.unwrap();
    assert!(read_to_end(&mut stream).await.ends_with("hello"));
    server.end().await;
}

#[tokio::test]
async fn a_service_that_panics_loses_its_connection_only() {
    let server = start(None, ServeOptions::default(), |request: Request<Incoming>| {
        assert_ne!(request.uri().path(), "/x", "on purpose");
        whoami(request)
    })
    .await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
    let mut stream = server.connect().await;
    stream.write_all(b"GET /y HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut stream, "/y HTTP/1.1").await;
    server.end().await;
}

fn pki() -> (tempfile::TempDir, Pki) {
    install_crypto();
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(&dir.path().join("pki"), std::time::SystemTime::now()).unwrap();
    (dir, pki)
}

fn tls(pki: &Pki) -> Arc<ServerConfig> {
    let names = ServerNames { dns: vec!["localhost".into()], ips: vec![Ipv4Addr::LOCALHOST.into()] };
    let certificate = ServingCertificate::issue(pki, names, std::time::SystemTime::now()).unwrap();
    pki.api_server_config(certificate).unwrap()
}

/// One request over HTTP/2 and TLS, by a client that shows `leaf`.
async fn ask(pki: &Pki, server: &Running, leaf: Option<&Leaf>) -> Result<String, Box<dyn Error>> {
    use rustls_pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.root_pem().as_bytes())?)?;
    let config = rustls::ClientConfig::builder().with_root_certificates(roots);
    let mut config = match leaf {
        None => config.with_no_client_auth(),
        Some(leaf) => config.with_client_auth_cert(leaf.chain.clone(), leaf.key.clone_key())?,
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = rustls_pki_types::ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST));
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, server.connect().await).await?;
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = Request::get("https://localhost/z").body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
    drop(sender);
    let _ = driver.await?;
    Ok(String::from_utf8(answer.to_vec())?)
}

#[tokio::test]
async fn clients_log_in_with_certificates_of_the_clients_authority_only() {
    let (_dir, pki) = pki();
    let server = start(Some(tls(&pki)), ServeOptions::default(), whoami).await;
    let now = std::time::SystemTime::now();
    assert_eq!(ask(&pki, &server, None).await.unwrap(), "/z HTTP/2.0 0 certificates");
    let client = pki.issue_client("ada", &["a", "b"], LONG, now).unwrap();
    assert_eq!(ask(&pki, &server, Some(&client)).await.unwrap(), "/z HTTP/2.0 2 certificates");
    let workload = pki.issue_spiffe("spiffe://td/ns/a/sa/b", LONG, now).unwrap();
    ask(&pki, &server, Some(&workload)).await.unwrap_err();
    let names = ServerNames { dns: vec!["localhost".into()], ips: vec![] };
    let other = pki.issue_server(&names, LONG, now).unwrap();
    ask(&pki, &server, Some(&other)).await.unwrap_err();
    let old = pki.issue_client("ada", &[], LONG, now - Duration::from_secs(3000)).unwrap();
    ask(&pki, &server, Some(&old)).await.unwrap_err();
    server.end().await;
}

#[tokio::test]
async fn a_stuck_http2_stream_is_dropped_after_the_drain() {
    let (_dir, pki) = pki();
    let options = ServeOptions { drain: Duration::from_millis(20), ..Default::default() };
    let (entered, mut enter) = mpsc::unbounded_channel();
    let server = start(Some(tls(&pki)), options, move |_| {
        let entered = entered.clone();
        async move {
            entered.send(()).unwrap();
            std::future::pending().await
        }
    })
    .await;
    let stop = server.stop.clone();
    let stopped = async {
        enter.recv().await.unwrap();
        stop.cancel();
        enter.recv().await
    };
    let (answer, rest) = tokio::join!(ask(&pki, &server, None), stopped);
    answer.unwrap_err();
    assert_eq!(rest, None, "the service is gone");
    server.end().await;
}
