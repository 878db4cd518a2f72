//! WebSocket as a client speaks it (RFC 6455), without I/O and without extensions.
//!
//! [`Handshake`] writes the request that opens a connection and checks the answer to it, which is read by
//! [`http1::Response`](crate::http1::Response). Then the `encode_` functions append frames to a buffer, and [`Reader`]
//! turns what was read into [`Event`]s. It is up to the caller to answer a ping with a pong and a close with a close.
//! Masks and nonces come from the caller, so that a run can be repeated.

mod frame;
mod handshake;
mod reader;
#[cfg(test)]
mod tests;
mod utf8;

pub use frame::{CloseCode, Control, encode_binary, encode_close, encode_ping, encode_pong, encode_text};
pub use handshake::{Handshake, HandshakeError};
pub use reader::{Event, Fault, Fed, Kind, ProtocolError, Reader};
