//! A connection that speaks WebSocket: a request is a message, its answer one or more messages.
//!
//! What a server has sent before it got all of a message cannot be the answer to it. So what came since the last answer
//! is read and dropped before a message is sent, and so is what comes until it is sent. What was sent before and comes
//! after cannot be told from an answer.
//!
//! Nobody reads from a connection that idles: pings are answered and closes noticed when the next message is due.

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests;

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
use tokio::task::coop::has_budget_remaining;

use crate::connect::Socket;
use crate::deadline::Deadline;
use crate::round_trip::{READS, RoundTrip};
use crate::worker::Worker;

/// The status that an answered message counts as: that of the handshake.
pub(crate) const SWITCHED: u16 = 101;
/// The longest message that is looked at.
const MAX_KEPT: usize = 1 << 20;
/// How many pings and pongs may come from one message to the next: a server with more to say is given up.
const MAX_CONTROLS: u32 = 1000;

/// A connection, open or not.
pub(crate) struct WebSocket {
    open: Option<Open>,
    deadline: Deadline,
}

struct Open {
    socket: Socket,
    reader: Reader,
    /// Frames that are being written, and how far they are.
    output: Vec<u8>,
    written: usize,
    /// The frame that follows them: of several pings only the last is answered (RFC 6455, 5.5.3).
    reply: Vec<u8>,
    /// Pings and pongs since the last message was answered.
    controls: u32,
    /// How many answers have yet to come. A message that comes when none has is dropped.
    awaited: u32,
    /// Whether the message that is coming began to come before there was anything to answer.
    stale: bool,
    /// The last answer.
    last: Vec<u8>,
    /// Whether the server has said goodbye.
    over: bool,
}

/// What a connection is driven to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// All that has come so far was read.
    Settled,
    /// All that is to be written was.
    Sent,
    /// All answers have come.
    Answered,
}

impl WebSocket {
    /// One that is not open yet.
    pub(crate) fn new() -> WebSocket {
        WebSocket { open: None, deadline: Deadline::new() }
    }

    /// Opens it, handshake included, where it is not open. All steps of a plan share the handshake of `action`.
    pub(crate) async fn open(
        &mut self,
        worker: &Worker,
        action: &MessageAction,
        deadline: Instant,
    ) -> Result<(), ErrorKind> {
        if self.open.is_none() {
            let socket = worker.connect().await?;
            let shaken = shake(socket, worker, action, &mut self.deadline, deadline).await;
            self.open = Some(shaken.inspect_err(|_| worker.closed())?);
        }
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
        let settled = self.drive(worker, Goal::Settled, deadline).await;
        // A server may close a connection that nothing is asked on: that is no error, and costs a new one.
        if settled != Err(ErrorKind::Closed) {
            settled?;
        }
        self.open(worker, handshake, deadline).await?;
        if let Some(open) = &mut self.open {
            open.queue(worker, text);
        }
        self.drive(worker, Goal::Sent, deadline).await?;
        if let Some(open) = &mut self.open {
            open.expect(answers);
        }
        self.drive(worker, Goal::Answered, deadline).await?;
        Ok(SWITCHED)
    }

    /// Says goodbye (RFC 6455, 7.1.2), so that servers do not take the end of a load for a failure.
    pub(crate) async fn finish(&mut self, worker: &Worker) {
        if let Some(open) = &mut self.open {
            // Best effort: a server that reads nothing, or never stops sending, must not hold up the end. What is not
            // read when a socket is closed resets the connection.
            let settled = poll_fn(|cx| Poll::Ready(open.drive(worker, Goal::Settled, cx))).await;
            if settled == Poll::Ready(Ok(())) {
                encode_close(&mut open.output, Some(CloseCode::NORMAL), worker.rng.borrow_mut().random());
                let _ = poll_fn(|cx| Poll::Ready(open.write(worker, cx))).await;
            }
        }
        self.close(worker);
    }

    /// The last answer.
    pub(crate) fn body(&self) -> &[u8] {
        self.open.as_ref().map_or(&[], |open| &open.last)
    }

    /// Drives the connection, where there is one, to `goal`. One that fails is closed.
    async fn drive(&mut self, worker: &Worker, goal: Goal, deadline: Instant) -> Result<(), ErrorKind> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let reached = self.deadline.bound(deadline, |cx| open.drive(worker, goal, cx)).await;
        if reached.is_err() {
            self.close(worker);
        }
        reached
    }

    fn close(&mut self, worker: &Worker) {
        if self.open.take().is_some() {
            worker.closed();
        }
    }
}

impl Open {
    fn new(socket: Socket) -> Open {
        Open {
            socket,
            reader: Reader::new(Some(MAX_KEPT)),
            output: Vec::new(),
            written: 0,
            reply: Vec::new(),
            controls: 0,
            awaited: 0,
            stale: false,
            last: Vec::new(),
            over: false,
        }
    }

    /// Puts a message behind what is to be written.
    fn queue(&mut self, worker: &Worker, text: &str) {
        self.output.append(&mut self.reply);
        encode_text(&mut self.output, text, worker.rng.borrow_mut().random());
    }

    /// From now on messages answer the one that was sent.
    fn expect(&mut self, answers: u32) {
        self.awaited = answers;
        self.controls = 0;
        self.stale = self.reader.is_within_message();
    }

    /// Writes what there is to write and reads what comes, until the goal is reached.
    fn drive(&mut self, worker: &Worker, goal: Goal, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        for _ in 0..READS {
            let written = self.write(worker, cx);
            let reached = match goal {
                Goal::Settled => false,
                Goal::Sent => matches!(written, Poll::Ready(Ok(()))),
                Goal::Answered => self.awaited == 0,
            };
            if reached {
                return Poll::Ready(Ok(()));
            }
            if matches!(written, Poll::Ready(Err(_))) {
                return Poll::Ready(Err(ErrorKind::Closed));
            }
            match self.read(worker, cx) {
                Poll::Ready(read) => read?,
                // Tokio also says so to a task that has done enough for now.
                Poll::Pending if goal == Goal::Settled && has_budget_remaining() => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes the output and what follows it; ready when nothing is left.
    fn write(&mut self, worker: &Worker, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while let Some(rest) = self.output.get(self.written..).filter(|rest| !rest.is_empty()) {
                let count = ready!(Pin::new(&mut self.socket).poll_write(cx, rest))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.written += count;
                worker.tally.borrow_mut().bytes_sent += count as u64;
            }
            self.output.clear();
            self.written = 0;
            if self.reply.is_empty() {
                return Pin::new(&mut self.socket).poll_flush(cx);
            }
            std::mem::swap(&mut self.output, &mut self.reply);
        }
    }

    fn read(&mut self, worker: &Worker, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        if self.over {
            return Poll::Ready(Err(ErrorKind::Closed));
        }
        let buffer = &mut *worker.buffer.borrow_mut();
        let mut into = ReadBuf::new(buffer);
        if ready!(Pin::new(&mut self.socket).poll_read(cx, &mut into)).is_err() || into.filled().is_empty() {
            return Poll::Ready(Err(ErrorKind::Closed));
        }
        worker.tally.borrow_mut().bytes_received += into.filled().len() as u64;
        Poll::Ready(self.take(worker, into.filled()))
    }

    /// Takes what was read.
    fn take(&mut self, worker: &Worker, mut bytes: &[u8]) -> Result<(), ErrorKind> {
        while !bytes.is_empty() {
            let fed = self.reader.feed(bytes).map_err(|_| ErrorKind::Protocol)?;
            bytes = bytes.get(fed.consumed..).unwrap_or_default();
            match fed.event {
                Some(Event::Message { .. }) if self.stale => self.stale = false,
                Some(Event::Message { payload, .. }) if self.awaited > 0 => {
                    self.awaited -= 1;
                    self.last.clear();
                    self.last.extend_from_slice(payload.unwrap_or_default());
                }
                Some(Event::Ping(control)) => {
                    self.controls += 1;
                    self.reply.clear();
                    encode_pong(&mut self.reply, control, worker.rng.borrow_mut().random());
                }
                Some(Event::Pong(_)) => self.controls += 1,
                Some(Event::Close { code, .. }) => {
                    self.over = true;
                    self.reply.clear();
                    encode_close(&mut self.reply, code, worker.rng.borrow_mut().random());
                }
                Some(Event::Message { .. }) | None => {}
            }
            if self.controls > MAX_CONTROLS {
                return Err(ErrorKind::Protocol);
            }
        }
        Ok(())
    }
}

/// Sends the handshake and reads its answer.
async fn shake(
    mut socket: Socket,
    worker: &Worker,
    action: &MessageAction,
    limit: &mut Deadline,
    deadline: Instant,
) -> Result<Open, ErrorKind> {
    let mut request = Vec::new();
    let headers = action.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let nonce = worker.rng.borrow_mut().random();
    let authority = &worker.plan.target.authority;
    let handshake =
        Handshake::write(&mut request, &action.path, authority, headers, nonce).map_err(|_| ErrorKind::Content)?;
    let mut response = Response::new(Limits::default());
    response.begin(Sent { upgrade: true, keep_head: true, ..Sent::default() });
    let ended = RoundTrip::new(&mut socket, worker, &request, &mut response).run(limit, deadline).await?;
    handshake.check(&response).map_err(|_| ErrorKind::Protocol)?;
    let mut open = Open::new(socket);
    // A server may greet at once: that answers nothing that was asked.
    open.take(worker, &ended.behind)?;
    Ok(open)
}
