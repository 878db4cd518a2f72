//! Kubernetes objects as protobuf: the decoder of request bodies.
//!
//! kubectl's imperative commands and Go controllers send `application/vnd.kubernetes.protobuf` for built-in kinds
//! and accept JSON in return, so only this direction is needed. A body is the four bytes `k8s\0` followed by a
//! `runtime.Unknown` (type, raw message); the raw message is decoded by the descriptors of `messages.txt` into the
//! JSON that Go's `encoding/json` would write for the same object, but that nil lists, maps and times are left out
//! rather than written as `null`.
//!
//! Invariants: the caller limits the size of the body; depth and the number of values are limited here; no input
//! panics.

mod decode;
mod table;
mod wire;

pub use decode::{MAX_DEPTH, MAX_VALUES, decode};

/// The content type of the bodies that [`decode`] reads.
pub const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body does not begin with `k8s\0`.
    #[error("the body is not protobuf of Kubernetes: it does not begin with the bytes 6b 38 73 00")]
    Magic,
    /// The kind is not one that is known here: send JSON.
    #[error("{kind:?} of {api_version:?} cannot be read as protobuf; send it as application/json")]
    UnknownKind {
        /// `apiVersion` of the body.
        api_version: String,
        /// `kind` of the body.
        kind: String,
    },
    /// The raw message is compressed or is no protobuf.
    #[error("the protobuf body holds {0:?}, which is not supported")]
    Encoding(String),
    /// The body ends within a field, or a length points behind its end.
    #[error("the protobuf body is truncated")]
    Truncated,
    /// Something is not as the protobuf encoding demands.
    #[error("{place}: {problem}")]
    Malformed {
        /// The message or the field, `Container.image`.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Messages are nested too deeply.
    #[error("the protobuf body is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// There are too many values.
    #[error("the protobuf body has more than {MAX_VALUES} values")]
    TooMany,
}

impl DecodeError {
    fn malformed(place: impl Into<String>, problem: impl Into<String>) -> Self {
        DecodeError::Malformed { place: place.into(), problem: problem.into() }
    }
}
