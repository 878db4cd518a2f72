//! Opens connections: addresses, TCP, TLS.
//!
//! Names are resolved once, before the load: a load test must not become one of the name server. Connections are dealt
//! out among the addresses in turn.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use nix::libc::{EMFILE, ENFILE};
use purlin_load_model::plan::{Protocol, Target, Tls};
use purlin_load_model::tally::ErrorKind;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Error;
use crate::trust;

/// Knows how to reach the target.
pub(crate) struct Dialer {
    addresses: Vec<SocketAddr>,
    turn: AtomicUsize,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// The protocol that ALPN must agree on; HTTP/1.1 is also what a silent server speaks.
    http2: bool,
    timeout: Duration,
    /// Why the first handshake that failed did.
    tls_failure: OnceLock<String>,
}

/// A connection, encrypted or not.
pub(crate) enum Socket {
    /// As it is.
    Plain(TcpStream),
    /// Through TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Dialer {
    /// Resolves the target's name and prepares TLS.
    pub(crate) async fn new(target: &Target, protocol: Protocol, tls: &Tls, limit: Duration) -> Result<Dialer, Error> {
        let failed = |source| Error::Resolve { host: target.host.clone(), source };
        let looked_up = timeout(limit, tokio::net::lookup_host((target.host.as_str(), target.port))).await;
        let addresses: Vec<SocketAddr> =
            looked_up.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)?.collect();
        if addresses.is_empty() {
            return Err(failed(io::Error::other("the name has no address")));
        }
        let http2 = matches!(protocol, Protocol::Http2 | Protocol::Grpc);
        let tls = target.secure.then(|| client_config(target, tls, http2)).transpose()?;
        let turn = AtomicUsize::new(0);
        Ok(Dialer { addresses, turn, tls, http2, timeout: limit, tls_failure: OnceLock::new() })
    }

    /// The addresses of the target.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Why a TLS handshake has failed, in words, if one has: an [`ErrorKind`] alone does not say what to do.
    pub(crate) fn tls_failure(&self) -> Option<String> {
        self.tls_failure.get().cloned()
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Result<Socket, ErrorKind> {
        timeout(self.timeout, self.open()).await.unwrap_or(Err(ErrorKind::Connect))
    }

    async fn open(&self) -> Result<Socket, ErrorKind> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.addresses.len();
        let stream = TcpStream::connect(self.addresses[turn]).await.map_err(|error| match error.raw_os_error() {
            Some(EMFILE | ENFILE) => ErrorKind::Descriptors,
            _ => ErrorKind::Connect,
        })?;
        // Requests are written whole: waiting for more would only distort the measurement.
        stream.set_nodelay(true).map_err(|_| ErrorKind::Connect)?;
        let Some((config, name)) = &self.tls else { return Ok(Socket::Plain(stream)) };
        let connector = TlsConnector::from(config.clone());
        let stream = connector.connect(name.clone(), stream).await.map_err(|error| {
            self.tls_failure.get_or_init(|| trust::why(&error));
            ErrorKind::Tls
        })?;
        let agreed = stream.get_ref().1.alpn_protocol();
        match (self.http2, agreed) {
            (true, Some(b"h2")) | (false, None | Some(b"http/1.1")) => Ok(Socket::Tls(Box::new(stream))),
            _ => {
                self.tls_failure.get_or_init(|| {
                    let wanted = if self.http2 { "HTTP/2" } else { "HTTP/1.1" };
                    format!("it does not agree by ALPN on {wanted}, which this load speaks: say another --protocol")
                });
                Err(ErrorKind::Tls)
            }
        }
    }
}

fn client_config(target: &Target, tls: &Tls, http2: bool) -> Result<(Arc<ClientConfig>, ServerName<'static>), Error> {
    let name = tls.server_name.clone().unwrap_or_else(|| target.host.clone());
    let name = ServerName::try_from(name.clone()).map_err(|_| Error::ServerName(name))?;
    let mut config = trust::client_config(tls)?;
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    // Each connection of a load stands for a client of its own, who has no session to resume.
    config.resumption = Resumption::disabled();
    Ok((Arc::new(config), name))
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use purlin_load_model::plan::Target;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
    use rustls::ServerConfig;
    use rustls_pki_types::PrivateKeyDer;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// What is said of a handshake with a server that shows itself with a certificate for `name` that it has signed. It is
    /// trusted, or in its place an authority of another key and the name `stranger`.
    async fn handshake(name: &str, is_ca: IsCa, stranger: Option<&str>) -> (Result<(), ErrorKind>, Option<String>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = is_ca;
        params.distinguished_name.push(DnType::CommonName, "own");
        let certificate = params.self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            TlsAcceptor::from(Arc::new(config)).accept(stream).await.map(drop)
        });
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, stranger.unwrap_or_default());
        let other = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let roots = if stranger.is_none() { certificate.pem() } else { other.pem() };
        let target = Target { secure: true, host: "127.0.0.1".into(), port, authority: "localhost".into() };
        let tls = Tls { roots_pem: Some(roots), insecure: false, server_name: Some("localhost".into()) };
        let dialer = Dialer::new(&target, Protocol::Http1, &tls, Duration::from_secs(10)).await.unwrap();
        let connected = dialer.connect().await.map(drop);
        let _ = serving.await;
        (connected, dialer.tls_failure())
    }

    #[tokio::test]
    async fn a_handshake_that_fails_is_told_in_words() {
        let ca = || IsCa::Ca(BasicConstraints::Unconstrained);
        let check = async |name, is_ca, stranger, expected: &str| {
            let (connected, why) = handshake(name, is_ca, stranger).await;
            assert_eq!(connected, Err(ErrorKind::Tls), "{expected}");
            assert!(why.as_deref().is_some_and(|why| why.contains(expected)), "{expected}: {why:?}");
        };
        check("localhost", ca(), None, "CA:TRUE").await;
        check("localhost", IsCa::ExplicitNoCa, Some("other"), "from no authority that is trusted here").await;
        check("localhost", IsCa::ExplicitNoCa, Some("own"), "with another key").await;
        check("elsewhere", IsCa::ExplicitNoCa, None, "--server-name").await;
        // What is advised works.
        assert_eq!(handshake("localhost", IsCa::ExplicitNoCa, None).await, (Ok(()), None));
    }
}
