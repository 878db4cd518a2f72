//! Requests as they are written: what encoding makes and clients send.

use std::sync::Arc;

use bytes::Bytes;
use purlin_load_wire::hpack::Head;

/// A request as it is written.
#[derive(Clone, Debug)]
pub(crate) enum Wire {
    /// Head and body.
    Http1(Bytes),
    /// Head and body, of HTTP or gRPC.
    Http2(Http2Request),
    /// A WebSocket message, and how many answers it awaits.
    Message {
        /// The message.
        text: String,
        /// How many.
        answers: u32,
    },
}

/// A request of HTTP/2 or gRPC.
#[derive(Clone, Debug)]
pub(crate) struct Http2Request {
    /// Its header block.
    pub head: Arc<Head>,
    /// Its body; empty is none.
    pub body: Bytes,
    /// What it asks for.
    pub kind: Kind,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An answer of HTTP.
    #[default]
    Http,
    /// One message of gRPC.
    Call,
    /// A stream of messages of gRPC.
    Stream,
}
