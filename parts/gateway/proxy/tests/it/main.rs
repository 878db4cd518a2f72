//! The proxy as clients and backends see it, over real sockets.

mod apply;
mod backend;
mod bytes;
mod clients;
mod descriptors;
mod flood;
mod forward;
mod frames;
mod http2;
mod leave;
mod limits;
mod policies;
mod rig;
mod strict;
mod tls;
