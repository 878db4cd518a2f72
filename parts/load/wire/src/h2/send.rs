//! What goes to the peer: requests, and the pieces of their bodies that its windows allow.

use bytes::{Buf, Bytes, BytesMut};

use super::flow::{self, ReceiveWindow};
use super::frame::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHead, GOAWAY, HEADERS, RST_STREAM, SETTINGS,
    SETTINGS_ENABLE_PUSH, SETTINGS_INITIAL_WINDOW_SIZE, SETTINGS_MAX_FRAME_SIZE, SETTINGS_MAX_HEADER_LIST_SIZE,
    WINDOW_UPDATE,
};
use super::{Code, Connection, ConnectionError, MAX_REPLIES, Settings, State, StreamId};
use crate::hpack::Head;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bodies wait when this much lies in the output.
const ENOUGH: usize = 128 * 1024;
/// The longest piece of a body, so that streams take turns even where the peer takes huge frames.
const LONGEST_DATA: usize = 64 * 1024;

/// Bytes to write, and how many of the frames in it answer frames of the peer.
#[derive(Debug)]
pub(super) struct Output {
    bytes: BytesMut,
    /// All that was ever put into `bytes`.
    total: u64,
    replies: u32,
    /// What `total` was when `replies` began to count.
    since: u64,
}

impl Output {
    /// The preface of the connection (RFC 9113, section 3.4).
    pub(super) fn new(settings: &Settings) -> Output {
        let mut output = Output { bytes: BytesMut::with_capacity(4096), total: 0, replies: 0, since: 0 };
        let values = [
            (SETTINGS_ENABLE_PUSH, 0),
            (SETTINGS_INITIAL_WINDOW_SIZE, settings.stream_window),
            (SETTINGS_MAX_FRAME_SIZE, settings.max_frame_size),
            (SETTINGS_MAX_HEADER_LIST_SIZE, settings.max_header_list),
        ];
        output.put(PREFACE);
        output.put(&FrameHead { length: 6 * values.len(), kind: SETTINGS, flags: 0, stream: 0 }.octets());
        for (id, value) in values {
            output.put(&id.to_be_bytes());
            output.put(&value.to_be_bytes());
        }
        if settings.connection_window > flow::DEFAULT {
            output.frame(WINDOW_UPDATE, 0, 0, &(settings.connection_window - flow::DEFAULT).to_be_bytes());
        }
        output
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.total += bytes.len() as u64;
    }

    /// Adds a frame; its payload is no longer than the peer allows.
    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.put(&FrameHead { length: payload.len(), kind, flags, stream }.octets());
        self.put(payload);
    }

    /// Adds a frame that a frame of the peer calls for. A peer that reads nothing cannot call for more and more.
    pub(super) fn reply(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<(), ConnectionError> {
        let written = self.total - self.bytes.len() as u64;
        if written >= self.since {
            (self.since, self.replies) = (self.total, 0);
        }
        self.replies += 1;
        if self.replies > MAX_REPLIES {
            let reason = "the peer calls for answers faster than it reads them";
            return Err(ConnectionError { code: Code::ENHANCE_YOUR_CALM, reason });
        }
        self.frame(kind, flags, stream, payload);
        Ok(())
    }
}

impl Connection {
    /// Sends a request; an empty body is none. `None` when there is no [`capacity`](Connection::capacity).
    pub fn open(&mut self, head: &Head, body: Bytes) -> Option<StreamId> {
        if self.capacity() == 0 {
            return None;
        }
        self.noise = 0;
        let receive = ReceiveWindow::new(self.settings.stream_window);
        let send = flow::SendWindow::new(self.peer.initial_window);
        let has_body = !body.is_empty();
        let stream = self.streams.insert(head.no_content(), body, send, receive);
        let end = if has_body { 0 } else { END_STREAM };
        if head.len() <= self.peer.max_frame_size && !self.peer.shrinks_table {
            self.output.frame(HEADERS, end | END_HEADERS, stream.id(), head.block());
        } else {
            self.send_in_pieces(head, end, stream.id());
        }
        if has_body {
            self.enqueue(stream);
        }
        Some(stream)
    }

    /// Sends a head that does not fit in a frame, or has to say first that the dynamic table is not used.
    fn send_in_pieces(&mut self, head: &Head, end: u8, stream: u32) {
        let mut block = Vec::with_capacity(head.len() + 1);
        if std::mem::take(&mut self.peer.shrinks_table) {
            block.push(0x20);
        }
        block.extend_from_slice(head.block());
        let mut pieces = block.chunks(self.peer.max_frame_size).peekable();
        let (mut kind, mut flags) = (HEADERS, end);
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            self.output.frame(kind, flags | last, stream, piece);
            (kind, flags) = (CONTINUATION, 0);
        }
    }

    /// Ends a stream before its answer has come; nothing more is heard of it.
    pub fn reset(&mut self, stream: StreamId, code: Code) {
        if self.streams.get(stream).is_some() {
            self.output.frame(RST_STREAM, 0, stream.id(), &code.0.to_be_bytes());
            self.streams.close(stream, false);
        }
    }

    /// Tells the peer that no more streams will be opened. Those that are open go on.
    pub fn goaway(&mut self, code: Code) {
        if !matches!(self.state, State::Closing | State::Failed(_)) {
            self.state = State::Closing;
            self.send_goaway(code);
        }
    }

    pub(super) fn send_goaway(&mut self, code: Code) {
        // The last stream of the peer's that was looked at: it can open none.
        let payload = u64::from(code.0).to_be_bytes();
        self.output.frame(GOAWAY, 0, 0, &payload);
    }

    /// The bytes to write; what has been written is to be taken off their beginning. Large bodies are put into it
    /// bit by bit: call it again when all has been written, until it is empty.
    pub fn output(&mut self) -> &mut BytesMut {
        if !self.waiting.is_empty() {
            self.send_data();
        }
        &mut self.output.bytes
    }

    /// How many bytes wait to be written. Requests are put there however many there are: who opens streams for a peer
    /// that does not read looks here first.
    pub fn unwritten(&self) -> usize {
        self.output.bytes.len()
    }

    /// Moves data to the output, a frame of each stream in turn, as long as the peer's windows and `ENOUGH` allow.
    fn send_data(&mut self) {
        while let Some(&id) = self.waiting.front() {
            let Some(stream) = self.streams.get(id) else {
                self.waiting.pop_front();
                continue;
            };
            let allowed = stream.send.available();
            if allowed == 0 {
                stream.queued = false;
                self.waiting.pop_front();
                continue;
            }
            if self.output.bytes.len() >= ENOUGH || self.send.available() == 0 {
                break;
            }
            let most = self.send.available().min(self.peer.max_frame_size).min(LONGEST_DATA);
            let length = stream.body.len().min(allowed).min(most);
            let last = length == stream.body.len();
            let flags = if last { END_STREAM } else { 0 };
            self.output.frame(DATA, flags, id.id(), &stream.body[..length]);
            self.send.take(length);
            stream.send.take(length);
            stream.body.advance(length);
            self.noise = 0;
            self.waiting.pop_front();
            if last {
                // Lets go of the caller's memory.
                stream.body = Bytes::new();
            } else {
                self.waiting.push_back(id);
            }
        }
    }

    /// Lets a stream that has data to send wait for its turn.
    pub(super) fn enqueue(&mut self, id: StreamId) {
        if self.waiting.len() > 2 * self.streams.slots() {
            // Streams that ended while the connection's window was used up.
            let streams = &mut self.streams;
            self.waiting.retain(|&waiting| streams.get(waiting).is_some());
        }
        if let Some(stream) = self.streams.get(id)
            && !stream.queued
            && !stream.body.is_empty()
        {
            stream.queued = true;
            self.waiting.push_back(id);
        }
    }
}
