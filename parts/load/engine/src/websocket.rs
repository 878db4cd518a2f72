//! A connection that speaks WebSocket: a request is a message, its answer one or more messages.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use purlin_load_model::plan::MessageAction;
use purlin_load_model::tally::ErrorKind;
use purlin_load_wire::http1::{Limits, Response, Sent};
use purlin_load_wire::websocket::{CloseCode, Event, Handshake, Reader, encode_close, encode_pong, encode_text};
use rand::RngExt as _;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::connect::Socket;
use crate::deadline::Deadline;
use crate::worker::Worker;

/// The status that an answered message counts as: that of the handshake.
pub(crate) const SWITCHED: u16 = 101;
/// The longest message that is looked at.
const MAX_KEPT: usize = 1 << 20;

/// A connection, open or not.
pub(crate) struct WebSocket {
    open: Option<Open>,
    deadline: Deadline,
    last: Vec<u8>,
}

struct Open {
    socket: Socket,
    reader: Reader,
    /// What is to be written.
    output: VecDeque<u8>,
    /// Messages that have come since the last was sent.
    answers: u32,
    closed: bool,
}

impl WebSocket {
    /// One that is not open yet.
    pub(crate) fn new() -> WebSocket {
        WebSocket { open: None, deadline: Deadline::new(), last: Vec::new() }
    }

    /// Opens it, handshake included, where it is not open. All steps of a plan share the handshake of `action`.
    pub(crate) async fn open(&mut self, worker: &Worker, action: &MessageAction) -> Result<(), ErrorKind> {
        if self.open.as_ref().is_some_and(|open| !open.closed) {
            return Ok(());
        }
        self.close(worker);
        let deadline = Instant::now() + worker.plan.timeout;
        let mut socket = worker.connect().await?;
        let shaken = shake(&mut socket, worker, action, &mut self.deadline, deadline).await;
        let reader = shaken.inspect_err(|_| worker.closed())?;
        self.open = Some(Open { socket, reader, output: VecDeque::new(), answers: 0, closed: false });
        Ok(())
    }

    /// Sends a message and waits for its answers; returns [`SWITCHED`].
    pub(crate) async fn exchange(
        &mut self,
        worker: &Worker,
        handshake: &MessageAction,
        text: &str,
        answers: u32,
        deadline: Instant,
    ) -> Result<u16, ErrorKind> {
        self.open(worker, handshake).await?;
        let Some(open) = &mut self.open else { return Err(ErrorKind::Connect) };
        let mut frame = Vec::with_capacity(text.len() + 14);
        encode_text(&mut frame, text, worker.rng.borrow_mut().random());
        open.output.extend(frame);
        open.answers = 0;
        let (last, limit) = (&mut self.last, &mut self.deadline);
        let ended = poll_fn(|cx| {
            if let Poll::Ready(ended) = open.poll(worker, answers, last, cx) {
                return Poll::Ready(ended);
            }
            limit.poll(deadline, cx).map(|()| Err(ErrorKind::Timeout))
        })
        .await;
        if ended.is_err() {
            self.close(worker);
        }
        ended.map(|()| SWITCHED)
    }

    /// Says goodbye (RFC 6455, 7.1.2), so that servers do not take the end of a load for a failure.
    pub(crate) async fn finish(&mut self, worker: &Worker) {
        if let Some(open) = self.open.as_mut().filter(|open| !open.closed) {
            let mut frame = Vec::new();
            encode_close(&mut frame, Some(CloseCode::NORMAL), worker.rng.borrow_mut().random());
            open.output.extend(frame);
            // Best effort: a server that reads nothing must not hold up the end.
            let _ = poll_fn(|cx| Poll::Ready(open.write(worker, cx))).await;
        }
        self.close(worker);
    }

    /// The last message that came.
    pub(crate) fn body(&self) -> &[u8] {
        &self.last
    }

    fn close(&mut self, worker: &Worker) {
        if self.open.take().is_some() {
            worker.closed();
        }
    }
}

impl Open {
    /// Writes what is to be written and reads until `answers` messages have come.
    fn poll(
        &mut self,
        worker: &Worker,
        answers: u32,
        last: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ErrorKind>> {
        if let Poll::Ready(Err(_)) = self.write(worker, cx) {
            return Poll::Ready(Err(ErrorKind::Closed));
        }
        while self.answers < answers || answers == 0 {
            if answers == 0 {
                // Nothing is awaited: it is done once it is written.
                return if self.output.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            if let Err(error) = ready!(self.read(worker, last, cx)) {
                return Poll::Ready(Err(error));
            }
            if let Poll::Ready(Err(_)) = self.write(worker, cx) {
                return Poll::Ready(Err(ErrorKind::Closed));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, worker: &Worker, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let count = ready!(Pin::new(&mut self.socket).poll_write(cx, self.output.as_slices().0))?;
            self.output.drain(..count);
            worker.tally.borrow_mut().bytes_sent += count as u64;
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn read(&mut self, worker: &Worker, last: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        let buffer = &mut *worker.buffer.borrow_mut();
        let mut into = ReadBuf::new(buffer);
        if ready!(Pin::new(&mut self.socket).poll_read(cx, &mut into)).is_err() || into.filled().is_empty() {
            return Poll::Ready(Err(ErrorKind::Closed));
        }
        let mut rest = into.filled();
        worker.tally.borrow_mut().bytes_received += rest.len() as u64;
        while !rest.is_empty() {
            let Ok(fed) = self.reader.feed(rest) else { return Poll::Ready(Err(ErrorKind::Protocol)) };
            rest = rest.get(fed.consumed..).unwrap_or_default();
            let mut frame = Vec::new();
            match fed.event {
                Some(Event::Message { payload, .. }) => {
                    self.answers += 1;
                    last.clear();
                    last.extend_from_slice(payload.unwrap_or_default());
                }
                Some(Event::Ping(control)) => encode_pong(&mut frame, control, worker.rng.borrow_mut().random()),
                Some(Event::Close { code, .. }) => {
                    self.closed = true;
                    encode_close(&mut frame, code, worker.rng.borrow_mut().random());
                }
                Some(Event::Pong(_)) | None => {}
            }
            self.output.extend(frame);
        }
        if self.closed { Poll::Ready(Err(ErrorKind::Closed)) } else { Poll::Ready(Ok(())) }
    }
}

/// Sends the handshake and reads its answer.
async fn shake(
    socket: &mut Socket,
    worker: &Worker,
    action: &MessageAction,
    limit: &mut Deadline,
    deadline: Instant,
) -> Result<Reader, ErrorKind> {
    let mut request = Vec::new();
    let headers = action.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let nonce = worker.rng.borrow_mut().random();
    let authority = &worker.plan.target.authority;
    let handshake =
        Handshake::write(&mut request, &action.path, authority, headers, nonce).map_err(|_| ErrorKind::Content)?;
    let mut response = Response::new(Limits::default());
    response.begin(Sent { upgrade: true, keep_head: true, ..Sent::default() });
    let mut written = 0;
    let mut early = Vec::new();
    poll_fn(|cx| {
        if let Poll::Ready(ended) = shaking(socket, worker, &request, &mut written, &mut response, &mut early, cx) {
            return Poll::Ready(ended);
        }
        limit.poll(deadline, cx).map(|()| Err(ErrorKind::Timeout))
    })
    .await?;
    handshake.check(&response).map_err(|_| ErrorKind::Protocol)?;
    let mut reader = Reader::new(Some(MAX_KEPT));
    // A server may greet at once: that answers nothing that was asked.
    while !early.is_empty() {
        let fed = reader.feed(&early).map_err(|_| ErrorKind::Protocol)?;
        let consumed = fed.consumed;
        early.drain(..consumed);
    }
    Ok(reader)
}

fn shaking(
    socket: &mut Socket,
    worker: &Worker,
    request: &[u8],
    written: &mut usize,
    response: &mut Response,
    early: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), ErrorKind>> {
    while let Some(rest) = request.get(*written..).filter(|rest| !rest.is_empty()) {
        match ready!(Pin::new(&mut *socket).poll_write(cx, rest)) {
            Ok(count) => *written += count,
            Err(_) => return Poll::Ready(Err(ErrorKind::Closed)),
        }
    }
    if ready!(Pin::new(&mut *socket).poll_flush(cx)).is_err() {
        return Poll::Ready(Err(ErrorKind::Closed));
    }
    let buffer = &mut *worker.buffer.borrow_mut();
    loop {
        let mut into = ReadBuf::new(buffer);
        if ready!(Pin::new(&mut *socket).poll_read(cx, &mut into)).is_err() || into.filled().is_empty() {
            return Poll::Ready(Err(ErrorKind::Closed));
        }
        let read = into.filled();
        match response.feed(read) {
            Ok(fed) if fed.done => {
                early.extend_from_slice(read.get(fed.consumed..).unwrap_or_default());
                return Poll::Ready(Ok(()));
            }
            Ok(_) => {}
            Err(_) => return Poll::Ready(Err(ErrorKind::Protocol)),
        }
    }
}
