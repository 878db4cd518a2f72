//! The task of a connection: moves bytes between its socket and its codec.
//!
//! A turn reads, lets those in who wait for a stream, and writes; what was read may be answered by the same write. It
//! is short whatever the server sends: then timers and other connections have theirs, so that no flood holds up a
//! deadline.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Buf as _;
use purlin_load_model::tally::ErrorKind;
use purlin_load_wire::h2::{Connection, Event};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::task::yield_now;

use super::desk::Desk;
use super::{Conn, State};
use crate::connect::Socket;
use crate::deadline::Deadline;
use crate::worker::Worker;

/// How often a turn reads, and how often it writes, at most. Below tokio's own limit for a task, which would end in the
/// middle of a turn and let a server that never stops sending keep it from writing.
const ROUNDS: usize = 4;

/// Moves bytes between a socket and its connection.
pub(super) struct Driver {
    conn: Rc<Conn>,
    desk: Rc<RefCell<Desk>>,
    worker: Rc<Worker>,
    pipe: Pipe,
    opened: Instant,
    limit: Deadline,
    /// Whether those in the line know that it takes no more streams.
    told: bool,
}

/// A socket, and what is half done.
struct Pipe {
    socket: Socket,
    /// The beginning of a frame whose rest has not come.
    left: Vec<u8>,
    /// Since when nothing could be written of what is there to be.
    blocked: Option<Instant>,
}

/// What a turn works on.
struct Turn<'a> {
    conn: &'a Rc<Conn>,
    state: &'a mut State,
    desk: &'a mut Desk,
    worker: &'a Worker,
}

/// How reading, writing, or a whole turn ended.
pub(super) enum Done {
    /// There is nothing to do until the socket or a sender wakes the driver.
    Idle,
    /// There is more to do.
    Busy,
    /// The connection has ended, and with that its streams.
    Ended(ErrorKind),
}

impl Driver {
    pub(super) fn new(conn: &Rc<Conn>, desk: &Rc<RefCell<Desk>>, worker: &Rc<Worker>, socket: Socket) -> Driver {
        Driver {
            conn: conn.clone(),
            desk: desk.clone(),
            worker: worker.clone(),
            pipe: Pipe { socket, left: Vec::new(), blocked: None },
            opened: Instant::now(),
            limit: Deadline::new(),
            told: false,
        }
    }

    /// Runs until the connection has ended.
    pub(super) async fn run(mut self) {
        let polled = |driver: &mut Driver, cx: &mut Context<'_>| match driver.turn(cx) {
            Done::Idle => Poll::Pending,
            Done::Busy => Poll::Ready(None),
            Done::Ended(error) => Poll::Ready(Some(error)),
        };
        let error = loop {
            match poll_fn(|cx| polled(&mut self, cx)).await {
                Some(error) => break error,
                None => yield_now().await,
            }
        };
        self.end(error);
    }

    fn end(&self, error: ErrorKind) {
        let (state, desk) = (&mut *self.conn.state.borrow_mut(), &mut *self.desk.borrow_mut());
        state.codec = None;
        desk.fail(&self.conn, error);
        match error {
            // That took its time: there is no harm in another connection.
            ErrorKind::Timeout => desk.wake_line(),
            _ if state.used => desk.wake_line(),
            error => desk.fail_line(error),
        }
        self.worker.closed();
    }

    pub(super) fn turn(&mut self, cx: &mut Context<'_>) -> Done {
        let (state, desk) = (&mut *self.conn.state.borrow_mut(), &mut *self.desk.borrow_mut());
        state.driver = Some(cx.waker().clone());
        let turn = &mut Turn { conn: &self.conn, state, desk, worker: &self.worker };
        let read = self.pipe.read(turn, cx);
        if let Done::Ended(error) = read {
            return Done::Ended(error);
        }
        let written = self.pipe.write(turn, cx);
        let Some(codec) = &turn.state.codec else { return Done::Ended(ErrorKind::Closed) };
        if codec.is_closing() {
            if codec.streams() == 0 {
                return Done::Ended(ErrorKind::Closed);
            }
            if !std::mem::replace(&mut self.told, true) {
                turn.desk.wake_line();
            }
        }
        // A server that does not tell its settings, or reads nothing, for as long as a request may take.
        let since = if codec.is_ready() { self.pipe.blocked } else { Some(self.opened) };
        if let Some(since) = since
            && self.limit.poll(since + self.worker.plan.timeout, cx).is_ready()
        {
            return Done::Ended(ErrorKind::Timeout);
        }
        if matches!(read, Done::Busy) { read } else { written }
    }
}

impl Pipe {
    fn read(&mut self, turn: &mut Turn<'_>, cx: &mut Context<'_>) -> Done {
        let buffer = &mut *turn.worker.buffer.borrow_mut();
        for _ in 0..ROUNDS {
            let Some(codec) = &mut turn.state.codec else { return Done::Ended(ErrorKind::Closed) };
            let mut into = ReadBuf::new(buffer);
            match Pin::new(&mut self.socket).poll_read(cx, &mut into) {
                Poll::Pending => return Done::Idle,
                Poll::Ready(Ok(())) if !into.filled().is_empty() => {}
                Poll::Ready(_) => return Done::Ended(ErrorKind::Closed),
            }
            let read = into.filled();
            turn.worker.tally.borrow_mut().bytes_received += read.len() as u64;
            let (conn, desk, places) = (turn.conn, &mut *turn.desk, &turn.state.places);
            if !feed(codec, &mut self.left, read, |event| desk.note(conn, places, &event)) {
                // What the codec has to say about it is written as far as it can be.
                self.write(turn, cx);
                return Done::Ended(ErrorKind::Protocol);
            }
        }
        Done::Busy
    }

    fn write(&mut self, turn: &mut Turn<'_>, cx: &mut Context<'_>) -> Done {
        for _ in 0..ROUNDS {
            turn.desk.let_in(turn.conn, turn.state);
            let Some(codec) = &mut turn.state.codec else { return Done::Ended(ErrorKind::Closed) };
            let output = codec.output();
            // What TLS still has of what was written has to be flushed out, however long ago that was.
            let polled = match output.is_empty() {
                true => Pin::new(&mut self.socket).poll_flush(cx).map_ok(|()| 0),
                false => Pin::new(&mut self.socket).poll_write(cx, output),
            };
            match polled {
                Poll::Pending => {
                    self.blocked.get_or_insert_with(Instant::now);
                    return Done::Idle;
                }
                Poll::Ready(Ok(0)) if output.is_empty() => {
                    self.blocked = None;
                    return Done::Idle;
                }
                Poll::Ready(Ok(0) | Err(_)) => return Done::Ended(ErrorKind::Closed),
                Poll::Ready(Ok(written)) => {
                    self.blocked = None;
                    output.advance(written);
                    turn.worker.tally.borrow_mut().bytes_sent += written as u64;
                }
            }
        }
        Done::Busy
    }
}

/// Takes what was read, after what was left before, to the codec; false when it breaks the rules.
fn feed(codec: &mut Connection, left: &mut Vec<u8>, read: &[u8], mut on: impl FnMut(Event<'_>)) -> bool {
    let fed = if left.is_empty() {
        codec.feed(read, &mut on).map(|taken| left.extend_from_slice(read.get(taken..).unwrap_or_default()))
    } else {
        left.extend_from_slice(read);
        codec.feed(left, &mut on).map(|taken| drop(left.drain(..taken)))
    };
    fed.is_ok()
}
