//! Connections that speak HTTP/2, shared by as many senders as they carry streams.
//!
//! A sender opens a stream in its [`Link`]'s connection and sleeps; the connection's driver, one task, writes what all
//! senders left in the output, reads answers and wakes the senders whose streams have ended. When a connection takes no
//! more streams, those that are open end there and the next sender opens another one. gRPC is HTTP/2 whose status stands
//! in trailers.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Buf as _;
use purlin_load_model::tally::ErrorKind;
use purlin_load_wire::h2::{Code, Connection, Event, Fields, Settings, StreamId};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout_at;

use crate::connect::Socket;
use crate::deadline::Deadline;
use crate::grpc;
use crate::grpc::messages::Messages;
use crate::wire::{Http2Request, Kind};
use crate::worker::Worker;

/// How much of an answer that is looked at is kept.
const MAX_KEPT: usize = 1 << 20;

/// What a few senders share: a connection, and the next one once that takes no more streams.
#[derive(Default)]
pub(crate) struct Link {
    current: RefCell<Option<Rc<Conn>>>,
    /// Held by the sender that opens it.
    opening: Mutex<()>,
    senders: Cell<usize>,
}

/// A connection.
struct Conn {
    state: RefCell<State>,
    task: Cell<Option<AbortHandle>>,
}

struct State {
    /// None once it has ended.
    codec: Option<Connection>,
    /// What its senders have asked for last, by their place.
    exchanges: Vec<Exchange>,
    /// The places of open streams, by the codec's slot. A slot is used again as soon as its stream has ended, which may
    /// be before its sender has looked.
    places: Vec<usize>,
    /// Wakes the driver.
    driver: Option<Waker>,
    /// Senders that wait until the server allows one more stream.
    crowded: VecDeque<Waker>,
}

/// A stream as its sender sees it.
#[derive(Default)]
struct Exchange {
    stream: Option<StreamId>,
    waker: Option<Waker>,
    kind: Kind,
    keeps: Keeps,
    answer: Answer,
    ended: Option<Ended>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// With a whole answer.
    Answered,
    /// The server has done nothing for it: another connection may.
    Refused,
    Failed(ErrorKind),
}

/// On how many connections a request is tried when servers refuse it.
const TRIES: usize = 3;

/// What of an answer is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keeps {
    /// Its header fields.
    pub head: bool,
    /// Its body; with gRPC as far as the end of the first message.
    pub body: bool,
}

/// What came on a stream.
#[derive(Default)]
struct Answer {
    status: u16,
    grpc_status: Option<u16>,
    messages: Messages,
    head: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

/// A sender's place on a link.
pub(crate) struct Http2 {
    link: Rc<Link>,
    place: usize,
    deadline: Deadline,
    answer: Answer,
}

impl Http2 {
    /// A place on `link`.
    pub(crate) fn new(link: &Rc<Link>) -> Http2 {
        let place = link.senders.get();
        link.senders.set(place + 1);
        Http2 { link: link.clone(), place, deadline: Deadline::new(), answer: Answer::default() }
    }

    /// Opens the connection, where it is not open.
    pub(crate) async fn open(&self, worker: &Rc<Worker>) -> Result<(), ErrorKind> {
        self.link.ensure(worker).await.map(drop)
    }

    /// Sends `request` and reads the answer to its end; returns the status.
    pub(crate) async fn exchange(
        &mut self,
        worker: &Rc<Worker>,
        request: &Http2Request,
        keeps: Keeps,
        deadline: Instant,
    ) -> Result<u16, ErrorKind> {
        for _ in 0..TRIES {
            let connected = timeout_at(deadline.into(), self.link.ensure(worker));
            let conn = connected.await.unwrap_or(Err(ErrorKind::Timeout))?;
            let (place, limit) = (self.place, &mut self.deadline);
            conn.state.borrow_mut().begin(place, request.kind, keeps);
            let ended = poll_fn(|cx| {
                let polled = conn.state.borrow_mut().advance(place, request, cx);
                match polled {
                    Poll::Ready(ended) => Poll::Ready(ended),
                    Poll::Pending => limit.poll(deadline, cx).map(|()| Ended::Failed(ErrorKind::Timeout)),
                }
            })
            .await;
            self.answer = conn.state.borrow_mut().close(place);
            match ended {
                Ended::Answered => return self.status(request.kind),
                Ended::Failed(error) => return Err(error),
                Ended::Refused => {}
            }
        }
        Err(ErrorKind::Closed)
    }

    fn status(&self, kind: Kind) -> Result<u16, ErrorKind> {
        let messages = &self.answer.messages;
        match (kind, self.answer.status, self.answer.grpc_status) {
            (Kind::Http, status, _) => Ok(status),
            (_, _, Some(0)) if !messages.is_whole() => Err(ErrorKind::Protocol),
            (Kind::Call, _, Some(0)) if messages.count() != 1 => Err(ErrorKind::Protocol),
            (_, _, Some(status)) => Ok(status),
            (_, 200, None) => Err(ErrorKind::Protocol),
            // An intermediary has answered in the server's stead.
            (_, status, None) => Ok(grpc::status_of_http(status)),
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
    /// A connection that takes streams, if not now, then soon.
    async fn ensure(&self, worker: &Rc<Worker>) -> Result<Rc<Conn>, ErrorKind> {
        if let Some(conn) = self.usable() {
            return Ok(conn);
        }
        let _opening = self.opening.lock().await;
        if let Some(conn) = self.usable() {
            return Ok(conn);
        }
        let socket = worker.connect().await?;
        let conn = Rc::new(Conn { state: RefCell::new(State::new(self.senders.get())), task: Cell::new(None) });
        let driver = Driver { conn: conn.clone(), worker: worker.clone(), socket, left: Vec::new() };
        conn.task.set(Some(spawn_local(driver.run()).abort_handle()));
        // Streams of the last one still end there.
        *self.current.borrow_mut() = Some(conn.clone());
        Ok(conn)
    }

    fn usable(&self) -> Option<Rc<Conn>> {
        let current = self.current.borrow();
        current.as_ref().filter(|conn| conn.state.borrow().takes_streams()).cloned()
    }
}

/// The driver of a link that nobody uses any more goes with it.
impl Drop for Link {
    fn drop(&mut self) {
        if let Some(task) = self.current.get_mut().take().and_then(|conn| conn.task.take()) {
            task.abort();
        }
    }
}

impl State {
    fn new(senders: usize) -> State {
        State {
            codec: Some(Connection::new(Settings::default())),
            exchanges: (0..senders).map(|_| Exchange::default()).collect(),
            places: Vec::new(),
            driver: None,
            crowded: VecDeque::new(),
        }
    }

    fn takes_streams(&self) -> bool {
        self.codec.as_ref().is_some_and(|codec| !codec.is_closing())
    }

    fn begin(&mut self, place: usize, kind: Kind, keeps: Keeps) {
        self.exchanges[place] = Exchange { kind, keeps, ..Exchange::default() };
    }

    /// Opens the stream, once there is room for it, and looks whether it has ended.
    fn advance(&mut self, place: usize, request: &Http2Request, cx: &Context<'_>) -> Poll<Ended> {
        let exchange = &mut self.exchanges[place];
        if let Some(ended) = exchange.ended {
            return Poll::Ready(ended);
        }
        exchange.waker = Some(cx.waker().clone());
        if exchange.stream.is_some() {
            return Poll::Pending;
        }
        let Some(codec) = &mut self.codec else { return Poll::Ready(Ended::Refused) };
        match codec.open(&request.head, request.body.clone()) {
            Some(stream) => {
                exchange.stream = Some(stream);
                if self.places.len() <= stream.slot() {
                    self.places.resize(stream.slot() + 1, place);
                }
                self.places[stream.slot()] = place;
                self.wake_driver();
            }
            None if codec.is_closing() => return Poll::Ready(Ended::Refused),
            None => self.crowded.push_back(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes what has come; a stream that has not ended, or not well, is reset.
    fn close(&mut self, place: usize) -> Answer {
        let exchange = std::mem::take(&mut self.exchanges[place]);
        if let (Some(stream), None | Some(Ended::Failed(_)), Some(codec)) =
            (exchange.stream, exchange.ended, &mut self.codec)
        {
            codec.reset(stream, Code::CANCEL);
            self.wake_driver();
        }
        self.let_in();
        exchange.answer
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
        for exchange in self.exchanges.iter_mut().filter(|exchange| exchange.stream.is_some()) {
            exchange.end(Ended::Failed(error));
        }
        self.let_in();
    }
}

impl Exchange {
    fn end(&mut self, ended: Ended) {
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
        let kept = match self.kind {
            Kind::Http => self.keeps.body,
            // Only the first message of a stream is looked at, however long it goes on.
            Kind::Call | Kind::Stream => self.keeps.body && self.answer.messages.count() == 0,
        };
        // What an intermediary sends in the server's stead has no messages.
        let has_messages = self.kind != Kind::Http && self.answer.status == 200;
        if has_messages && self.answer.messages.feed(data).is_err() {
            self.end(Ended::Failed(ErrorKind::Protocol));
        }
        if kept {
            self.answer.body.extend_from_slice(data);
            if self.answer.body.len() > MAX_KEPT {
                self.end(Ended::Failed(ErrorKind::Protocol));
            }
        }
    }
}

/// Takes what came on a stream to its exchange.
fn note(exchanges: &mut [Exchange], places: &[usize], event: &Event<'_>) {
    let stream = match event {
        Event::Head { stream, .. }
        | Event::Data { stream, .. }
        | Event::Trailers { stream, .. }
        | Event::Reset { stream, .. }
        | Event::Failed { stream, .. } => *stream,
        // Streams that the server will not answer are reset one by one.
        Event::GoAway { .. } => return,
    };
    let Some(exchange) = places.get(stream.slot()).and_then(|place| exchanges.get_mut(*place)) else { return };
    if exchange.stream != Some(stream) {
        // Its sender has given it up: what was on its way is of no interest.
        return;
    }
    match event {
        Event::Head { status, fields, .. } => {
            exchange.answer.status = *status;
            exchange.fields(fields);
        }
        Event::Data { data, .. } => exchange.data(data),
        Event::Trailers { fields, .. } => exchange.fields(fields),
        Event::Reset { code: Code::REFUSED_STREAM, .. } => exchange.end(Ended::Refused),
        Event::Reset { .. } => exchange.end(Ended::Failed(ErrorKind::Closed)),
        Event::Failed { .. } => exchange.end(Ended::Failed(ErrorKind::Protocol)),
        Event::GoAway { .. } => {}
    }
    if matches!(event, Event::Head { end: true, .. } | Event::Data { end: true, .. } | Event::Trailers { .. }) {
        exchange.end(Ended::Answered);
    }
}

/// Moves bytes between a socket and its connection.
struct Driver {
    conn: Rc<Conn>,
    worker: Rc<Worker>,
    socket: Socket,
    /// The beginning of a frame whose rest has not come.
    left: Vec<u8>,
}

impl Driver {
    async fn run(mut self) {
        let error = poll_fn(|cx| self.poll(cx)).await;
        self.conn.state.borrow_mut().fail(error);
        self.worker.closed();
    }

    /// Ready when the connection has ended, with what its open streams fail with.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ErrorKind> {
        let state = &mut *self.conn.state.borrow_mut();
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
        let (exchanges, places) = (&mut state.exchanges, &state.places);
        let mut on = |event: Event<'_>| note(exchanges, places, &event);
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
