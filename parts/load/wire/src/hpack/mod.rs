//! HPACK, the compression of header fields in HTTP/2 (RFC 7541), for a client that sends the same heads over and over.
//!
//! A [`Head`] is a request's header block. It refers to the static table only and leaves the peer's dynamic table
//! alone, so that it is encoded once and sent on every stream of every connection. A [`Decoder`] reads the peer's
//! blocks and keeps their dynamic table; it shows each field to a closure without owning anything, and allocates
//! nothing once its table has been filled.

mod decode;
mod encode;
mod huffman;
mod table;
#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::Head;

/// Why a header block cannot be decoded. The dynamic tables of both sides differ from then on: the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It ends within a field.
    #[error("a header block ends within a field")]
    Truncated,
    /// An integer is longer than four octets after its prefix.
    #[error("an integer in a header block is too large")]
    Integer,
    /// A field refers to an entry that neither table has.
    #[error("a header block refers to a table entry that does not exist")]
    Index,
    /// A string is not a valid sequence of Huffman codes.
    #[error("a string in a header block is not valid Huffman code")]
    Huffman,
    /// The table is to become larger than the decoder allows, or a third time within a block.
    #[error("a header block changes the size of the table beyond what was agreed")]
    TableSize,
    /// The size of the table changes after the first field.
    #[error("a header block changes the size of the table after its first field")]
    TableSizeLate,
}
