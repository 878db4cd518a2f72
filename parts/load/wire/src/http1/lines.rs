//! Taking lines off a stream, and knowing where in it they stand.
//!
//! A line ends with CR LF. A CR or an LF alone is refused, though RFC 9112, 2.2 lets a recipient accept the LF: two
//! parsers that differ there see two different messages. Other control characters but the tab are refused too (RFC
//! 9110, 5.5), which is what lets one scan over the bytes do all of it. A line that came whole is not copied.

use super::Fault;

/// Takes lines off the input and keeps the part of one that has no end yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    /// Where in the response the last line that was taken begins, or the next byte if there was none.
    offset: u64,
    /// The length of the last line, its end included. `partial` holds it if it is not empty.
    last: usize,
}

/// A line without its end, and the input behind it.
pub(super) type Taken<'line, 'input> = (&'line [u8], &'input [u8]);

impl Lines {
    /// Forgets everything for a new response.
    pub(super) fn clear(&mut self) {
        self.partial.clear();
        self.offset = 0;
        self.last = 0;
    }

    /// Where the last line begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Notes that the stream ended, which is what [`offset`](Lines::offset) then tells.
    pub(super) fn end(&mut self) {
        self.settle();
        self.last = self.partial.len();
        self.settle();
    }

    /// Notes that `count` bytes after the last line were used without being one.
    pub(super) fn skip(&mut self, count: usize) {
        self.settle();
        self.offset += count as u64;
    }

    /// The next line. Without one, all of the input is kept. A line with its end may have `budget` bytes, else it is
    /// `too_long`.
    #[inline]
    pub(super) fn take<'line, 'input: 'line>(
        &'line mut self,
        input: &'input [u8],
        budget: usize,
        too_long: impl FnOnce() -> Fault,
    ) -> Result<Option<Taken<'line, 'input>>, Fault> {
        self.settle();
        let window = input.get(..budget.saturating_sub(self.partial.len())).unwrap_or(input);
        match end(window, self.partial.last() == Some(&b'\r'))? {
            Some(length) => {
                let (line, rest) = input.split_at(length);
                self.last = self.partial.len() + length;
                if self.partial.is_empty() {
                    return Ok(Some((without_end(line), rest)));
                }
                self.partial.extend_from_slice(line);
                Ok(Some((without_end(&self.partial), rest)))
            }
            None if self.partial.len() + window.len() >= budget => Err(too_long()),
            None => {
                self.partial.extend_from_slice(window);
                Ok(None)
            }
        }
    }

    /// How many bytes of a line are kept.
    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.partial.len()
    }

    fn settle(&mut self) {
        if self.last > 0 {
            self.offset += self.last as u64;
            self.last = 0;
            self.partial.clear();
        }
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r\n").unwrap_or(line)
}

/// The length of the line at the start of `bytes`, its end included, if it has one. `cr` when a CR came before.
#[inline]
fn end(bytes: &[u8], cr: bool) -> Result<Option<usize>, Fault> {
    if cr {
        return match bytes.first() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(1)),
            Some(_) => Err(Fault::BareCr),
        };
    }
    let Some(found) = control(bytes) else { return Ok(None) };
    match (bytes.get(found), bytes.get(found + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some(found + 2)),
        (Some(b'\r'), None) => Ok(None),
        (Some(b'\r'), Some(_)) => Err(Fault::BareCr),
        (Some(b'\n'), _) => Err(Fault::BareLf),
        (byte, _) => Err(Fault::Control(byte.copied().unwrap_or_default())),
    }
}

/// Where the first control character stands that is not a tab, found eight bytes at a time.
#[inline]
pub(super) fn control(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*word);
        // The subtraction borrows from the next byte only behind a byte that is found: the lowest is right.
        let below_space = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let other = word ^ (ONES * 0x7f);
        let delete = other.wrapping_sub(ONES) & !other & HIGH;
        let found = below_space | delete;
        if found == 0 {
            at += 8;
            continue;
        }
        at += found.trailing_zeros() as usize / 8;
        if bytes.get(at) != Some(&b'\t') {
            return Some(at);
        }
        at += 1;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().position(|byte| byte.is_ascii_control() && *byte != b'\t').map(|found| at + found)
}
