//! The streams of a connection.
//!
//! What is known of an open stream stands in a slot, of which there are as many as streams were ever open at a time.
//! Ids are ascending odd numbers, so that a queue with one number for each id since the oldest open one leads from an
//! id to its slot. It remembers some streams that ended, to tell late frames from wrong ones.

use std::collections::VecDeque;

use bytes::Bytes;

use super::flow::{ReceiveWindow, SendWindow};

/// How many ids the queue goes back at least.
const HISTORY: usize = 128;
/// How many ids it holds at most: then the oldest stream has to end before another can be opened.
const SPAN: usize = 1 << 20;

/// Where the queue has no slot: the stream was reset, and the peer's frames may have crossed that.
const RESET: u32 = u32::MAX;
/// Where the queue has no slot: the peer has ended the stream.
const ENDED: u32 = u32::MAX - 1;

/// A stream. [`slot`](StreamId::slot) is a small number that no other open stream has: callers can keep what they know
/// of a stream in a `Vec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId {
    id: u32,
    slot: u32,
}

impl StreamId {
    /// The stream's number in the protocol.
    pub fn id(self) -> u32 {
        self.id
    }

    /// A number below the largest count of streams that were open at a time, used again after the stream has ended.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// What is known of an open stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// Whether the head of the answer has come.
    pub(super) answered: bool,
    /// Whether the answer has no content whatever its `content-length`.
    pub(super) no_content: bool,
    /// Whether it waits for its turn to send.
    pub(super) queued: bool,
    /// What is left of the request's body; empty once END_STREAM has been sent.
    pub(super) body: Bytes,
    /// What is left of the answer's `content-length`.
    pub(super) left: Option<u64>,
    pub(super) send: SendWindow,
    pub(super) receive: ReceiveWindow,
}

/// What an id that came from the peer stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Open(StreamId),
    /// It was reset, or ended long ago.
    Gone,
    /// The peer has ended it.
    Ended,
    /// It was never opened.
    Idle,
}

#[derive(Debug)]
pub(super) struct Streams {
    /// A slot is free when the id of its stream is 0.
    slots: Vec<Stream>,
    free: Vec<u32>,
    /// Slots by id, beginning with `first`.
    queue: VecDeque<u32>,
    first: u32,
}

impl Streams {
    pub(super) fn new() -> Streams {
        Streams { slots: Vec::new(), free: Vec::new(), queue: VecDeque::with_capacity(2 * HISTORY), first: 1 }
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// How many more ids there are.
    pub(super) fn ids_left(&self) -> usize {
        (((1 << 31) + 1 - self.first) / 2) as usize - self.queue.len()
    }

    /// How many more ids can be followed.
    pub(super) fn room(&self) -> usize {
        self.ids_left().min(SPAN.saturating_sub(self.queue.len()))
    }

    /// Opens a stream; there has to be [`room`](Streams::room).
    pub(super) fn insert(
        &mut self,
        no_content: bool,
        body: Bytes,
        send: SendWindow,
        receive: ReceiveWindow,
    ) -> StreamId {
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        let id = StreamId { id: self.first + 2 * self.queue.len() as u32, slot };
        let stream = Stream { id, answered: false, no_content, queued: false, body, left: None, send, receive };
        match self.slots.get_mut(id.slot()) {
            Some(free) => *free = stream,
            None => self.slots.push(stream),
        }
        self.queue.push_back(slot);
        id
    }

    /// What `id` stands for.
    pub(super) fn find(&self, id: u32) -> Found {
        if id.is_multiple_of(2) {
            return Found::Idle;
        }
        let Some(nth) = id.checked_sub(self.first) else { return Found::Gone };
        match self.queue.get(nth as usize / 2) {
            None => Found::Idle,
            Some(&RESET) => Found::Gone,
            Some(&ENDED) => Found::Ended,
            Some(&slot) => Found::Open(StreamId { id, slot }),
        }
    }

    /// The stream `id`, as long as it is open.
    pub(super) fn get(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.slots.get_mut(id.slot()).filter(|stream| stream.id == id)
    }

    /// All that are open.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.slots.iter_mut().filter(|stream| stream.id.id != 0)
    }

    /// Closes a stream that is open: `ended` by the peer, else reset by either side.
    pub(super) fn close(&mut self, id: StreamId, ended: bool) {
        let Some(stream) = self.get(id) else { return };
        stream.id.id = 0;
        stream.body = Bytes::new();
        self.free.push(id.slot);
        if let Some(slot) = self.queue.get_mut((id.id - self.first) as usize / 2) {
            *slot = if ended { ENDED } else { RESET };
        }
        while self.queue.len() > HISTORY && matches!(self.queue.front(), Some(&(RESET | ENDED))) {
            self.queue.pop_front();
            self.first += 2;
        }
    }

    #[cfg(test)]
    pub(super) fn skip_to(&mut self, id: u32) {
        self.first = id;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(streams: &mut Streams) -> StreamId {
        streams.insert(false, Bytes::new(), SendWindow::new(0), ReceiveWindow::new(0))
    }

    #[test]
    fn ids_ascend_and_slots_are_used_again() {
        let mut streams = Streams::new();
        let first = insert(&mut streams);
        let second = insert(&mut streams);
        assert_eq!([(first.id(), first.slot()), (second.id(), second.slot())], [(1, 0), (3, 1)]);
        streams.close(first, true);
        streams.close(first, false);
        let third = insert(&mut streams);
        assert_eq!((third.id(), third.slot(), streams.open()), (5, 0, 2));
        assert!(streams.get(first).is_none());
        assert_eq!(
            [1, 3, 5, 7, 4].map(|id| streams.find(id)),
            [Found::Ended, Found::Open(second), Found::Open(third), Found::Idle, Found::Idle]
        );
    }

    #[test]
    fn one_that_never_ends_costs_a_number_for_each_after_it() {
        let mut streams = Streams::new();
        let stuck = insert(&mut streams);
        for _ in 0..SPAN - 1 {
            assert!(streams.room() > 0);
            let id = insert(&mut streams);
            streams.close(id, false);
        }
        assert_eq!((streams.room(), streams.slots(), streams.find(1)), (0, 2, Found::Open(stuck)));
        streams.close(stuck, true);
        assert_eq!((streams.room(), streams.queue.len()), (SPAN - HISTORY, HISTORY));
        assert_eq!([streams.find(1), streams.find(2 * SPAN as u32 - 1)], [Found::Gone; 2]);
    }

    #[test]
    fn ids_run_out() {
        let mut streams = Streams::new();
        streams.skip_to((1 << 31) - 3);
        assert_eq!(streams.ids_left(), 2);
        assert_eq!([insert(&mut streams).id(), insert(&mut streams).id()], [(1 << 31) - 3, (1 << 31) - 1]);
        assert_eq!(streams.ids_left(), 0);
    }
}
