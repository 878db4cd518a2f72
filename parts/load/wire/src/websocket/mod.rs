//! WebSocket as a client speaks it (RFC 6455), without I/O and without extensions.
//!
//! The `encode_` functions append frames to a buffer, and [`Reader`] turns what was read into [`Event`]s. It is up to the
//! caller to answer a ping with a pong and a close with a close. Masks come from the caller, so that a run can be
//! repeated.

mod frame;
mod reader;
#[cfg(test)]
mod tests;
mod utf8;

pub use frame::{CloseCode, Control, encode_binary, encode_close, encode_ping, encode_pong, encode_text};
pub use reader::{Event, Fault, Fed, Kind, ProtocolError, Reader};
