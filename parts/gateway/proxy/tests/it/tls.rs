//! TLS: certificates by SNI, changed while served; ALPN; requests for another listener's host.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use purlin_traffic::model::{BackendProtocol, Certificate, Listener, Protocol, Terminate};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::backend::Backend;
use crate::rig::{PATIENCE, Reply, Rig, listener, object, rule};

/// A certificate that signs itself, as a Secret and as what a client trusts.
fn certificate(host: &str) -> (Arc<Certificate>, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    let certificate = Certificate {
        secret: object(host),
        chain: made.cert.pem().into_bytes().into(),
        key: made.signing_key.serialize_pem().into_bytes().into(),
    };
    (Arc::new(certificate), made.cert.der().clone())
}

fn terminate(certificates: Vec<Arc<Certificate>>) -> Option<Terminate> {
    Some(Terminate { certificates, client_auth: None })
}

fn secure(host: &str, certificate: Arc<Certificate>) -> Listener {
    Listener { tls: terminate(vec![certificate]), ..listener(host, vec![rule("/", "svc")]) }
}

async fn connect(
    rig: &Rig,
    name: &str,
    trusted: &[&CertificateDer<'static>],
    alpn: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add((*certificate).clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let stream = TcpStream::connect(rig.at).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    tokio::time::timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
}

async fn get(stream: &mut TlsStream<TcpStream>, host: &str) -> Reply {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0);
        let text = String::from_utf8_lossy(&got).into_owned();
        if let Some(reply) = Reply::parse_all(&text).into_iter().next()
            && reply.header("content-length").is_some_and(|n| n.parse::<usize>().unwrap() <= reply.body.len())
        {
            return reply;
        }
    }
}

async fn rig(listeners: Vec<Listener>) -> Rig {
    let backend = Backend::start("one").await;
    let mut rig = Rig::new(vec![], &[("svc", BackendProtocol::Http1, &[backend.at])]).await;
    // The same socket changes from plain to TLS.
    let bind = rig.model.binds.get_mut(&rig.at).unwrap();
    bind.protocol = Protocol::Tls;
    bind.listeners = listeners;
    assert_eq!(rig.proxy.apply(&rig.model).await, Default::default());
    rig
}

#[tokio::test]
async fn certificates_by_name() {
    let (a, trust_a) = certificate("a.example");
    let (b, trust_b) = certificate("b.example");
    let rig = rig(vec![secure("a.example", a), secure("b.example", b)]).await;
    let mut stream = connect(&rig, "a.example", &[&trust_a], "http/1.1").await.unwrap();
    let reply = get(&mut stream, "a.example").await;
    assert!(reply.status == 200 && reply.body.contains("x-forwarded-proto: https\n"), "{reply:?}");
    // Another listener's host, and nobody's.
    assert_eq!(get(&mut stream, "b.example").await.status, 421);
    assert_eq!(get(&mut stream, "c.example").await.status, 404);
    assert_eq!(get(&mut stream, "a.example:443").await.status, 200);
    assert!(connect(&rig, "b.example", &[&trust_b], "http/1.1").await.is_ok());
    assert!(connect(&rig, "b.example", &[&trust_a], "http/1.1").await.is_err());
    // No listener, no certificate; no name, no catch-all.
    assert!(connect(&rig, "c.example", &[&trust_a, &trust_b], "http/1.1").await.is_err());
    assert!(connect(&rig, "127.0.0.1", &[&trust_a, &trust_b], "http/1.1").await.is_err());
}

#[tokio::test]
async fn http2_by_alpn() {
    let (a, trust) = certificate("a.example");
    let rig = rig(vec![secure("a.example", a)]).await;
    let stream = connect(&rig, "a.example", &[&trust], "h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    for (host, status) in [("a.example", 200), ("b.example", 404)] {
        let request = Request::get(format!("https://{host}/")).version(Version::HTTP_2);
        let response = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status);
        drop(response.collect().await);
    }
}

#[tokio::test]
async fn a_certificate_changes_while_connections_go_on() {
    let (old, trust_old) = certificate("a.example");
    let (new, trust_new) = certificate("a.example");
    let mut rig = rig(vec![secure("a.example", old)]).await;
    let mut stream = connect(&rig, "a.example", &[&trust_old], "http/1.1").await.unwrap();
    assert_eq!(get(&mut stream, "a.example").await.status, 200);
    rig.model.binds.get_mut(&rig.at).unwrap().listeners = vec![secure("a.example", new)];
    assert_eq!(rig.proxy.apply(&rig.model).await, Default::default());
    assert_eq!(get(&mut stream, "a.example").await.status, 200);
    assert!(connect(&rig, "a.example", &[&trust_new], "http/1.1").await.is_ok());
    assert!(connect(&rig, "a.example", &[&trust_old], "http/1.1").await.is_err());
}

#[tokio::test]
async fn a_bad_certificate_is_reported_and_the_others_serve() {
    let (a, trust_a) = certificate("a.example");
    let (b, trust_b) = certificate("b.example");
    let mixed = Certificate { key: a.key.clone(), ..(*b).clone() };
    let empty = Certificate { chain: Arc::from(&b"nothing"[..]), ..(*b).clone() };
    let mut rig = rig(vec![secure("a.example", a)]).await;
    for bad in [mixed, empty] {
        rig.model.binds.get_mut(&rig.at).unwrap().listeners.truncate(1);
        rig.model.binds.get_mut(&rig.at).unwrap().listeners.push(secure("b.example", Arc::new(bad)));
        let report = rig.proxy.apply(&rig.model).await;
        assert!(report.errors.len() == 1 && report.errors[0].message.contains("b.example"), "{report:?}");
        assert!(connect(&rig, "a.example", &[&trust_a], "http/1.1").await.is_ok());
        assert!(connect(&rig, "b.example", &[&trust_b], "http/1.1").await.is_err());
    }
}

/// What is wrong with a certificate, one after the other.
fn bad(good: &Certificate) -> [Certificate; 4] {
    let (other, _) = certificate("other.example");
    [
        Certificate { chain: Arc::from(&b"junk"[..]), ..good.clone() },
        Certificate { chain: Arc::from(&b""[..]), key: Arc::from(&b""[..]), ..good.clone() },
        Certificate { key: Arc::from(&b"junk"[..]), ..good.clone() },
        Certificate { key: Arc::clone(&other.key), ..good.clone() },
    ]
}

#[tokio::test]
async fn a_certificate_that_turns_bad_is_served_as_it_was() {
    let (good, trust) = certificate("a.example");
    let mut rig = rig(vec![secure("a.example", Arc::clone(&good))]).await;
    let mut apply = async |listeners: Vec<Listener>| {
        rig.model.binds.get_mut(&rig.at).unwrap().listeners = listeners;
        let report = rig.proxy.apply(&rig.model).await;
        let served = connect(&rig, "a.example", &[&trust], "http/1.1").await.is_ok();
        let said: Vec<(bool, String)> = report.errors.into_iter().map(|e| (e.served, e.message)).collect();
        (served, said)
    };
    for bad in bad(&good) {
        // Over more than one change of the model.
        for _ in 0..2 {
            let (served, said) = apply(vec![secure("a.example", Arc::new(bad.clone()))]).await;
            assert!(served && said.len() == 1 && said[0].0, "{said:?}");
            assert!(said[0].1.contains("default/a.example") && said[0].1.contains("from before"), "{said:?}");
        }
    }
    // The listener's own past counts, not the Secret's.
    let junk = Arc::new(bad(&good)[0].clone());
    let other = Listener { section: "new".into(), ..secure("a.example", Arc::clone(&junk)) };
    let (served, said) = apply(vec![other]).await;
    assert!(!served && said.len() == 1 && !said[0].0 && !said[0].1.contains("from before"), "{said:?}");
    // The first listener is gone since, and what it had is forgotten with it.
    assert!(!apply(vec![secure("a.example", Arc::clone(&junk))]).await.0);
    assert!(apply(vec![secure("a.example", Arc::clone(&good))]).await.0);
    // So is a certificate that the listener does not have for a while: its Secret was deleted.
    let none = Listener { tls: terminate(Vec::new()), ..secure("a.example", Arc::clone(&good)) };
    assert!(!apply(vec![none]).await.0);
    assert!(!apply(vec![secure("a.example", junk)]).await.0);
    assert_eq!(apply(vec![secure("a.example", good)]).await, (true, Vec::new()));
}

#[tokio::test]
async fn a_bad_certificate_beside_a_good_one_does_not_stop_the_listener() {
    let (good, trust) = certificate("a.example");
    let (second, _) = certificate("second.example");
    let both = vec![Arc::clone(&good), Arc::new(bad(&second)[0].clone())];
    let mut rig = rig(vec![secure("a.example", Arc::clone(&good))]).await;
    rig.model.binds.get_mut(&rig.at).unwrap().listeners[0].tls = terminate(both);
    let report = rig.proxy.apply(&rig.model).await;
    assert!(report.errors.len() == 1 && report.errors[0].served, "{report:?}");
    assert!(connect(&rig, "a.example", &[&trust], "http/1.1").await.is_ok());
}
