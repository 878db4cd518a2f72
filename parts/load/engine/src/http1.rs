//! A connection that speaks HTTP/1.1: one request at a time.

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;

use std::pin::Pin;
use std::task::Context;
use std::time::Instant;

use purlin_load_model::tally::ErrorKind;
use purlin_load_wire::http1::{Limits, Response, Sent};
use tokio::io::{AsyncRead as _, ReadBuf};

use crate::connect::Socket;
use crate::deadline::Deadline;
use crate::round_trip::RoundTrip;
use crate::worker::Worker;

/// A connection of HTTP/1.1, open or not.
pub(crate) struct Http1 {
    socket: Option<Socket>,
    response: Response,
    deadline: Deadline,
}

impl Http1 {
    /// One that is not open yet.
    pub(crate) fn new() -> Http1 {
        Http1 { socket: None, response: Response::new(Limits::default()), deadline: Deadline::new() }
    }

    /// Opens it, where it is not open.
    pub(crate) async fn open(&mut self, worker: &Worker) -> Result<(), ErrorKind> {
        if self.socket.is_none() {
            self.socket = Some(worker.connect().await?);
        }
        Ok(())
    }

    /// Sends `request` and reads the answer to its end; returns the status.
    pub(crate) async fn exchange(
        &mut self,
        worker: &Worker,
        request: &[u8],
        sent: Sent,
        deadline: Instant,
    ) -> Result<u16, ErrorKind> {
        // A server may close a connection that nothing is asked on: that is no error, and costs a new one.
        if self.socket.as_mut().is_some_and(|socket| is_closed(socket, worker)) {
            self.close(worker);
        }
        self.open(worker).await?;
        let ended = self.round_trip(worker, request, sent, deadline).await;
        if ended != Ok(true) {
            self.close(worker);
        }
        ended.map(|_| self.response.status())
    }

    /// The value of a header of the last answer, if heads are kept.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        self.response.header(name)
    }

    /// The body of the last answer, if bodies are kept.
    pub(crate) fn body(&self) -> &[u8] {
        self.response.body()
    }

    fn close(&mut self, worker: &Worker) {
        if self.socket.take().is_some() {
            worker.closed();
        }
    }

    /// Returns whether the connection can take the next request.
    async fn round_trip(
        &mut self,
        worker: &Worker,
        request: &[u8],
        sent: Sent,
        deadline: Instant,
    ) -> Result<bool, ErrorKind> {
        let Some(socket) = self.socket.as_mut() else { return Err(ErrorKind::Connect) };
        self.response.begin(sent);
        let ended =
            RoundTrip::new(socket, worker, request, &mut self.response).run(&mut self.deadline, deadline).await?;
        if !ended.behind.is_empty() {
            // More than was asked for: what it belongs to cannot be told.
            return Err(ErrorKind::Protocol);
        }
        Ok(ended.sent && self.response.keep_alive())
    }
}

/// Whether the server has closed the connection, or sent what nobody asked for. Costs no system call when it has not.
fn is_closed(socket: &mut Socket, worker: &Worker) -> bool {
    let buffer = &mut *worker.buffer.borrow_mut();
    let mut into = ReadBuf::new(buffer);
    // Polled without a waker of this task: the next read registers it.
    let mut cx = Context::from_waker(std::task::Waker::noop());
    Pin::new(socket).poll_read(&mut cx, &mut into).is_ready()
}
