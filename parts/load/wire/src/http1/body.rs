//! The body of a response: skipped by counting, or kept.

use super::error::excerpt;
use super::head::{Framing, field};
use super::lines::Lines;
use super::{Fault, Limits};

/// Where in the body the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum State {
    /// There is no more.
    #[default]
    End,
    /// So many bytes are left.
    Length(u64),
    /// All that comes until the connection is closed.
    UntilClose,
    /// The line with a chunk's size is next.
    Size,
    /// So many bytes of a chunk are left.
    Chunk(u64),
    /// The CR LF behind a chunk is next.
    ChunkEnd,
    /// A trailer field is next, or the empty line at the end; so many bytes of them came.
    Trailer(usize),
}

/// A body.
#[derive(Debug, Default)]
pub(super) struct Body {
    state: State,
    keep: bool,
    received: u64,
    kept: Vec<u8>,
}

impl Body {
    /// Forgets everything for a new response.
    pub(super) fn clear(&mut self) {
        self.state = State::End;
        self.received = 0;
        self.kept.clear();
    }

    /// Begins with a body whose end is found by `framing`.
    pub(super) fn begin(&mut self, framing: Framing, keep: bool, limits: &Limits) -> Result<(), Fault> {
        self.keep = keep;
        self.state = match framing {
            Framing::Length(0) => State::End,
            Framing::Length(length) if keep && length > limits.body_bytes as u64 => return Err(too_large(limits)),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::UntilClose,
        };
        Ok(())
    }

    /// Whether it has ended.
    pub(super) fn ended(&self) -> bool {
        self.state == State::End
    }

    /// Whether it ends with the connection.
    pub(super) fn ends_with_connection(&self) -> bool {
        self.state == State::UntilClose
    }

    /// How many bytes of content came.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The content as far as it was kept.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Takes what belongs to it and gives back the rest: without an end, nothing.
    pub(super) fn feed<'a>(
        &mut self,
        mut input: &'a [u8],
        lines: &mut Lines,
        limits: &Limits,
    ) -> Result<&'a [u8], Fault> {
        while !input.is_empty() && self.state != State::End {
            match self.state {
                State::End => {}
                State::UntilClose => input = self.content(u64::MAX, input, lines, limits)?.1,
                State::Length(left) => {
                    let (left, rest) = self.content(left, input, lines, limits)?;
                    self.state = if left == 0 { State::End } else { State::Length(left) };
                    input = rest;
                }
                State::Chunk(left) => {
                    let (left, rest) = self.content(left, input, lines, limits)?;
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                    input = rest;
                }
                State::Size | State::ChunkEnd | State::Trailer(_) => input = self.line(input, lines, limits)?,
            }
        }
        Ok(input)
    }

    /// Takes up to `left` bytes of content; how many are still left, and the input behind them.
    fn content<'a>(
        &mut self,
        left: u64,
        input: &'a [u8],
        lines: &mut Lines,
        limits: &Limits,
    ) -> Result<(u64, &'a [u8]), Fault> {
        let count = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let (content, rest) = input.split_at(count);
        if self.keep {
            let room = limits.body_bytes.saturating_sub(self.kept.len());
            if count > room {
                lines.skip(room);
                return Err(too_large(limits));
            }
            self.kept.extend_from_slice(content);
        }
        lines.skip(count);
        self.received = self.received.saturating_add(count as u64);
        Ok((left - count as u64, rest))
    }

    /// Takes a line of the chunked coding, and gives back the input behind it.
    fn line<'a>(&mut self, input: &'a [u8], lines: &mut Lines, limits: &Limits) -> Result<&'a [u8], Fault> {
        let budget = match self.state {
            State::ChunkEnd => 2,
            State::Trailer(bytes) => limits.trailer_bytes.saturating_sub(bytes),
            _ => limits.chunk_line_bytes,
        };
        let too_long = || match self.state {
            State::ChunkEnd => Fault::ChunkEnd,
            State::Trailer(_) => Fault::TooLarge { what: "bytes of trailer fields", max: limits.trailer_bytes },
            _ => Fault::TooLarge { what: "bytes in the first line of a chunk", max: limits.chunk_line_bytes },
        };
        let Some((line, rest)) = lines.take(input, budget, too_long)? else { return Ok(&[]) };
        self.state = match self.state {
            State::ChunkEnd => State::Size,
            State::Trailer(_) if line.is_empty() => State::End,
            State::Trailer(bytes) => {
                field(line)?;
                State::Trailer(bytes + line.len() + 2)
            }
            _ => match chunk_size(line).ok_or_else(|| Fault::ChunkSize(excerpt(line)))? {
                0 => State::Trailer(0),
                size => State::Chunk(size),
            },
        };
        Ok(rest)
    }
}

fn too_large(limits: &Limits) -> Fault {
    Fault::TooLarge { what: "bytes of a body that is kept", max: limits.body_bytes }
}

/// The size in a chunk's first line; its extensions are not looked at.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, mut rest) = line.split_at(digits);
    // Spaces may stand before an extension only (RFC 9112, 7.1.1).
    while let [b' ' | b'\t', after @ ..] = rest
        && !after.is_empty()
    {
        rest = after;
    }
    if digits.is_empty() || !matches!(rest, [] | [b';', ..]) {
        return None;
    }
    digits.iter().try_fold(0_u64, |size, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(size.checked_mul(16)? | u64::from(digit))
    })
}
