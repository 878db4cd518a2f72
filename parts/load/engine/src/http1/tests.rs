//! Exchanges with servers that read slowly, answer early, or never stop.

use std::sync::Arc;
use std::time::Duration;

use purlin_load_model::plan::Tls;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::testing::{LONG, NARROW, acceptor, later, pair, target};
use crate::trust;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn connected(socket: Socket) -> Http1 {
    Http1 { socket: Some(socket), ..Http1::new() }
}

fn upload(len: usize) -> Vec<u8> {
    let mut request = format!("POST / HTTP/1.1\r\nHost: target.test\r\nContent-Length: {len}\r\n\r\n").into_bytes();
    request.resize(request.len() + len, b'x');
    request
}

/// Reads the head of a request.
async fn head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut last = [0; 4];
    while last != *b"\r\n\r\n" {
        last.rotate_left(1);
        last[3] = stream.read_u8().await.unwrap();
    }
}

/// Like [`pair`], through TLS.
async fn encrypted(bytes: u32) -> (Socket, TlsStream<TcpStream>) {
    let (client, server) = pair(bytes).await;
    let config = trust::client_config(&Tls { insecure: true, ..Tls::default() }).unwrap();
    let name = ServerName::try_from("target.test").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, client);
    let (client, server) = tokio::join!(connecting, acceptor().accept(server));
    (Socket::Tls(Box::new(client.unwrap())), server.unwrap())
}

#[tokio::test]
async fn an_upload_through_tls_reaches_a_server_that_reads_slowly() {
    const LEN: usize = 200_000;
    let (_listener, worker) = target().await;
    let (client, mut server) = encrypted(NARROW).await;
    let mut client = connected(client);
    let serving = async {
        head(&mut server).await;
        let mut piece = [0; 1000];
        for _ in 0..LEN / piece.len() {
            server.read_exact(&mut piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        server.write_all(OK).await.unwrap();
        server.flush().await.unwrap();
    };
    let request = upload(LEN);
    let exchange = client.exchange(&worker, &request, Sent::default(), Instant::now() + LONG / 4);
    let (status, ()) = timeout(LONG, async { tokio::join!(exchange, serving) }).await.unwrap();
    assert_eq!((status, client.socket.is_some()), (Ok(200), true));
}

#[tokio::test]
async fn a_connection_whose_request_was_not_sent_to_its_end_is_not_used_again() {
    let check = async |len: usize, answer: &[u8], status: u16, kept: bool| {
        let (_listener, worker) = target().await;
        let (client, mut server) = pair(NARROW).await;
        let mut client = connected(Socket::Plain(client));
        let serving = async {
            head(&mut server).await;
            server.write_all(answer).await.unwrap();
        };
        let request = upload(len);
        let exchange = client.exchange(&worker, &request, Sent::default(), later());
        let (answered, ()) = timeout(LONG, async { tokio::join!(exchange, serving) }).await.unwrap();
        assert_eq!((answered, client.socket.is_some()), (Ok(status), kept), "{len}");
    };
    check(10, OK, 200, true).await;
    check(1 << 20, OK, 200, false).await;
    check(1 << 20, b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", 413, false).await;
}

#[tokio::test]
async fn what_a_server_says_before_it_closes_is_its_answer() {
    let (_listener, worker) = target().await;
    let (client, mut server) = pair(NARROW).await;
    let mut client = connected(Socket::Plain(client));
    let serving = async {
        head(&mut server).await;
        server.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        // With most of the request unread, this is a reset.
        drop(server);
    };
    let request = upload(1 << 20);
    let exchange = client.exchange(&worker, &request, Sent::default(), later());
    let (answered, ()) = timeout(LONG, async { tokio::join!(exchange, serving) }).await.unwrap();
    assert_eq!((answered, client.socket.is_some()), (Ok(413), false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_never_stops_is_given_up() {
    let check = async |begin: &str, again: &str, error: ErrorKind| {
        let (listener, worker) = target().await;
        let (begin, piece) = (begin.to_owned(), again.repeat(64 * 1024 / again.len()));
        let serving = tokio::spawn(async move {
            let (mut stream, _): (TcpStream, _) = listener.accept().await.unwrap();
            head(&mut stream).await;
            stream.write_all(begin.as_bytes()).await.unwrap();
            while stream.write_all(piece.as_bytes()).await.is_ok() {}
        });
        let mut client = Http1::new();
        let deadline = Instant::now() + Duration::from_millis(100);
        let request = upload(0);
        let ended = timeout(LONG, client.exchange(&worker, &request, Sent::default(), deadline)).await.unwrap();
        assert_eq!((ended, client.socket.is_some()), (Err(error), false), "{again:?}");
        serving.await.unwrap();
    };
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(CHUNKED, "1\r\nx\r\n", ErrorKind::Timeout).await;
    check("HTTP/1.1 200 OK\r\n\r\n", "x", ErrorKind::Timeout).await;
    check("HTTP/1.1 200 OK\r\n", "A: b\r\n", ErrorKind::Protocol).await;
    check("", "HTTP/1.1 100 Continue\r\n\r\n", ErrorKind::Protocol).await;
    check(CHUNKED, "0", ErrorKind::Protocol).await;
    check(&format!("{CHUNKED}0\r\n"), "A: b\r\n", ErrorKind::Protocol).await;
}
