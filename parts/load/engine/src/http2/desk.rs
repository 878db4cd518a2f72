//! What the senders of a link have asked for: what has come of it, and the line of those that wait for a stream.
//!
//! A request waits here, not in the output of a connection, until the server allows one more stream and reads what it
//! is sent; then the driver opens its stream, whoever is first. A line outlives its connections.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use purlin_load_model::tally::ErrorKind;
use purlin_load_wire::h2::{Code, Event, Fields, StreamId};

use super::{Conn, Keeps, State};
use crate::grpc;
use crate::grpc::messages::Messages;
use crate::wire::{Http2Request, Kind};

/// How much of an answer that is looked at is kept.
const MAX_KEPT: usize = 1 << 20;

/// What the senders of a link have asked for.
#[derive(Default)]
pub(super) struct Desk {
    /// What was asked for last, by place.
    exchanges: Vec<Exchange>,
    /// Places that wait for a stream, and their requests.
    line: VecDeque<(usize, Http2Request)>,
}

/// A request as its sender sees it.
#[derive(Default)]
struct Exchange {
    /// None while it stands in the line.
    stream: Option<(Rc<Conn>, StreamId)>,
    waker: Option<Waker>,
    kind: Kind,
    keeps: Keeps,
    answer: Answer,
    ended: Option<Ended>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With a whole answer.
    Answered,
    /// The server has done nothing for it: it can be sent again.
    Refused,
    Failed(ErrorKind),
}

/// What came on a stream.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) grpc_status: Option<u16>,
    pub(super) messages: Messages,
    pub(super) head: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl Desk {
    /// Adds a place.
    pub(super) fn add(&mut self) -> usize {
        self.exchanges.push(Exchange::default());
        self.exchanges.len() - 1
    }

    /// Whether nobody waits.
    pub(super) fn is_free(&self) -> bool {
        self.line.is_empty()
    }

    /// Makes `place` ready for its next answer.
    pub(super) fn begin(&mut self, place: usize, kind: Kind, keeps: Keeps) {
        self.exchanges[place] = Exchange { kind, keeps, ..Exchange::default() };
    }

    /// Lets `place` wait for a stream, behind all others or before them.
    pub(super) fn wait(&mut self, place: usize, request: Http2Request, first: bool) {
        match first {
            true => self.line.push_front((place, request)),
            false => self.line.push_back((place, request)),
        }
    }

    /// Notes that `place` has a stream.
    pub(super) fn opened(&mut self, place: usize, conn: Rc<Conn>, stream: StreamId) {
        self.exchanges[place].stream = Some((conn, stream));
    }

    /// Opens streams for those who wait, the first of them first, as long as there is room.
    pub(super) fn let_in(&mut self, conn: &Rc<Conn>, state: &mut State) {
        while let Some((place, request)) = self.line.front()
            && let Some(stream) = state.open(*place, request)
        {
            self.exchanges[*place].stream = Some((conn.clone(), stream));
            self.line.pop_front();
        }
    }

    /// Ready when the request of `place` has ended, or, with `None`, when it waits for a stream that nobody will open.
    pub(super) fn poll(
        &mut self,
        place: usize,
        cx: &Context<'_>,
        is_connected: impl Fn() -> bool,
    ) -> Poll<Option<Ended>> {
        let exchange = &mut self.exchanges[place];
        if exchange.ended.is_some() {
            return Poll::Ready(exchange.ended);
        }
        if exchange.stream.is_none() && !is_connected() {
            return Poll::Ready(None);
        }
        exchange.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether there is nothing to wait for any more.
    pub(super) fn has_ended(&self, place: usize) -> bool {
        self.exchanges[place].ended.is_some()
    }

    /// Takes what has come for `place`, and its stream if that has not ended, or not well.
    pub(super) fn close(&mut self, place: usize) -> (Answer, Option<(Rc<Conn>, StreamId)>) {
        let exchange = std::mem::take(&mut self.exchanges[place]);
        if exchange.stream.is_none() {
            self.line.retain(|(waiting, _)| *waiting != place);
        }
        let unwanted = exchange.stream.filter(|_| matches!(exchange.ended, None | Some(Ended::Failed(_))));
        (exchange.answer, unwanted)
    }

    /// Wakes those who wait: their connection takes no more streams.
    pub(super) fn wake_line(&mut self) {
        for (place, _) in &self.line {
            if let Some(waker) = self.exchanges[*place].waker.take() {
                waker.wake();
            }
        }
    }

    /// Whoever waits has failed: the server takes connections, and ends them before it takes a stream.
    pub(super) fn fail_line(&mut self, error: ErrorKind) {
        for (place, _) in self.line.drain(..) {
            self.exchanges[place].end(Ended::Failed(error));
        }
    }

    /// The streams of `conn` have failed.
    pub(super) fn fail(&mut self, conn: &Rc<Conn>, error: ErrorKind) {
        for exchange in &mut self.exchanges {
            if exchange.stream.as_ref().is_some_and(|(on, _)| Rc::ptr_eq(on, conn)) {
                exchange.end(Ended::Failed(error));
            }
        }
    }

    /// Takes what came on a stream of `conn` to its exchange.
    pub(super) fn note(&mut self, conn: &Rc<Conn>, places: &[usize], event: &Event<'_>) {
        let stream = match event {
            Event::Head { stream, .. }
            | Event::Data { stream, .. }
            | Event::Trailers { stream, .. }
            | Event::Reset { stream, .. }
            | Event::Failed { stream, .. } => *stream,
            // Streams that the server will not answer are reset one by one.
            Event::GoAway { .. } => return,
        };
        let place = places.get(stream.slot());
        let Some(exchange) = place.and_then(|place| self.exchanges.get_mut(*place)) else { return };
        match &exchange.stream {
            Some((on, id)) if *id == stream && Rc::ptr_eq(on, conn) => exchange.note(event),
            // Its sender has given it up: what was on its way is of no interest.
            _ => {}
        }
    }
}

#[cfg(test)]
impl Desk {
    /// The stream of `place`, as long as it is open; `None` where there is no such place.
    pub(super) fn stream(&self, place: usize) -> Option<Option<StreamId>> {
        let open = |exchange: &Exchange| {
            exchange.stream.as_ref().filter(|_| exchange.ended.is_none()).map(|(_, stream)| *stream)
        };
        self.exchanges.get(place).map(open)
    }
}

impl Exchange {
    fn end(&mut self, ended: Ended) {
        self.ended.get_or_insert(ended);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Head { status, fields, .. } => {
                self.answer.status = *status;
                self.fields(fields);
            }
            Event::Data { data, .. } => self.data(data),
            Event::Trailers { fields, .. } => self.fields(fields),
            Event::Reset { code: Code::REFUSED_STREAM, .. } => self.end(Ended::Refused),
            Event::Reset { .. } => self.end(Ended::Failed(ErrorKind::Closed)),
            Event::Failed { .. } => self.end(Ended::Failed(ErrorKind::Protocol)),
            Event::GoAway { .. } => {}
        }
        if matches!(event, Event::Head { end: true, .. } | Event::Data { end: true, .. } | Event::Trailers { .. }) {
            self.end(Ended::Answered);
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
        // Whatever comes between that end and the reset is not kept.
        if kept && self.ended.is_none() {
            self.answer.body.extend_from_slice(data);
            if self.answer.body.len() > MAX_KEPT {
                self.end(Ended::Failed(ErrorKind::Protocol));
            }
        }
    }
}
