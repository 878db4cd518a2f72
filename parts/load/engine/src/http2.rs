//! Connections that speak HTTP/2, shared by as many senders as they carry streams.
//!
//! A sender asks its [`Link`] for a stream and sleeps. There is one at once, or it stands in the link's line (desk.rs),
//! first come, first served; no stream is opened before the server has told how many it allows. The connection's driver
//! (driver.rs), one task, opens streams for those in the line, writes what all of them have left in the output, reads
//! answers and wakes the senders whose streams have ended. When a connection takes no more streams, those that are open
//! end there, and the senders in the line open another one. gRPC is HTTP/2 whose status stands in trailers.
//!
//! A server that refuses a stream has done nothing for it: it is asked again until the request's time is over, before
//! all others, but not in a hot loop. What a server can make this side keep is bounded: streams wait in the line, not
//! in the output, and a connection on which nothing can be written for as long as a request may take is given up.

mod desk;
mod driver;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use purlin_load_model::tally::ErrorKind;
use purlin_load_wire::h2::{Code, Connection, Settings, StreamId};
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{sleep_until, timeout_at};

use self::desk::{Answer, Desk, Ended};
use self::driver::Driver;
use crate::connect::Socket;
use crate::deadline::Deadline;
use crate::grpc;
use crate::wire::{Http2Request, Kind};
use crate::worker::Worker;

/// No stream is opened while so much waits to be written. The codec lets bodies fill less, so that they cannot keep
/// requests out.
const ENOUGH: usize = 256 * 1024;
/// How long a sender waits before it asks again for what was refused; doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What a few senders share: a connection, the next one once that takes no more streams, and the line for streams.
#[derive(Default)]
pub(crate) struct Link {
    desk: Rc<RefCell<Desk>>,
    current: RefCell<Option<Rc<Conn>>>,
    /// Held by the sender that opens it.
    opening: Mutex<()>,
}

/// A connection.
struct Conn {
    state: RefCell<State>,
    task: Cell<Option<AbortHandle>>,
}

struct State {
    /// None once it has ended.
    codec: Option<Connection>,
    /// The places of open streams, by the codec's slot. A slot is used again as soon as its stream has ended, which may
    /// be before its sender has looked.
    places: Vec<usize>,
    /// Whether it ever had a stream.
    used: bool,
    /// Wakes the driver.
    driver: Option<Waker>,
}

/// What of an answer is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keeps {
    /// Its header fields.
    pub head: bool,
    /// Its body; with gRPC as far as the end of the first message.
    pub body: bool,
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
        let place = link.desk.borrow_mut().add();
        Http2 { link: link.clone(), place, deadline: Deadline::new(), answer: Answer::default() }
    }

    /// Opens the connection, where it is not open.
    pub(crate) async fn open(&self, worker: &Rc<Worker>) -> Result<(), ErrorKind> {
        self.link.ensure(worker, self.place).await
    }

    /// Sends `request` and reads the answer to its end; returns the status.
    pub(crate) async fn exchange(
        &mut self,
        worker: &Rc<Worker>,
        request: &Http2Request,
        keeps: Keeps,
        deadline: Instant,
    ) -> Result<u16, ErrorKind> {
        let mut refusals = 0;
        loop {
            self.link.ask(self.place, request, keeps, refusals > 0);
            let ended = self.end(worker, deadline).await;
            self.answer = self.link.close(self.place);
            match ended {
                Ended::Answered => return self.status(request.kind),
                Ended::Failed(error) => return Err(error),
                Ended::Refused => {}
            }
            // A server that says goodbye refuses what it will not answer: the next connection may at once.
            if refusals > 0 || self.link.usable().is_some() {
                sleep_until((Instant::now() + pause(refusals)).min(deadline).into()).await;
            }
            if Instant::now() >= deadline {
                return Err(ErrorKind::Timeout);
            }
            refusals += 1;
        }
    }

    /// Waits until what was asked for has ended, and opens a connection when there is none to wait for.
    async fn end(&mut self, worker: &Rc<Worker>, deadline: Instant) -> Ended {
        let Http2 { link, place, deadline: limit, .. } = self;
        loop {
            let ended = poll_fn(|cx| match link.poll(*place, cx) {
                Poll::Ready(ended) => Poll::Ready(ended),
                Poll::Pending => limit.poll(deadline, cx).map(|()| Some(Ended::Failed(ErrorKind::Timeout))),
            });
            if let Some(ended) = ended.await {
                return ended;
            }
            let connected = timeout_at(deadline.into(), link.ensure(worker, *place)).await;
            if let Err(error) = connected.unwrap_or(Err(ErrorKind::Timeout)) {
                return Ended::Failed(error);
            }
        }
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

/// How long to wait after so many refusals before the last.
fn pause(refusals: u32) -> Duration {
    SHORTEST_PAUSE.saturating_mul(1 << refusals.min(16)).min(LONGEST_PAUSE)
}

impl Link {
    /// Sees to it that there is a connection that takes streams, if not now, then soon, as long as `place` needs one.
    async fn ensure(&self, worker: &Rc<Worker>, place: usize) -> Result<(), ErrorKind> {
        if self.usable().is_some() {
            return Ok(());
        }
        let _opening = self.opening.lock().await;
        if self.usable().is_some() || self.desk.borrow().has_ended(place) {
            return Ok(());
        }
        let socket = worker.connect().await?;
        self.drive(worker, socket);
        Ok(())
    }

    /// Makes `socket` the connection that takes streams. Those of the last one still end there.
    fn drive(&self, worker: &Rc<Worker>, socket: Socket) {
        let conn = Rc::new(Conn { state: RefCell::new(State::new()), task: Cell::new(None) });
        let driver = Driver::new(&conn, &self.desk, worker, socket);
        conn.task.set(Some(spawn_local(driver.run()).abort_handle()));
        *self.current.borrow_mut() = Some(conn);
    }

    fn usable(&self) -> Option<Rc<Conn>> {
        let current = self.current.borrow();
        current.as_ref().filter(|conn| conn.state.borrow().takes_streams()).cloned()
    }

    /// Opens a stream, or lets `place` wait for one: behind all others, or before them when it is its turn `again`.
    fn ask(&self, place: usize, request: &Http2Request, keeps: Keeps, again: bool) {
        let desk = &mut *self.desk.borrow_mut();
        desk.begin(place, request.kind, keeps);
        if (again || desk.is_free())
            && let Some(conn) = self.usable()
        {
            let state = &mut *conn.state.borrow_mut();
            if let Some(stream) = state.open(place, request) {
                desk.opened(place, conn.clone(), stream);
                state.wake_driver();
                return;
            }
        }
        desk.wait(place, request.clone(), again);
    }

    /// Ready when what `place` has asked for has ended, or, with `None`, when there is no connection for it.
    fn poll(&self, place: usize, cx: &std::task::Context<'_>) -> Poll<Option<Ended>> {
        self.desk.borrow_mut().poll(place, cx, || self.usable().is_some())
    }

    /// Takes what has come; a stream that has not ended, or not well, is reset.
    fn close(&self, place: usize) -> Answer {
        let (answer, unwanted) = self.desk.borrow_mut().close(place);
        if let Some((conn, stream)) = unwanted {
            let state = &mut *conn.state.borrow_mut();
            if let Some(codec) = &mut state.codec {
                codec.reset(stream, Code::CANCEL);
                state.wake_driver();
            }
        }
        answer
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
    fn new() -> State {
        State { codec: Some(Connection::new(Settings::default())), places: Vec::new(), used: false, driver: None }
    }

    fn takes_streams(&self) -> bool {
        self.codec.as_ref().is_some_and(|codec| !codec.is_closing())
    }

    /// Opens a stream for `place` if the server allows one more and reads what it is sent.
    fn open(&mut self, place: usize, request: &Http2Request) -> Option<StreamId> {
        let codec = self.codec.as_mut().filter(|codec| codec.unwritten() < ENOUGH)?;
        let stream = codec.open(&request.head, request.body.clone())?;
        self.used = true;
        if self.places.len() <= stream.slot() {
            self.places.resize(stream.slot() + 1, place);
        }
        self.places[stream.slot()] = place;
        Some(stream)
    }

    fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }
}
