//! The fields of answers: decoded, checked against RFC 9113, section 8.2, and kept until the next block.
//!
//! Most answers of a load test have the same head. A block that does not touch the dynamic table stands for the same
//! fields as long as the table does not change, so such a block is compared with the last one and not decoded again.

use super::StreamError;
use super::frame::Code;
use crate::hpack::{Decoder, Error};

/// What a field counts beyond its texts (RFC 9113, section 6.5.2).
const OVERHEAD: usize = 32;
/// Longer blocks are always decoded.
const LONGEST_KEPT: usize = 1024;

/// The fields of a head or of trailers, without `:status`.
#[derive(Debug, Default)]
pub struct Fields {
    text: Vec<u8>,
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    value: usize,
    end: usize,
}

impl Fields {
    /// All names, in lower case, and values, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans.iter().map(|span| (&self.text[span.start..span.value], &self.text[span.value..span.end]))
    }

    /// The first value of `name`, which is in lower case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(other, _)| *other == name.as_bytes()).map(|(_, value)| value)
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(value);
        self.spans.push(Span { start, value: start + name.len(), end: self.text.len() });
    }
}

/// What a block is the beginning or the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Head,
    Trailers,
}

/// The last block of its kind.
#[derive(Debug)]
pub(super) struct Block {
    kind: Kind,
    pub(super) fields: Fields,
    /// 0 with trailers.
    pub(super) status: u16,
    pub(super) content_length: Option<u64>,
    /// What is wrong with it, if anything.
    pub(super) fault: Option<StreamError>,
    /// What the fields count together.
    size: usize,
    /// The block as it came and the version of the decoder's table, where it can be compared.
    source: Vec<u8>,
    version: Option<u64>,
}

impl Block {
    pub(super) fn new(kind: Kind) -> Block {
        Block {
            kind,
            fields: Fields::default(),
            status: 0,
            content_length: None,
            fault: None,
            size: 0,
            source: Vec::new(),
            version: None,
        }
    }

    /// Decodes `block`. Fields beyond `limit` are not kept, and that is a fault.
    pub(super) fn read(&mut self, decoder: &mut Decoder, block: &[u8], limit: usize) -> Result<(), Error> {
        let before = decoder.version();
        if self.version == Some(before) && self.source == block {
            return Ok(());
        }
        self.fields.text.clear();
        self.fields.spans.clear();
        (self.status, self.content_length, self.fault, self.size, self.version) = (0, None, None, 0, None);
        decoder.decode(block, |name, value| {
            if self.fault.is_none() {
                self.fault = self.add(name, value, limit).err();
            }
        })?;
        if self.fault.is_none() && self.kind == Kind::Head && self.status == 0 {
            self.fault = Some(malformed("an answer has no :status"));
        }
        if decoder.version() == before && block.len() <= LONGEST_KEPT {
            self.version = Some(before);
            self.source.clear();
            self.source.extend_from_slice(block);
        }
        Ok(())
    }

    fn add(&mut self, name: &[u8], value: &[u8], limit: usize) -> Result<(), StreamError> {
        self.size += name.len() + value.len() + OVERHEAD;
        if self.size > limit {
            return Err(StreamError { code: Code::ENHANCE_YOUR_CALM, reason: "an answer's fields are too large" });
        }
        if name.first() == Some(&b':') {
            return self.add_pseudo(name, value);
        }
        if name.is_empty() || !name.iter().all(|&byte| NAME[usize::from(byte)]) {
            return Err(malformed("a field's name has characters that names cannot have"));
        }
        if memchr::memchr3(0, b'\r', b'\n', value).is_some() {
            return Err(malformed("a field's value has a line break or NUL"));
        }
        if let Some(b' ' | b'\t') = value.first() {
            return Err(malformed("a field's value begins with a space"));
        }
        if let Some(b' ' | b'\t') = value.last() {
            return Err(malformed("a field's value ends with a space"));
        }
        match name {
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
                return Err(malformed("an answer has a field that belongs to HTTP/1 connections"));
            }
            b"content-length" => self.add_length(value)?,
            _ => {}
        }
        self.fields.push(name, value);
        Ok(())
    }

    fn add_pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), StreamError> {
        if name != b":status" || self.kind == Kind::Trailers {
            return Err(malformed("an answer has a pseudo-field other than :status, or in its trailers"));
        }
        if self.status != 0 || !self.fields.spans.is_empty() {
            return Err(malformed("an answer's :status is not its first field"));
        }
        self.status = match value {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                [a, b, c].iter().fold(0, |status, digit| status * 10 + u16::from(**digit - b'0'))
            }
            _ => return Err(malformed("an answer's :status is not a number of three digits")),
        };
        Ok(())
    }

    fn add_length(&mut self, value: &[u8]) -> Result<(), StreamError> {
        let mut length = if value.is_empty() { None } else { Some(0u64) };
        for &digit in value {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'));
            length = length.zip(digit).and_then(|(length, digit)| length.checked_mul(10)?.checked_add(digit));
        }
        if length.is_none() || self.content_length.is_some_and(|other| Some(other) != length) {
            return Err(malformed("an answer's content-length is not one number"));
        }
        self.content_length = length;
        Ok(())
    }
}

/// What is wrong with an answer that cannot be understood (RFC 9113, section 8.1.1).
pub(super) fn malformed(reason: &'static str) -> StreamError {
    StreamError { code: Code::PROTOCOL_ERROR, reason }
}

/// What names consist of: visible ASCII without upper case and colons.
static NAME: [bool; 256] = {
    let mut valid = [false; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        valid[byte] = !(byte >= b'A' as usize && byte <= b'Z' as usize) && byte != b':' as usize;
        byte += 1;
    }
    valid
};

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
        [&[0, name.len() as u8], name, &[value.len() as u8], value].concat()
    }

    fn read(kind: Kind, fields: &[(&[u8], &[u8])]) -> Block {
        let mut block = Block::new(kind);
        let text: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
        block.read(&mut Decoder::new(0), &text, 200).unwrap();
        block
    }

    #[test]
    fn malformed_fields_are_told_from_good_ones() {
        let check = |kind, fields: &[(&[u8], &[u8])], expected: &str| {
            let fault = read(kind, fields).fault.map_or("", |fault| fault.reason);
            let fits = if expected.is_empty() { fault.is_empty() } else { fault.contains(expected) };
            assert!(fits, "{fields:?}: {fault:?}");
        };
        const OK: (&[u8], &[u8]) = (b":status", b"200");
        check(Kind::Head, &[OK, (b"a", b"b\xffc d\te"), (b"x!~", b"")], "");
        check(Kind::Head, &[], "no :status");
        check(Kind::Head, &[(b"a", b"b")], "no :status");
        check(Kind::Head, &[(b"a", b"b"), OK], "not its first");
        check(Kind::Head, &[OK, OK], "not its first");
        check(Kind::Head, &[(b":path", b"/")], "pseudo-field");
        check(Kind::Trailers, &[OK], "pseudo-field");
        check(Kind::Trailers, &[(b"grpc-status", b"0")], "");
        check(Kind::Trailers, &[], "");
        for status in [&b""[..], b"20", b"099", b"2000", b"2x0"] {
            check(Kind::Head, &[(b":status", status)], "three digits");
        }
        for name in [&b""[..], b"A", b"a b", b"a\0", b"a:b", b"\x7f", b"\xc3\xa4"] {
            check(Kind::Head, &[OK, (name, b"")], "name");
        }
        for value in [&b"a\rb"[..], b"a\n", b"\0"] {
            check(Kind::Head, &[OK, (b"a", value)], "line break");
        }
        check(Kind::Head, &[OK, (b"a", b" b")], "begins with a space");
        check(Kind::Head, &[OK, (b"a", b"b\t")], "ends with a space");
        check(Kind::Head, &[OK, (b"transfer-encoding", b"chunked")], "HTTP/1");
        for length in [&b""[..], b"-1", b"1 ", b"18446744073709551616", b"1x"] {
            let expected = if length == b"1 " { "space" } else { "content-length" };
            check(Kind::Head, &[OK, (b"content-length", length)], expected);
        }
        check(Kind::Head, &[OK, (b"content-length", b"1"), (b"content-length", b"01")], "");
        check(Kind::Head, &[OK, (b"content-length", b"1"), (b"content-length", b"2")], "content-length");
        check(Kind::Head, &[OK, (b"a", &[b'x'; 125])], "");
        check(Kind::Head, &[OK, (b"a", &[b'x'; 126])], "too large");
    }

    #[test]
    fn fields_can_be_looked_at() {
        let block = read(Kind::Head, &[(b":status", b"404"), (b"a", b"1"), (b"content-length", b"7"), (b"a", b"2")]);
        assert_eq!((block.status, block.content_length), (404, Some(7)));
        assert_eq!((block.fields.get("a"), block.fields.get("b")), (Some(&b"1"[..]), None));
        let names: Vec<&[u8]> = block.fields.iter().map(|(name, _)| name).collect();
        assert_eq!(names, [&b"a"[..], b"content-length", b"a"]);
    }

    #[test]
    fn a_block_is_compared_only_while_the_table_is_the_same() {
        let mut decoder = Decoder::new(4096);
        let mut block = Block::new(Kind::Head);
        // Dates are entered by blocks of other kinds, and by this one.
        let mut check = |other: &[u8], source: &[u8], status, value: &[u8]| {
            decoder.decode(other, |_, _| ()).unwrap();
            block.read(&mut decoder, source, 1000).unwrap();
            assert_eq!((block.status, block.fields.get("date")), (status, Some(value)), "{source:x?}");
        };
        check(&[0x61, 1, b'1'], &[0x88, 0xbe], 200, b"1");
        check(&[], &[0x88, 0xbe], 200, b"1");
        check(&[0x61, 1, b'2'], &[0x88, 0xbe], 200, b"2");
        check(&[], &[0x8d, 0xbf], 404, b"1");
        check(&[], &[0x88, 0x61, 1, b'3'], 200, b"3");
        check(&[], &[0x88, 0x61, 1, b'3'], 200, b"3");
        check(&[], &[0x88, 0xc0], 200, b"2");
        check(&[0x20, 0x3f, 0xe1, 0x1f, 0x61, 1, b'4'], &[0x88, 0xbe], 200, b"4");
    }
}
