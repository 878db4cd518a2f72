//! One connection on which one call follows another: what asking a server takes before there is a load.
//!
//! It is the codec of the load itself over a socket of the same dialer, so what works here works there, without what
//! makes a load cheap. Nothing here has a time limit: the caller sets one around it all.

use bytes::{Buf as _, Bytes};
use percent_encoding::percent_decode;
use purlin_load_model::tally::ErrorKind;
use purlin_load_wire::h2::{Connection, Event, Fields, Settings, StreamId};
use purlin_load_wire::hpack::Head;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::connect::{Dialer, Socket};
use crate::grpc;

/// How much is read at a time.
const BUFFER: usize = 16 * 1024;

/// A connection that is used for one call at a time.
pub(super) struct Session<'d> {
    dialer: &'d Dialer,
    socket: Socket,
    codec: Connection,
    /// What was read and is not a whole frame.
    left: Vec<u8>,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its status (gRPC status codes).
    pub(super) status: u16,
    /// What the server says about it.
    pub(super) reason: String,
    /// The data that came.
    pub(super) body: Vec<u8>,
}

/// What has come of a call.
struct Coming {
    stream: StreamId,
    limit: usize,
    http: u16,
    status: Option<u16>,
    reason: String,
    body: Vec<u8>,
    end: Option<Result<(), String>>,
}

impl<'d> Session<'d> {
    /// Opens a connection.
    pub(super) async fn open(dialer: &'d Dialer) -> Result<Session<'d>, String> {
        let socket = dialer.connect().await.map_err(|kind| words(kind).to_owned())?;
        Ok(Session { dialer, socket, codec: Connection::new(Settings::default()), left: Vec::new() })
    }

    /// Makes a call; an answer with more than `limit` bytes is an error.
    pub(super) async fn call(&mut self, head: &Head, body: Bytes, limit: usize) -> Result<Answer, String> {
        if self.codec.is_closing() {
            *self = Session::open(self.dialer).await?;
        }
        let mut coming: Option<Coming> = None;
        loop {
            if coming.is_none() {
                coming = self.codec.open(head, body.clone()).map(|stream| Coming::new(stream, limit));
                if coming.is_none() && self.codec.is_closing() {
                    return Err("the server takes no calls on a new connection".to_owned());
                }
            }
            self.flush().await.map_err(|e| format!("the connection failed: {e}"))?;
            self.read(&mut coming).await?;
            if let Some(ended) = coming.as_mut().and_then(|coming| coming.end.take()) {
                ended?;
                return coming.ok_or_else(String::new)?.answer();
            }
        }
    }

    /// Writes all that waits to be written.
    async fn flush(&mut self) -> std::io::Result<()> {
        loop {
            let output = self.codec.output();
            if output.is_empty() {
                return self.socket.flush().await;
            }
            let written = self.socket.write(output).await?;
            output.advance(written);
        }
    }

    /// Reads once, and takes what that means to `coming`.
    async fn read(&mut self, coming: &mut Option<Coming>) -> Result<(), String> {
        self.left.reserve(BUFFER);
        match self.socket.read_buf(&mut self.left).await {
            Ok(0) => return Err("the server closed the connection before it had answered".to_owned()),
            Ok(_) => {}
            Err(e) => return Err(format!("the connection failed: {e}")),
        }
        let fed = self.codec.feed(&self.left, &mut |event| {
            if let Some(coming) = coming {
                coming.note(&event);
            }
        });
        match fed {
            Ok(taken) => self.left.drain(..taken),
            Err(error) => {
                // What the codec has to say about it is written as far as it can be.
                let _ = self.flush().await;
                return Err(format!("it does not speak HTTP/2 as it should: {error}"));
            }
        };
        Ok(())
    }
}

impl Coming {
    fn new(stream: StreamId, limit: usize) -> Coming {
        Coming { stream, limit, http: 0, status: None, reason: String::new(), body: Vec::new(), end: None }
    }

    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Head { stream, status, fields, end } if *stream == self.stream => {
                self.http = *status;
                self.fields(fields);
                self.ends(*end);
            }
            Event::Data { stream, data, end } if *stream == self.stream => {
                if self.body.len() + data.len() > self.limit {
                    self.end = Some(Err(format!("its answer is larger than {} MiB", self.limit >> 20)));
                } else {
                    self.body.extend_from_slice(data);
                    self.ends(*end);
                }
            }
            Event::Trailers { stream, fields } if *stream == self.stream => {
                self.fields(fields);
                self.ends(true);
            }
            Event::Reset { stream, code } if *stream == self.stream => {
                self.end = Some(Err(format!("it ended the call with {code}")));
            }
            Event::Failed { stream, error } if *stream == self.stream => self.end = Some(Err(error.to_string())),
            _ => {}
        }
    }

    fn fields(&mut self, fields: &Fields) {
        if let Some(status) = fields.get("grpc-status") {
            let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
            self.status = Some(status.unwrap_or(grpc::UNKNOWN));
        }
        if let Some(reason) = fields.get("grpc-message") {
            self.reason = percent_decode(reason).decode_utf8_lossy().into_owned();
        }
    }

    fn ends(&mut self, end: bool) {
        if end && self.end.is_none() {
            self.end = Some(Ok(()));
        }
    }

    fn answer(self) -> Result<Answer, String> {
        match (self.status, self.http) {
            (Some(status), _) => Ok(Answer { status, reason: self.reason, body: self.body }),
            (None, 200) => Err("its answer has no grpc-status: it is no gRPC server".to_owned()),
            // An intermediary has answered in the server's stead.
            (None, http) => Ok(Answer {
                status: grpc::status_of_http(http),
                reason: format!("HTTP status {http}"),
                body: self.body,
            }),
        }
    }
}

/// Why there is no connection.
fn words(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Tls => {
            "TLS failed: is its certificate trusted, for this name, and does it agree on HTTP/2 (ALPN h2)?"
        }
        ErrorKind::Descriptors => "this process ran out of file descriptors",
        _ => "it cannot be connected to: is it running, and is this the right port?",
    }
}
