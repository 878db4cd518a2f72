//! HTTP/2 (RFC 9113), the client's side of a connection without I/O.
//!
//! Bytes that were read go into [`Connection::feed`], which calls back with an [`Event`] for whatever a request can
//! learn; bytes to write are taken from [`Connection::output`], where the frames of all streams lie together, so that
//! one write sends many requests. Requests are heads that were encoded beforehand ([`Head`](crate::hpack::Head)) and
//! bodies, which flow control lets go piece by piece.
//!
//! Data flows: `open` -> send.rs (frames, window of the peer) -> output; input -> receive.rs (frames, our windows) and
//! control.rs -> fields.rs (header blocks) -> events. What is known of streams is in streams.rs.
//!
//! Invariants: no input makes it panic. A rule that the peer breaks ends the stream ([`Event::Failed`]) or the
//! connection ([`ConnectionError`]) with the code that the RFC gives it. What input can make it keep is bounded: one
//! header block, one table of 4 KiB, about [`MAX_REPLIES`] answers that were not yet written. So is what it can make it
//! do: [`MAX_NOISE`] frames in a row that bring no request further.

mod control;
mod fields;
mod flow;
mod frame;
mod receive;
mod send;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use self::fields::{Block, Kind};
use self::flow::{ReceiveWindow, SendWindow};
use self::frame::{DEFAULT_MAX_FRAME_SIZE, HEAD, LARGEST_MAX_FRAME_SIZE};
use self::receive::Inside;
use self::send::Output;
use self::streams::Streams;
use crate::hpack::Decoder;

pub use self::fields::Fields;
pub use self::frame::Code;
pub use self::streams::StreamId;

/// How many frames in a row may bring no request further before the peer is taken for hostile.
pub const MAX_NOISE: u32 = 10_000;
/// How many frames that answer the peer's may be added to the output, while what lay there before is not written, before
/// it is taken for hostile.
pub const MAX_REPLIES: u32 = 10_000;
/// The `SETTINGS_HEADER_TABLE_SIZE` that a peer assumes unless told otherwise.
const TABLE_SIZE: usize = 4096;

/// What the peer is told about this side. Values beyond what HTTP/2 allows are taken for the nearest that it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How much data may come on a stream before it is acknowledged.
    pub stream_window: u32,
    /// How much data may come on the connection before it is acknowledged; 65,535 at least.
    pub connection_window: u32,
    /// How long a frame's payload may be.
    pub max_frame_size: u32,
    /// How large the fields of an answer may be, counted as RFC 9113 does (section 6.5.2), and how long their block.
    pub max_header_list: u32,
}

impl Default for Settings {
    /// Windows that no answer has to wait for, as load generators have them.
    fn default() -> Settings {
        Settings {
            stream_window: 1 << 30,
            connection_window: 1 << 30,
            max_frame_size: DEFAULT_MAX_FRAME_SIZE,
            max_header_list: 65_536,
        }
    }
}

/// The client's side of an HTTP/2 connection.
#[derive(Debug)]
pub struct Connection {
    settings: Settings,
    streams: Streams,
    output: Output,
    /// Streams that have data to send, each at most once, and some that have ended since.
    waiting: VecDeque<StreamId>,
    send: SendWindow,
    receive: ReceiveWindow,
    peer: Peer,
    decoder: Decoder,
    heads: Block,
    trailers: Block,
    inside: Inside,
    /// A header block that is not complete.
    partial: Partial,
    /// Frames since the last one that brought a request further.
    noise: u32,
    state: State,
}

/// What the peer has told about itself.
#[derive(Debug)]
struct Peer {
    /// Whether its settings have come.
    known: bool,
    max_streams: usize,
    initial_window: u32,
    max_frame_size: usize,
    /// Whether the next header block has to begin by giving up the dynamic table, which it does not use, because the
    /// peer allows less than the default.
    shrinks_table: bool,
}

#[derive(Debug, Default)]
struct Partial {
    /// The stream that it belongs to, and whether that ends with it.
    stream: Option<(u32, bool)>,
    text: Vec<u8>,
    frames: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// No more streams can be opened: GOAWAY was sent or received.
    Closing,
    Failed(ConnectionError),
}

/// What the peer did.
#[derive(Debug)]
pub enum Event<'a> {
    /// The head of an answer; interim ones (1xx) are not shown.
    Head {
        /// Whose.
        stream: StreamId,
        /// Its status.
        status: u16,
        /// The other fields.
        fields: &'a Fields,
        /// Whether the answer, and with it the stream, ends here.
        end: bool,
    },
    /// A piece of an answer's content, as long as it came: a frame can be shown in several pieces.
    Data {
        /// Whose.
        stream: StreamId,
        /// Empty only when it is the end.
        data: &'a [u8],
        /// Whether the answer, and with it the stream, ends here.
        end: bool,
    },
    /// The fields after an answer's content. The stream ends here.
    Trailers {
        /// Whose.
        stream: StreamId,
        /// The fields.
        fields: &'a Fields,
    },
    /// The peer ended the stream before its answer was complete. With [`Code::REFUSED_STREAM`] it did nothing for it.
    Reset {
        /// Which.
        stream: StreamId,
        /// Why.
        code: Code,
    },
    /// The peer broke a rule that concerns this stream only, which has been reset.
    Failed {
        /// Which.
        stream: StreamId,
        /// What was wrong.
        error: StreamError,
    },
    /// The peer wants no more streams. Those that it will not answer follow as [`Event::Reset`].
    GoAway {
        /// The last stream that it may answer.
        last: u32,
        /// Why.
        code: Code,
        /// What it says in addition.
        debug: &'a [u8],
    },
}

/// How the peer broke the rules for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("HTTP/2 stream error {code}: {reason}")]
pub struct StreamError {
    /// What the peer is told.
    pub code: Code,
    /// What was wrong.
    pub reason: &'static str,
}

/// How the peer broke the rules for the connection. The last frame of the output tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("HTTP/2 connection error {code}: {reason}")]
pub struct ConnectionError {
    /// What the peer is told.
    pub code: Code,
    /// What was wrong.
    pub reason: &'static str,
}

impl Connection {
    /// A connection on which nothing has been sent; the preface and the settings are in its output.
    pub fn new(settings: Settings) -> Connection {
        let settings = Settings {
            stream_window: settings.stream_window.min(flow::LARGEST),
            connection_window: settings.connection_window.clamp(flow::DEFAULT, flow::LARGEST),
            max_frame_size: settings.max_frame_size.clamp(DEFAULT_MAX_FRAME_SIZE, LARGEST_MAX_FRAME_SIZE),
            max_header_list: settings.max_header_list,
        };
        Connection {
            settings,
            streams: Streams::new(),
            output: Output::new(&settings),
            waiting: VecDeque::new(),
            send: SendWindow::new(flow::DEFAULT),
            receive: ReceiveWindow::new(settings.connection_window),
            peer: Peer {
                known: false,
                max_streams: usize::MAX,
                initial_window: flow::DEFAULT,
                max_frame_size: DEFAULT_MAX_FRAME_SIZE as usize,
                shrinks_table: false,
            },
            decoder: Decoder::new(TABLE_SIZE),
            heads: Block::new(Kind::Head),
            trailers: Block::new(Kind::Trailers),
            inside: Inside::Between,
            partial: Partial::default(),
            noise: 0,
            state: State::Open,
        }
    }

    /// How many streams can be opened now. None before the peer's settings have come, which say how many it allows.
    pub fn capacity(&self) -> usize {
        match self.state {
            State::Open if self.peer.known => {
                self.peer.max_streams.saturating_sub(self.streams.open()).min(self.streams.room())
            }
            _ => 0,
        }
    }

    /// Whether the peer's settings have come.
    pub fn is_ready(&self) -> bool {
        self.peer.known
    }

    /// How many streams are open.
    pub fn streams(&self) -> usize {
        self.streams.open()
    }

    /// Whether no stream can be opened any more, whatever ends: it takes another connection.
    pub fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing | State::Failed(_)) || self.streams.ids_left() == 0
    }

    /// How much input [`feed`](Connection::feed) may leave for the next time; a buffer has to hold that much and some.
    pub fn max_left(&self) -> usize {
        HEAD + self.max_payload()
    }

    /// The longest payload of a frame that is looked at as a whole.
    fn max_payload(&self) -> usize {
        // Padding and priority come on top of a header block.
        (self.settings.max_header_list as usize + 261).max(DEFAULT_MAX_FRAME_SIZE as usize)
    }
}
