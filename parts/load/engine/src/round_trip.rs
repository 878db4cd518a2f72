//! One request of HTTP/1.1 and its answer on a socket: what HTTP/1.1 and the handshake of WebSocket share.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use purlin_load_model::tally::ErrorKind;
use purlin_load_wire::http1::Response;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::connect::Socket;
use crate::deadline::Deadline;
use crate::worker::Worker;

/// How often one poll reads at most: a server that never stops sending must not keep the thread from its other senders.
pub(crate) const READS: usize = 16;

/// A request on its way, and its answer.
pub(crate) struct RoundTrip<'a> {
    socket: &'a mut Socket,
    worker: &'a Worker,
    /// What is left to write.
    request: &'a [u8],
    /// Whether the socket has passed on all that was written: TLS keeps what TCP does not take.
    flushed: bool,
    /// Waits for the answer.
    response: &'a mut Response,
}

/// How a round trip ended that was answered.
pub(crate) struct Ended {
    /// Whether the server was sent all of the request. If not, the next one must not follow on this connection.
    pub sent: bool,
    /// What came behind the answer.
    pub behind: Vec<u8>,
}

impl<'a> RoundTrip<'a> {
    /// Sends `request`, whose answer `response` has begun to wait for.
    pub(crate) fn new(
        socket: &'a mut Socket,
        worker: &'a Worker,
        request: &'a [u8],
        response: &'a mut Response,
    ) -> RoundTrip<'a> {
        RoundTrip { socket, worker, request, flushed: false, response }
    }

    /// Writes the request and reads the answer to its end.
    pub(crate) async fn run(mut self, limit: &mut Deadline, deadline: Instant) -> Result<Ended, ErrorKind> {
        limit.bound(deadline, |cx| self.advance(cx)).await
    }

    /// Writes what is left, and reads: a server may answer before it has all of it.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ended, ErrorKind>> {
        // That writing fails shows in reading too: before the server closed, it may have said why.
        let _ = self.write(cx);
        self.read(cx)
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.request.is_empty() {
            let count = ready!(Pin::new(&mut *self.socket).poll_write(cx, self.request))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.request = self.request.get(count..).unwrap_or_default();
            self.worker.tally.borrow_mut().bytes_sent += count as u64;
        }
        if !self.flushed {
            ready!(Pin::new(&mut *self.socket).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ended, ErrorKind>> {
        let buffer = &mut *self.worker.buffer.borrow_mut();
        for _ in 0..READS {
            let mut into = ReadBuf::new(buffer);
            if ready!(Pin::new(&mut *self.socket).poll_read(cx, &mut into)).is_err() {
                return Poll::Ready(Err(ErrorKind::Closed));
            }
            let read = into.filled();
            if read.is_empty() {
                return Poll::Ready(match self.response.end_of_stream() {
                    Ok(true) => Ok(self.ended(&[])),
                    _ => Err(ErrorKind::Closed),
                });
            }
            self.worker.tally.borrow_mut().bytes_received += read.len() as u64;
            match self.response.feed(read) {
                Ok(fed) if fed.done => {
                    return Poll::Ready(Ok(self.ended(read.get(fed.consumed..).unwrap_or_default())));
                }
                Ok(_) => {}
                Err(_) => return Poll::Ready(Err(ErrorKind::Protocol)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn ended(&self, behind: &[u8]) -> Ended {
        Ended { sent: self.flushed, behind: behind.to_vec() }
    }
}
