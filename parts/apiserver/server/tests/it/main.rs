//! The API server as its clients see it, in process: one platform a test, on a store of its own.

mod objects;
mod platform;
