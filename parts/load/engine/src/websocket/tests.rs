//! Exchanges with servers that speak unasked, close, or never stop.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use purlin_load_model::plan::Template;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::testing::{LONG, NARROW, later, pair, target};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// A server's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(payload.len()).unwrap()], payload].concat()
}

/// The server's end of a connection.
struct Server(TcpStream);

impl Server {
    /// Takes a connection and its handshake; `greeting` comes with the answer.
    async fn accept(listener: &TcpListener, greeting: &[u8]) -> Server {
        const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
        let mut stream = listener.accept().await.unwrap().0;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, [key, GUID].concat().as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            STANDARD.encode(hash)
        );
        stream.write_all(&[answer.as_bytes(), greeting].concat()).await.unwrap();
        Server(stream)
    }

    async fn send(&mut self, frames: &[u8]) {
        self.0.write_all(frames).await.unwrap();
    }

    /// The next frame of the client: a short one.
    async fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 6];
        self.0.read_exact(&mut head).await.unwrap();
        let [first, len, mask @ ..] = head;
        let mut payload = vec![0; usize::from(len & 0x7f)];
        self.0.read_exact(&mut payload).await.unwrap();
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        (first, payload)
    }
}

fn action() -> MessageAction {
    MessageAction { path: "/".into(), headers: Vec::new(), text: Template::constant("ask"), answers: 1 }
}

async fn open(client: &mut WebSocket, worker: &Worker) -> Result<(), ErrorKind> {
    client.open(worker, &action(), later()).await
}

async fn ask(client: &mut WebSocket, worker: &Worker) -> Result<u16, ErrorKind> {
    client.exchange(worker, &action(), "ask", 1, later()).await
}

/// Waits until what the server has sent is there to be read.
async fn arrived(client: &WebSocket) {
    let Socket::Plain(stream) = &client.open.as_ref().unwrap().socket else { panic!("it is not encrypted") };
    timeout(LONG, stream.readable()).await.unwrap().unwrap();
}

/// A connection that is open, greeted with `greeting` in the answer to its handshake.
async fn opened(greeting: &[u8]) -> (TcpListener, Worker, WebSocket, Server) {
    let (listener, worker) = target().await;
    let mut client = WebSocket::new();
    let (opened, server) = tokio::join!(open(&mut client, &worker), Server::accept(&listener, greeting));
    opened.unwrap();
    (listener, worker, client, server)
}

#[tokio::test]
async fn what_came_before_the_message_is_no_answer() {
    let check = async |greeting: &[u8], late: &[u8], rest: &[u8]| {
        let (_listener, worker, mut client, mut server) = opened(greeting).await;
        if !late.is_empty() {
            server.send(late).await;
            arrived(&client).await;
        }
        let serving = async {
            assert_eq!(server.receive().await, (TEXT, b"ask".to_vec()));
            server.send(&[rest, &frame(TEXT, b"answer"), &frame(TEXT, b"one more")].concat()).await;
        };
        let exchange = async { tokio::join!(ask(&mut client, &worker), serving).0 };
        assert_eq!(timeout(LONG, exchange).await.unwrap(), Ok(SWITCHED));
        assert_eq!(client.body(), b"answer", "{greeting:?} {late:?} {rest:?}");
    };
    let hello = frame(TEXT, b"hello");
    check(&hello, b"", b"").await;
    check(b"", &hello, b"").await;
    check(b"", &[hello.clone(), hello.clone()].concat(), b"").await;
    // Cut in its header, in its payload, between its fragments, and in a ping that is none of it.
    check(&hello[..1], b"", &hello[1..]).await;
    check(&hello[..2], &hello[2..3], &hello[3..]).await;
    check(b"", &frame(TEXT & 0x7f, b"hel"), &frame(0x80, b"lo")).await;
    check(b"", &[frame(TEXT, b"hello"), vec![PING]].concat(), b"\0").await;
}

#[tokio::test]
async fn a_connection_that_was_closed_while_nothing_was_asked_is_opened_again() {
    let check = async |goodbye: &[u8]| {
        let (listener, worker, mut client, mut server) = opened(b"").await;
        server.send(goodbye).await;
        if goodbye.is_empty() {
            drop(server);
        }
        arrived(&client).await;
        let serving = async {
            let mut server = Server::accept(&listener, b"").await;
            server.receive().await;
            server.send(&[frame(TEXT, b"answer"), frame(CLOSE, b"")].concat()).await;
        };
        let exchange = async { tokio::join!(ask(&mut client, &worker), serving).0 };
        assert_eq!(timeout(LONG, exchange).await.unwrap(), Ok(SWITCHED), "{goodbye:?}");
        assert_eq!((client.body(), worker.open.get()), (&b"answer"[..], 1));
        assert_eq!(worker.tally.borrow().connect.count(), 2);
    };
    check(b"").await;
    check(&frame(CLOSE, b"")).await;
    check(&frame(CLOSE, b"\x03\xe8bye")).await;
}

#[tokio::test]
async fn a_connection_that_is_closed_instead_of_an_answer_is_an_error() {
    let (_listener, worker, mut client, mut server) = opened(b"").await;
    let serving = async {
        server.receive().await;
        server.send(&frame(CLOSE, b"\x03\xe8")).await;
        assert_eq!(server.receive().await, (CLOSE, b"\x03\xe8".to_vec()));
    };
    let exchange = async { tokio::join!(ask(&mut client, &worker), serving).0 };
    assert_eq!(timeout(LONG, exchange).await.unwrap(), Err(ErrorKind::Closed));
    assert_eq!((client.open.is_some(), worker.open.get()), (false, 0));
}

#[tokio::test]
async fn the_last_of_several_pings_is_answered_before_the_message() {
    let (_listener, worker, mut client, mut server) = opened(&frame(PING, b"one")).await;
    server.send(&[frame(PING, b"two"), frame(PING, b"three")].concat()).await;
    arrived(&client).await;
    let serving = async {
        let mut frames = Vec::new();
        while frames.last() != Some(&(TEXT, b"ask".to_vec())) {
            frames.push(server.receive().await);
        }
        server.send(&frame(TEXT, b"answer")).await;
        frames
    };
    let exchange = async { tokio::join!(ask(&mut client, &worker), serving) };
    let (answered, frames) = timeout(LONG, exchange).await.unwrap();
    assert_eq!(answered, Ok(SWITCHED));
    // The first may have had an answer of its own before the others were read.
    let (pongs, [.., last, _]) = (frames.len() - 1, &frames[..]) else { panic!("{frames:?}") };
    assert_eq!((last, (1..=2).contains(&pongs)), (&(PONG, b"three".to_vec()), true), "{frames:?}");
}

#[tokio::test]
async fn a_server_that_speaks_before_it_listens_is_heard() {
    const LEN: usize = 1 << 19;
    let (_listener, worker) = target().await;
    let (stream, server) = pair(NARROW).await;
    let mut client = WebSocket { open: Some(Open::new(Socket::Plain(stream))), deadline: Deadline::new() };
    let mut server = Server(server);
    let text = "x".repeat(LEN);
    let serving = async {
        server.0.read_u8().await.unwrap();
        server.send(&frame(TEXT, b"unasked").repeat(LEN / 9)).await;
        let mut rest = vec![0; 13 + LEN];
        server.0.read_exact(&mut rest).await.unwrap();
    };
    let handshake = action();
    let exchange = client.exchange(&worker, &handshake, &text, 0, later());
    let (sent, ()) = timeout(LONG, async { tokio::join!(exchange, serving) }).await.unwrap();
    assert_eq!((sent, client.body()), (Ok(SWITCHED), &b""[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_never_stops_is_given_up() {
    let check = async |begin: &[u8], again: &[u8], error: ErrorKind| {
        let (listener, worker) = target().await;
        let (begin, piece) = (begin.to_owned(), again.repeat(64 * 1024 / again.len()));
        let serving = tokio::spawn(async move {
            let mut server = Server::accept(&listener, b"").await;
            server.receive().await;
            server.send(&begin).await;
            // It reads nothing any more.
            while server.0.write_all(&piece).await.is_ok() {}
        });
        let mut client = WebSocket::new();
        // One that is opened by the exchange: deadlines of a sender only move on.
        let deadline = Instant::now() + Duration::from_millis(300);
        let exchange = client.exchange(&worker, &action(), "ask", 1, deadline).await;
        assert_eq!((exchange, client.open.is_some()), (Err(error), false), "{again:?}");
        serving.await.unwrap();
    };
    check(b"", &frame(PING, b"are you there?"), ErrorKind::Protocol).await;
    check(b"", &frame(PONG, b""), ErrorKind::Protocol).await;
    check(&frame(TEXT & 0x7f, b""), &frame(0, b"x"), ErrorKind::Protocol).await;
    check(&frame(TEXT & 0x7f, b""), &frame(0, b""), ErrorKind::Timeout).await;
}
