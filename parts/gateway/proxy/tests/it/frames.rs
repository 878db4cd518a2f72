//! HTTP/2 frame by frame, for what no well-behaved client sends (RFC 9113, RFC 7541).

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::rig::PATIENCE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITY: u8 = 0x20;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame that came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM or GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header's name and value.
pub(crate) type Field<'a> = (&'a [u8], &'a [u8]);

/// A header block: literals without indexing, names and values as they are.
pub(crate) fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|len| *len < 127).unwrap());
            block.extend_from_slice(text);
        }
    }
    block
}

/// The header block of a request, with more fields behind the pseudo fields.
pub(crate) fn request(method: &str, path: &[u8], more: &[Field<'_>]) -> Vec<u8> {
    let pseudo: [Field<'_>; 4] =
        [(b":method", method.as_bytes()), (b":scheme", b"http"), (b":authority", b"a"), (b":path", path)];
    block(&[&pseudo, more].concat())
}

/// A connection, with its preface sent and an own window of 65,535 bytes; [`Self::accept`] makes it a server's.
pub(crate) struct Client {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(at: SocketAddr) -> Self {
        let mut client = Self { stream: TcpStream::connect(at).await.unwrap(), ahead: Vec::new() };
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        client.send(&frame(SETTINGS, 0, 0, &[])).await;
        client
    }

    /// The server's side of the next connection.
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 24]).await.unwrap();
        let mut server = Self { stream, ahead: Vec::new() };
        server.send(&frame(SETTINGS, 0, 0, &[])).await;
        server
    }

    /// The other side may have ended already: what it said tells why.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next frame, None at the end. Settings and pings are answered meanwhile.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.parse() {
                match (frame.kind, frame.flags & ACK) {
                    (SETTINGS | PING, 0) => {
                        let payload = if frame.kind == PING { &frame.payload[..] } else { &[] };
                        let answer = self::frame(frame.kind, ACK, 0, payload);
                        self.send(&answer).await;
                    }
                    (SETTINGS | PING | WINDOW_UPDATE, _) => {}
                    _ => return Some(frame),
                }
                continue;
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.ahead)).await.expect("nothing comes");
            if !read.is_ok_and(|n| n > 0) {
                return None;
            }
        }
    }

    fn parse(&mut self) -> Option<Frame> {
        let head = self.ahead.get(..9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        let payload = self.ahead.get(9..9 + length)?.to_vec();
        self.ahead.drain(..9 + length);
        Some(Frame { kind, flags, stream, payload })
    }

    /// The first frame of one of these kinds; panics at the end.
    pub(crate) async fn until(&mut self, kinds: &[u8]) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection has ended");
            if kinds.contains(&frame.kind) {
                return frame;
            }
        }
    }

    /// The status of a response and its body, with the window opened for what was read.
    pub(crate) async fn response(&mut self, stream: u32) -> (u16, Vec<u8>) {
        let (mut status, mut body) = (0, Vec::new());
        loop {
            let frame = self.next().await.expect("the connection has ended");
            assert!(frame.kind != GOAWAY, "GOAWAY {}", frame.code());
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                HEADERS if status == 0 => status = status_of(&frame.payload),
                HEADERS => {}
                DATA => body.extend_from_slice(&frame.payload),
                _ => panic!("{frame:?}"),
            }
            if frame.flags & END_STREAM != 0 {
                return (status, body);
            }
        }
    }

    /// The code that the connection ends with.
    pub(crate) async fn goaway(&mut self) -> u32 {
        let code = self.until(&[GOAWAY]).await.code();
        while self.next().await.is_some() {}
        code
    }
}

/// `:status` stands first: from the static table, or as a literal that this test's cases have with three digits.
fn status_of(block: &[u8]) -> u16 {
    match block[0] {
        at @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(at - 0x88)],
        _ => panic!("a status that is not in the static table: {block:?}"),
    }
}
