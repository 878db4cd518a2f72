//! Connections that speak HTTP/2, shared by as many senders as they carry streams.
//!
//! A sender opens a stream in its [`Link`] and sleeps; the link's driver, one task a connection, writes what all senders
//! left in the output, reads answers and wakes the senders whose streams have ended. When the connection ends, its
//! driver fails what is open, and the next sender opens another one. gRPC is HTTP/2 whose status stands in trailers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::{Buf as _, Bytes};
use purlin_load_model::tally::ErrorKind;
use purlin_load_wire::h2::{Code, Connection, Event, Fields, Settings, StreamId};
use purlin_load_wire::hpack::Head;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout_at;

use crate::connect::Socket;
use crate::deadline::Deadline;
use crate::grpc;
use crate::worker::Worker;

/// How much of an answer that is looked at is kept.
const MAX_KEPT: usize = 1 << 20;

/// A connection, open or not.
#[derive(Default)]
pub(crate) struct Link {
    state: RefCell<State>,
    /// Held by the sender that opens it.
    opening: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// The connection, while it is open.
    codec: Option<Connection>,
    /// What is known of open streams, by their slot.
    exchanges: Vec<Option<Exchange>>,
    /// Wakes the driver.
    driver: Option<Waker>,
    task: Option<AbortHandle>,
    /// Senders that wait until the server allows one more stream.
    crowded: VecDeque<Waker>,
}

/// A stream as its sender sees it.
struct Exchange {
    waker: Option<Waker>,
    keeps: Keeps,
    answer: Answer,
    ended: Option<Result<(), ErrorKind>>,
}

/// What of an answer is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeps {
    /// Its header fields.
    pub head: bool,
    /// Its body.
    pub body: bool,
}

/// What came on a stream.
#[derive(Default)]
struct Answer {
    status: u16,
    grpc_status: Option<u16>,
    head: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

/// A sender's place on a link.
pub(crate) struct Http2 {
    link: Rc<Link>,
    deadline: Deadline,
    answer: Answer,
}

/// A request as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Its header block.
    pub head: Arc<Head>,
    /// Its body; empty is none.
    pub body: Bytes,
    /// Whether the status is that of gRPC.
    pub grpc: bool,
}

impl Http2 {
    /// A place on `link`.
    pub(crate) fn new(link: Rc<Link>) -> Http2 {
        Http2 { link, deadline: Deadline::new(), answer: Answer::default() }
    }

    /// Opens the connection, where it is not open.
    pub(crate) async fn open(&self, worker: &Rc<Worker>) -> Result<(), ErrorKind> {
        self.link.ensure(worker).await
    }

    /// Sends `request` and reads the answer to its end; returns the status.
    pub(crate) async fn exchange(
        &mut self,
        worker: &Rc<Worker>,
        request: &Request,
        keeps: Keeps,
        deadline: Instant,
    ) -> Result<u16, ErrorKind> {
        let connected = timeout_at(deadline.into(), self.link.ensure(worker));
        connected.await.unwrap_or(Err(ErrorKind::Timeout))?;
        let (link, limit) = (self.link.clone(), &mut self.deadline);
        let mut stream = None;
        let ended = poll_fn(|cx| {
            let polled = link.state.borrow_mut().advance(&mut stream, request, keeps, cx);
            match polled {
                Poll::Ready(ended) => Poll::Ready(ended),
                Poll::Pending => limit.poll(deadline, cx).map(|()| Err(ErrorKind::Timeout)),
            }
        })
        .await;
        let answer = link.state.borrow_mut().close(stream);
        self.answer = answer.unwrap_or_default();
        ended?;
        match (request.grpc, self.answer.status, self.answer.grpc_status) {
            (false, status, _) => Ok(status),
            (true, _, Some(status)) => Ok(status),
            // An intermediary has answered in the server's stead.
            (true, 200, None) => Err(ErrorKind::Protocol),
            (true, status, None) => Ok(grpc::status_of_http(status)),
        }
    }

    /// The value of a header of the last answer, if heads are kept.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        self.answer.head.iter().find(|(found, _)| found == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// The body of the last answer, if bodies are kept.
    pub(crate) fn body(&self) -> &[u8] {
        &self.answer.body
    }
}

impl Link {
    async fn ensure(self: &Rc<Self>, worker: &Rc<Worker>) -> Result<(), ErrorKind> {
        if self.is_open() {
            return Ok(());
        }
        let _opening = self.opening.lock().await;
        if self.is_open() {
            return Ok(());
        }
        let socket = worker.connect().await?;
        let driver = Driver { link: self.clone(), worker: worker.clone(), socket, left: Vec::new() };
        let state = &mut *self.state.borrow_mut();
        state.codec = Some(Connection::new(Settings::default()));
        if let Some(earlier) = state.task.replace(spawn_local(driver.run()).abort_handle()) {
            earlier.abort();
        }
        Ok(())
    }

    /// Whether it can carry streams, if not now, then soon.
    fn is_open(&self) -> bool {
        self.state.borrow().codec.as_ref().is_some_and(|codec| !codec.is_closing())
    }
}

impl State {
    /// Opens the stream, once there is room for it, and looks whether it has ended.
    fn advance(
        &mut self,
        stream: &mut Option<StreamId>,
        request: &Request,
        keeps: Keeps,
        cx: &Context<'_>,
    ) -> Poll<Result<(), ErrorKind>> {
        let Some(open) = *stream else {
            let Some(codec) = &mut self.codec else { return Poll::Ready(Err(ErrorKind::Closed)) };
            let Some(opened) = codec.open(&request.head, request.body.clone()) else {
                if codec.is_closing() {
                    return Poll::Ready(Err(ErrorKind::Closed));
                }
                self.crowded.push_back(cx.waker().clone());
                return Poll::Pending;
            };
            *stream = Some(opened);
            if self.exchanges.len() <= opened.slot() {
                self.exchanges.resize_with(opened.slot() + 1, || None);
            }
            let waker = Some(cx.waker().clone());
            self.exchanges[opened.slot()] = Some(Exchange { waker, keeps, answer: Answer::default(), ended: None });
            self.wake_driver();
            return Poll::Pending;
        };
        match self.exchanges.get_mut(open.slot()).and_then(Option::as_mut) {
            None => Poll::Ready(Err(ErrorKind::Closed)),
            Some(exchange) => match exchange.ended {
                Some(ended) => Poll::Ready(ended),
                None => Poll::Pending,
            },
        }
    }

    /// Forgets a stream; one that has not ended is reset.
    fn close(&mut self, stream: Option<StreamId>) -> Option<Answer> {
        let stream = stream?;
        let exchange = self.exchanges.get_mut(stream.slot())?.take()?;
        if exchange.ended.is_none()
            && let Some(codec) = &mut self.codec
        {
            codec.reset(stream, Code::CANCEL);
            self.wake_driver();
        }
        self.let_in();
        Some(exchange.answer)
    }

    fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Wakes as many of those who wait as there is room for.
    fn let_in(&mut self) {
        let room = self.codec.as_ref().map_or(usize::MAX, Connection::capacity);
        for _ in 0..room {
            match self.crowded.pop_front() {
                Some(waiting) => waiting.wake(),
                None => return,
            }
        }
    }

    /// Ends the connection: what is open fails.
    fn fail(&mut self, error: ErrorKind) {
        self.codec = None;
        for exchange in self.exchanges.iter_mut().flatten() {
            exchange.end(Err(error));
        }
        self.let_in();
    }
}

impl Exchange {
    fn end(&mut self, ended: Result<(), ErrorKind>) {
        self.ended.get_or_insert(ended);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn fields(&mut self, fields: &Fields) {
        if let Some(status) = fields.get("grpc-status") {
            let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
            self.answer.grpc_status = Some(status.unwrap_or(grpc::UNKNOWN));
        }
        if self.keeps.head {
            self.answer.head.extend(fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())));
        }
    }

    fn data(&mut self, data: &[u8]) {
        if self.keeps.body {
            self.answer.body.extend_from_slice(data);
            if self.answer.body.len() > MAX_KEPT {
                self.end(Err(ErrorKind::Protocol));
            }
        }
    }
}

/// Takes what came on a stream to its exchange.
fn note(exchanges: &mut [Option<Exchange>], event: &Event<'_>) {
    let stream = match event {
        Event::Head { stream, .. }
        | Event::Data { stream, .. }
        | Event::Trailers { stream, .. }
        | Event::Reset { stream, .. }
        | Event::Failed { stream, .. } => *stream,
        // Streams that the server will not answer are reset one by one.
        Event::GoAway { .. } => return,
    };
    // A stream that its sender has given up was reset; what was on its way is of no interest.
    let Some(exchange) = exchanges.get_mut(stream.slot()).and_then(Option::as_mut) else { return };
    match event {
        Event::Head { status, fields, .. } => {
            exchange.answer.status = *status;
            exchange.fields(fields);
        }
        Event::Data { data, .. } => exchange.data(data),
        Event::Trailers { fields, .. } => exchange.fields(fields),
        Event::Reset { .. } => exchange.end(Err(ErrorKind::Closed)),
        Event::Failed { .. } => exchange.end(Err(ErrorKind::Protocol)),
        Event::GoAway { .. } => {}
    }
    if matches!(event, Event::Head { end: true, .. } | Event::Data { end: true, .. } | Event::Trailers { .. }) {
        exchange.end(Ok(()));
    }
}

/// Moves bytes between a socket and a link.
struct Driver {
    link: Rc<Link>,
    worker: Rc<Worker>,
    socket: Socket,
    /// The beginning of a frame whose rest has not come.
    left: Vec<u8>,
}

impl Driver {
    async fn run(mut self) {
        let error = poll_fn(|cx| self.poll(cx)).await;
        self.link.state.borrow_mut().fail(error);
        self.worker.closed();
    }

    /// Ready when the connection has ended, with what its open streams fail with.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ErrorKind> {
        let state = &mut *self.link.state.borrow_mut();
        state.driver = Some(cx.waker().clone());
        // Reading first: what was read may be answered by the same write.
        let read = read(&mut self.socket, &mut self.left, &self.worker, state, cx);
        let written = write(&mut self.socket, &self.worker, state, cx);
        state.let_in();
        match (read, written) {
            (Poll::Ready(error), _) | (_, Poll::Ready(Err(error))) => Poll::Ready(error),
            // A connection that takes no more streams is left when the last of them has ended.
            _ if state.codec.as_ref().is_none_or(|codec| codec.is_closing() && codec.streams() == 0) => {
                Poll::Ready(ErrorKind::Closed)
            }
            _ => Poll::Pending,
        }
    }
}

/// Reads until nothing is there; ready when the connection has ended.
fn read(
    socket: &mut Socket,
    left: &mut Vec<u8>,
    worker: &Worker,
    state: &mut State,
    cx: &mut Context<'_>,
) -> Poll<ErrorKind> {
    let buffer = &mut *worker.buffer.borrow_mut();
    loop {
        let Some(codec) = &mut state.codec else { return Poll::Ready(ErrorKind::Closed) };
        let mut into = ReadBuf::new(buffer);
        if ready!(Pin::new(&mut *socket).poll_read(cx, &mut into)).is_err() || into.filled().is_empty() {
            return Poll::Ready(ErrorKind::Closed);
        }
        let read = into.filled();
        worker.tally.borrow_mut().bytes_received += read.len() as u64;
        let exchanges = &mut state.exchanges;
        let mut on = |event: Event<'_>| note(exchanges, &event);
        let fed = if left.is_empty() {
            codec.feed(read, &mut on).map(|taken| left.extend_from_slice(read.get(taken..).unwrap_or_default()))
        } else {
            left.extend_from_slice(read);
            codec.feed(left, &mut on).map(|taken| drop(left.drain(..taken)))
        };
        if fed.is_err() {
            // What the codec has to say about it is written as far as it can be.
            let _ = write(socket, worker, state, cx);
            return Poll::Ready(ErrorKind::Protocol);
        }
    }
}

fn write(socket: &mut Socket, worker: &Worker, state: &mut State, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
    let Some(codec) = &mut state.codec else { return Poll::Ready(Ok(())) };
    let mut wrote = false;
    loop {
        let output = codec.output();
        if output.is_empty() {
            break;
        }
        match ready!(Pin::new(&mut *socket).poll_write(cx, output)) {
            Ok(count) => {
                output.advance(count);
                worker.tally.borrow_mut().bytes_sent += count as u64;
                wrote = true;
            }
            Err(_) => return Poll::Ready(Err(ErrorKind::Closed)),
        }
    }
    if wrote && ready!(Pin::new(socket).poll_flush(cx)).is_err() {
        return Poll::Ready(Err(ErrorKind::Closed));
    }
    Poll::Pending
}

impl Drop for Http2 {
    fn drop(&mut self) {
        // The last one on a link takes its driver along.
        if Rc::strong_count(&self.link) <= 2
            && let Some(task) = self.link.state.borrow_mut().task.take()
        {
            task.abort();
        }
    }
}
