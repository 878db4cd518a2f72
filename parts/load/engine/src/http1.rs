//! A connection that speaks HTTP/1.1: one request at a time.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use purlin_load_model::tally::ErrorKind;
use purlin_load_wire::http1::{Limits, Response, Sent};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::connect::Socket;
use crate::deadline::Deadline;
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
        let ended = match self.open(worker).await {
            Ok(()) => self.round_trip(worker, request, sent, deadline).await,
            Err(error) => return Err(error),
        };
        if ended.is_err() || !self.response.keep_alive() {
            self.close(worker);
        }
        ended.map(|()| self.response.status())
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

    async fn round_trip(
        &mut self,
        worker: &Worker,
        request: &[u8],
        sent: Sent,
        deadline: Instant,
    ) -> Result<(), ErrorKind> {
        let Some(socket) = self.socket.as_mut() else { return Err(ErrorKind::Connect) };
        self.response.begin(sent);
        let (response, limit) = (&mut self.response, &mut self.deadline);
        let mut written = 0;
        poll_fn(|cx| {
            if let Poll::Ready(ended) = advance(socket, worker, request, &mut written, response, cx) {
                return Poll::Ready(ended);
            }
            limit.poll(deadline, cx).map(|()| Err(ErrorKind::Timeout))
        })
        .await
    }
}

/// Writes what is left of the request, and reads: a server may answer before it has all of it.
fn advance(
    socket: &mut Socket,
    worker: &Worker,
    request: &[u8],
    written: &mut usize,
    response: &mut Response,
    cx: &mut Context<'_>,
) -> Poll<Result<(), ErrorKind>> {
    if *written < request.len()
        && let Poll::Ready(Err(_)) = write(socket, worker, request, written, cx)
    {
        // Before it closed, it may have said why.
        return read(socket, worker, response, cx).map(|ended| ended.and(Err(ErrorKind::Closed)));
    }
    read(socket, worker, response, cx)
}

fn write(
    socket: &mut Socket,
    worker: &Worker,
    request: &[u8],
    written: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while let Some(rest) = request.get(*written..).filter(|rest| !rest.is_empty()) {
        let count = ready!(Pin::new(&mut *socket).poll_write(cx, rest))?;
        *written += count;
        worker.tally.borrow_mut().bytes_sent += count as u64;
    }
    Pin::new(socket).poll_flush(cx)
}

fn read(
    socket: &mut Socket,
    worker: &Worker,
    response: &mut Response,
    cx: &mut Context<'_>,
) -> Poll<Result<(), ErrorKind>> {
    let buffer = &mut *worker.buffer.borrow_mut();
    loop {
        let mut into = ReadBuf::new(buffer);
        if ready!(Pin::new(&mut *socket).poll_read(cx, &mut into)).is_err() {
            return Poll::Ready(Err(ErrorKind::Closed));
        }
        let read = into.filled();
        if read.is_empty() {
            return Poll::Ready(match response.end_of_stream() {
                Ok(true) => Ok(()),
                _ => Err(ErrorKind::Closed),
            });
        }
        worker.tally.borrow_mut().bytes_received += read.len() as u64;
        match response.feed(read) {
            Ok(fed) if fed.done && fed.consumed == read.len() => return Poll::Ready(Ok(())),
            Ok(fed) if !fed.done => {}
            // More than was asked for: what it belongs to cannot be told.
            Ok(_) | Err(_) => return Poll::Ready(Err(ErrorKind::Protocol)),
        }
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
