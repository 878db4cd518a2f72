//! The API server as its clients see it, in process (a few over TLS): one platform a test, on a store of its own.

mod access;
mod customs;
mod garbage;
mod health;
mod limits;
mod lists;
mod namespaces;
mod objects;
mod platform;
mod restart;
mod tokens;
mod watches;
