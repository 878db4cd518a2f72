//! The head of a response: its status line and the few header fields that decide how it goes on.
//!
//! Of the fields only `Content-Length`, `Transfer-Encoding` and `Connection` are looked at, which their length tells
//! from nearly all others; the rest is checked to be fields and kept only when that is asked for.

use super::error::excerpt;
use super::{Fault, Limits};

/// What is known of a head, line by line.
#[derive(Debug, Default)]
pub(super) struct Head {
    status: u16,
    old_version: bool,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    /// Bytes and fields so far.
    bytes: usize,
    fields: usize,
    /// The fields with LF behind each.
    kept: Vec<u8>,
}

/// How the end of a body is found (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Head {
    /// Forgets everything for a new head.
    pub(super) fn clear(&mut self) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.clear();
        *self = Head { kept, ..Head::default() };
    }

    /// 0 before the status line.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// How many bytes the lines may still have.
    pub(super) fn budget(&self, limits: &Limits) -> usize {
        limits.head_bytes.saturating_sub(self.bytes)
    }

    /// Takes the next line; true when it is the empty one at the end.
    #[inline]
    pub(super) fn line(&mut self, line: &[u8], keep: bool, limits: &Limits) -> Result<bool, Fault> {
        self.bytes += line.len() + 2;
        if self.status == 0 {
            return self.status_line(line).map(|()| false);
        }
        if line.is_empty() {
            return self.check().map(|()| true);
        }
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(Fault::TooLarge { what: "header fields", max: limits.fields });
        }
        let (name, value) = field(line)?;
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value)?,
            _ => {}
        }
        if keep {
            self.kept.extend_from_slice(line);
            self.kept.push(b'\n');
        }
        Ok(false)
    }

    fn status_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let bad = || Fault::StatusLine(excerpt(line));
        let (version, rest) = line.split_at_checked(8).ok_or_else(bad)?;
        self.old_version = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ if version.starts_with(b"HTTP/") => return Err(Fault::Version(excerpt(line))),
            _ => return Err(bad()),
        };
        // The reason phrase may be missing, and with it, in answers of some servers, the space before it.
        let (digits, reason) = rest.split_at_checked(4).ok_or_else(bad)?;
        self.status = match (digits, reason) {
            ([b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'], [] | [b' ', ..]) => {
                u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
            }
            _ => return Err(bad()),
        };
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(trim) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// The same length twice is taken once, as RFC 9112, 6.3 allows, when it stands in two fields.
    fn content_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        let length = decimal(value).ok_or_else(|| Fault::ContentLength(excerpt(value)))?;
        match self.length.replace(length) {
            Some(first) if first != length => Err(Fault::ContentLengths(first, length)),
            _ => Ok(()),
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Fault::TransferEncoding(excerpt(value)));
        }
        self.chunked = true;
        Ok(())
    }

    /// Refuses what proxies and servers are known to read in different ways (RFC 9112, 6.1), whatever the status.
    fn check(&self) -> Result<(), Fault> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Fault::LengthAndChunked),
            (true, None) if self.old_version => Err(Fault::ChunkedInOldVersion),
            _ => Ok(()),
        }
    }

    /// How the body's end is found, given whether the request was a HEAD.
    pub(super) fn framing(&self, head: bool) -> Framing {
        match (self.status, self.length) {
            (100..=199 | 204 | 304, _) => Framing::Length(0),
            _ if head => Framing::Length(0),
            _ if self.chunked => Framing::Chunked,
            (_, Some(length)) => Framing::Length(length),
            (_, None) => Framing::UntilClose,
        }
    }

    /// Whether the sender means to keep the connection (RFC 9112, 9.3).
    pub(super) fn persists(&self) -> bool {
        !self.close && (!self.old_version || self.keep_alive) && self.status != 101
    }

    /// The fields that were kept, in their order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.kept.split(|byte| *byte == b'\n').filter_map(|line| field(line).ok())
    }
}

/// Name and value of a field line.
#[inline]
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    // What ends the name must be the colon: `Content-Length : 5` has been read in two ways (RFC 9112, 5.1).
    let end = line.iter().position(|byte| !TOKEN[usize::from(*byte)]);
    match end.and_then(|end| line.split_at_checked(end)) {
        Some((name @ [_, ..], [b':', value @ ..])) => Ok((name, trim(value))),
        Some(([], [b' ' | b'\t', ..])) => Err(Fault::Folded),
        _ => Err(Fault::Field(excerpt(line))),
    }
}

/// Without spaces and tabs around it.
#[inline]
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Whether a byte may stand in a token (RFC 9110, 5.6.2).
pub(super) static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
};
