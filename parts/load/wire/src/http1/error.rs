//! What can be wrong with a response.

use thiserror::Error;

/// A response that breaks the protocol or a limit. The connection that it came on is of no further use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("byte {at} of the response: {fault}")]
pub struct ProtocolError {
    /// Where the line or byte that is wrong begins, counted from the start of the response with all its 1xx.
    pub at: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a response.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The stream ended before the first byte of a response.
    #[error("the connection was closed without a response")]
    NoResponse,
    /// The stream ended within the response.
    #[error("the connection was closed within the {0}")]
    Truncated(&'static str),
    /// A CR that no LF follows.
    #[error("CR without LF")]
    BareCr,
    /// An LF that no CR precedes.
    #[error("LF without CR: lines must end with CR LF")]
    BareLf,
    /// A control character in a line.
    #[error("the control character {0:#04x} in a line")]
    Control(u8),
    /// Not a status line of HTTP.
    #[error("`{0}` is not a status line: `HTTP/1.1 200 OK` was expected")]
    StatusLine(String),
    /// A status line of another version.
    #[error("`{0}` is of a version that is neither HTTP/1.1 nor HTTP/1.0")]
    Version(String),
    /// Not a header or trailer field.
    #[error("`{0}` is not a field: a name, a colon and a value were expected")]
    Field(String),
    /// A field that goes on in the next line.
    #[error("a field is folded over two lines")]
    Folded,
    /// Not a length.
    #[error("`{0}` is not a Content-Length")]
    ContentLength(String),
    /// Two lengths.
    #[error("Content-Length is {0} and then {1}")]
    ContentLengths(u64, u64),
    /// A transfer coding that was not asked for.
    #[error("the transfer coding `{0}`: only `chunked`, once, is understood")]
    TransferEncoding(String),
    /// Two ways to find the end of the body.
    #[error("Content-Length and Transfer-Encoding in one response")]
    LengthAndChunked,
    /// A transfer coding in a version that has none.
    #[error("Transfer-Encoding in a response of HTTP/1.0")]
    ChunkedInOldVersion,
    /// 101 without a request for it.
    #[error("status 101 without a request to change the protocol")]
    Upgrade,
    /// Not a chunk's first line.
    #[error("`{0}` is not the size of a chunk")]
    ChunkSize(String),
    /// A chunk's data is not followed by CR LF.
    #[error("a chunk is longer than its size, or not followed by CR LF")]
    ChunkEnd,
    /// A limit is broken.
    #[error("more than {max} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

/// The start of `bytes`, printable.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const MAX: usize = 60;
    match bytes.get(..MAX) {
        Some(start) if bytes.len() > MAX => format!("{}...", start.escape_ascii()),
        _ => bytes.escape_ascii().to_string(),
    }
}
