//! The client's side of the protocols that `purlin load` speaks, without I/O.
//!
//! Each is a state machine: bytes that were read go in, what they mean comes out, and bytes to write are left in a
//! buffer. They are written for one purpose, to send the same few requests very often and to look at as little of the
//! answers as can be trusted, which is what makes them cheaper than a general client.

pub mod h2;
pub mod hpack;
pub mod http1;
pub mod websocket;
