//! Writing the heads of requests (RFC 7541, section 6; RFC 9113, section 8.3.1).

use super::huffman;
use super::table::STATIC;

/// The head of a request as a header block that any peer understands in any state.
///
/// ```ignore
/// let mut head = Head::new("GET", "https", "example.org", "/");
/// head.push("accept", b"*/*");
/// ```
///
/// To send a head with a few fields that differ each time, note its [`len`](Head::len), push, send, and
/// [`truncate`](Head::truncate).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    block: Vec<u8>,
    no_content: bool,
}

impl Head {
    /// The head of a request with this method, to `scheme://authority` + `path`.
    pub fn new(method: &str, scheme: &str, authority: &str, path: &str) -> Head {
        let mut head = Head { block: Vec::with_capacity(128), no_content: method == "HEAD" };
        head.push(":method", method.as_bytes());
        head.push(":scheme", scheme.as_bytes());
        head.push(":authority", authority.as_bytes());
        head.push(":path", path.as_bytes());
        head
    }

    /// Adds a field. Upper case in its name becomes lower case, as HTTP/2 demands.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let name = name.to_ascii_lowercase();
        if let Some(index) = STATIC.iter().position(|entry| (entry.0, entry.1.as_bytes()) == (&name, value)) {
            return integer(0x80, 7, index + 1, &mut self.block);
        }
        match STATIC.iter().position(|entry| entry.0 == name) {
            Some(index) => integer(0, 4, index + 1, &mut self.block),
            None => {
                self.block.push(0);
                string(name.as_bytes(), &mut self.block);
            }
        }
        string(value, &mut self.block);
    }

    /// How long the block is.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.block.len()
    }

    /// Takes the fields back that were pushed since the block was `len` long.
    pub fn truncate(&mut self, len: usize) {
        self.block.truncate(len);
    }

    /// The block.
    pub fn block(&self) -> &[u8] {
        &self.block
    }

    /// Whether the answer has no content whatever its `content-length`, as with `HEAD`.
    pub fn no_content(&self) -> bool {
        self.no_content
    }
}

/// Appends `value`, beginning in the lowest `prefix` bits of an octet whose other bits are `pattern`.
fn integer(pattern: u8, prefix: u32, value: usize, out: &mut Vec<u8>) {
    let mask = (1 << prefix) - 1;
    if value < mask {
        return out.push(pattern | value as u8);
    }
    out.push(pattern | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends `text`, in Huffman code where that is shorter.
fn string(text: &[u8], out: &mut Vec<u8>) {
    let coded = huffman::encoded_len(text);
    if coded < text.len() {
        integer(0x80, 7, coded, out);
        huffman::encode(text, out);
    } else {
        integer(0, 7, text.len(), out);
        out.extend_from_slice(text);
    }
}
