//! The proxy as clients and backends see it, over real sockets.

mod apply;
mod backend;
mod forward;
mod http2;
mod limits;
mod rig;
mod strict;
mod tls;
