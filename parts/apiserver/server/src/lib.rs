//! WIP
mod error;
mod request;
mod storage;
