//! HTTP/1.1 as a client speaks it (RFC 9112, RFC 9110), without I/O.
//!
//! [`Request`] writes the head of a request. [`Response`] reads the answers of one connection, one after the other, and
//! looks only at what it takes to find their end: the status, the framing, and whether the connection lives on. The
//! rest is kept for those who ask. Nothing is scanned twice, however small the pieces are in which an answer comes, and
//! nothing is allocated once the buffers have their size.
//!
//! Where a lenient reading could put the end of a response elsewhere than the server did, and so make a wrong figure of
//! it, the response is refused: line ends that are not CR LF, folded fields, spaces before a colon, `Content-Length`
//! with `Transfer-Encoding`, lengths that differ, transfer codings other than `chunked`.

mod body;
mod error;
mod head;
mod lines;
mod request;
#[cfg(test)]
mod tests;

pub use error::{Fault, ProtocolError};
pub use request::{Request, RequestError};

use body::Body;
use head::Head;
use lines::Lines;

/// How large a response may be. A body that is not kept may have any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, status line and line ends included.
    pub head_bytes: usize,
    /// Fields of a head.
    pub fields: usize,
    /// Bytes of a body that is kept.
    pub body_bytes: usize,
    /// Bytes of the line with a chunk's size and extensions.
    pub chunk_line_bytes: usize,
    /// Bytes of the trailer fields.
    pub trailer_bytes: usize,
    /// Interim responses (1xx) before the response.
    pub interim: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_bytes: 64 << 10,
            fields: 256,
            body_bytes: 1 << 20,
            chunk_line_bytes: 4 << 10,
            trailer_bytes: 16 << 10,
            interim: 16,
        }
    }
}

/// What was asked, as far as it decides how the answer is read, and what of the answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sent {
    /// The method is HEAD: there is no body, whatever the head says.
    pub head: bool,
    /// The request offers to change the protocol: status 101 ends the response.
    pub upgrade: bool,
    /// Whether the header fields are kept.
    pub keep_head: bool,
    /// Whether the body is kept.
    pub keep_body: bool,
}

/// Reads the responses of one connection, one at a time.
#[derive(Debug, Default)]
pub struct Response {
    limits: Limits,
    sent: Sent,
    phase: Phase,
    interim: u32,
    persists: bool,
    lines: Lines,
    head: Head,
    body: Body,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Phase {
    /// No response is due.
    #[default]
    Idle,
    Head,
    Body,
}

/// What came of some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// How much of it belongs to the response. What is left was not asked for, or is of another protocol after a 101.
    /// While the response has no end, this is all of it.
    pub consumed: usize,
    /// Whether the response ended with it.
    pub done: bool,
}

impl Response {
    /// One that allows `limits`.
    pub fn new(limits: Limits) -> Response {
        Response { limits, ..Response::default() }
    }

    /// Forgets the last response and waits for the answer to a request.
    pub fn begin(&mut self, sent: Sent) {
        self.sent = sent;
        self.phase = Phase::Head;
        self.interim = 0;
        self.persists = false;
        self.lines.clear();
        self.head.clear();
        self.body.clear();
    }

    /// Takes what was read. Consumes nothing when no response is due: before [`begin`](Response::begin), after the
    /// response's end, after an error.
    pub fn feed(&mut self, input: &[u8]) -> Result<Fed, ProtocolError> {
        if self.phase == Phase::Idle {
            return Ok(Fed { consumed: 0, done: false });
        }
        match self.advance(input) {
            Ok(rest) => Ok(Fed { consumed: input.len() - rest.len(), done: self.phase == Phase::Idle }),
            Err(fault) => Err(self.fail(fault)),
        }
    }

    /// Takes the end of the stream: true when it is the end of the response, false when no response was due.
    pub fn end_of_stream(&mut self) -> Result<bool, ProtocolError> {
        match self.phase {
            Phase::Idle => Ok(false),
            Phase::Body if self.body.ends_with_connection() => {
                self.phase = Phase::Idle;
                Ok(true)
            }
            phase => {
                self.lines.end();
                Err(self.fail(match phase {
                    Phase::Body => Fault::Truncated("body"),
                    _ if self.lines.offset() == 0 => Fault::NoResponse,
                    _ => Fault::Truncated("head"),
                }))
            }
        }
    }

    /// The status of the response; 0 before its status line.
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// Whether the connection can take the next request, after the response's end.
    pub fn keep_alive(&self) -> bool {
        self.persists && self.phase == Phase::Idle
    }

    /// The value of the first header field of this name, in any case, if the head was kept.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The header fields in their order, if the head was kept.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.head.fields()
    }

    /// How many bytes the body has so far, without its coding.
    pub fn body_len(&self) -> u64 {
        self.body.received()
    }

    /// The body so far, if it is kept.
    pub fn body(&self) -> &[u8] {
        self.body.kept()
    }

    /// Takes what belongs to the response and gives back the rest.
    fn advance<'a>(&mut self, mut input: &'a [u8]) -> Result<&'a [u8], Fault> {
        while self.phase == Phase::Head {
            let too_long = || Fault::TooLarge { what: "bytes in the head", max: self.limits.head_bytes };
            let Some((line, rest)) = self.lines.take(input, self.head.budget(&self.limits), too_long)? else {
                return Ok(&[]);
            };
            if self.head.line(line, self.sent.keep_head, &self.limits)? {
                self.end_head()?;
            }
            input = rest;
        }
        input = self.body.feed(input, &mut self.lines, &self.limits)?;
        if self.body.ended() {
            self.phase = Phase::Idle;
        }
        Ok(input)
    }

    fn end_head(&mut self) -> Result<(), Fault> {
        match self.head.status() {
            101 if !self.sent.upgrade => return Err(Fault::Upgrade),
            100 | 102..=199 => {
                self.interim += 1;
                if self.interim > self.limits.interim {
                    let max = usize::try_from(self.limits.interim).unwrap_or(usize::MAX);
                    return Err(Fault::TooLarge { what: "interim responses", max });
                }
                self.head.clear();
                return Ok(());
            }
            _ => {}
        }
        self.body.begin(self.head.framing(self.sent.head), self.sent.keep_body, &self.limits)?;
        self.persists = self.head.persists() && !self.body.ends_with_connection();
        self.phase = Phase::Body;
        Ok(())
    }

    fn fail(&mut self, fault: Fault) -> ProtocolError {
        self.phase = Phase::Idle;
        self.persists = false;
        ProtocolError { at: self.lines.offset(), fault }
    }
}
