//! Reading a server's frames: messages are put together, control frames between their fragments taken out.

use thiserror::Error;

use super::frame::{CloseCode, Control, Header, Opcode};
use super::utf8::Utf8;

/// Reads what a server sends after the handshake.
#[derive(Debug)]
pub struct Reader {
    /// How long a message may be that is kept; none are without it.
    keep: Option<usize>,
    /// Where the frame begins that is being read.
    offset: u64,
    /// The start of a header that is not whole.
    header: [u8; Header::MAX],
    header_len: usize,
    frame: Option<Frame>,
    /// Kind and length so far of the message that is being read.
    message: Option<(Kind, u64)>,
    text: Utf8,
    kept: Vec<u8>,
    control: Vec<u8>,
    /// After a close or an error nothing counts.
    over: bool,
}

/// A frame whose header was read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    header: Header,
    left: u64,
}

/// What came of some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed<'a> {
    /// How much of it was used: all, unless there is an event. The rest is to be fed again.
    pub consumed: usize,
    /// What it ended.
    pub event: Option<Event<'a>>,
}

/// What a server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message, whole.
    Message {
        /// What it is.
        kind: Kind,
        /// Its length in bytes.
        len: u64,
        /// Its bytes, if messages are kept; those of a text are UTF-8.
        payload: Option<&'a [u8]>,
    },
    /// To be answered with a pong.
    Ping(Control<'a>),
    /// An answer to a ping, or a sign of life.
    Pong(Control<'a>),
    /// To be answered with a close, unless it is the answer to one. Nothing follows.
    Close {
        /// Why, if it says so.
        code: Option<CloseCode>,
        /// The same in words; may be empty.
        reason: &'a str,
    },
}

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text in UTF-8.
    Text,
    /// Anything.
    Binary,
}

/// A server that breaks the protocol or a limit. The connection is of no further use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the frame at byte {at} after the handshake: {fault}")]
pub struct ProtocolError {
    /// Where the frame begins, counted from the end of the handshake.
    pub at: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// A bit of an extension.
    #[error("a reserved bit is set, though no extension was agreed on")]
    ReservedBits,
    /// Not an opcode.
    #[error("{0:#x} is not an opcode")]
    Opcode(u8),
    /// A server must not mask.
    #[error("it is masked, which is for clients")]
    Masked,
    /// A control frame that is not small and whole.
    #[error("a control frame is fragmented or has more than 125 bytes")]
    Control,
    /// A length that does not fit its form.
    #[error("the length {0} is not written in the shortest form, or is above 2^63")]
    Length(u64),
    /// A fragment of nothing.
    #[error("it continues a message, but none was begun")]
    Continuation,
    /// A message within a message.
    #[error("it begins a message within the fragments of another")]
    Interleaved,
    /// A text that is none.
    #[error("a text is not UTF-8")]
    Utf8,
    /// A close with one byte, which is half a code.
    #[error("a close has one byte: none or a code of two bytes was expected")]
    CloseLength,
    /// A code that is never sent.
    #[error("a close has the code {0}, which must not be sent")]
    CloseCode(u16),
    /// A limit is broken.
    #[error("a message has more than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
}

/// What a frame ended; where its bytes are is known.
enum Ended {
    Message(Kind, u64),
    Ping,
    Pong,
    Close(Option<CloseCode>),
}

impl Reader {
    /// One that keeps messages of up to `keep` bytes and refuses longer ones; without it, messages of any length are
    /// counted only.
    pub fn new(keep: Option<usize>) -> Reader {
        Reader {
            keep,
            offset: 0,
            header: [0; Header::MAX],
            header_len: 0,
            frame: None,
            message: None,
            text: Utf8::default(),
            kept: Vec::new(),
            control: Vec::new(),
            over: false,
        }
    }

    /// Takes what was read, up to the first event. After a close or an error, what comes is thrown away.
    pub fn feed(&mut self, input: &[u8]) -> Result<Fed<'_>, ProtocolError> {
        let mut rest = input;
        match self.advance(&mut rest) {
            Ok(ended) => Ok(Fed { consumed: input.len() - rest.len(), event: ended.map(|ended| self.event(ended)) }),
            Err(fault) => {
                self.over = true;
                Err(ProtocolError { at: self.offset, fault })
            }
        }
    }

    /// Whether a message has begun to come and has no end yet.
    pub fn is_within_message(&self) -> bool {
        // Of a frame whose header is not whole, the first byte tells what it is for.
        let begins =
            || self.header.first().is_some_and(|first| self.header_len > 0 && !Opcode::is_control_byte(*first));
        self.message.is_some() || (self.frame.is_none() && begins())
    }

    fn advance(&mut self, rest: &mut &[u8]) -> Result<Option<Ended>, Fault> {
        while !self.over {
            let Some(frame) = self.frame else {
                let Some(header) = self.read_header(rest)? else { return Ok(None) };
                self.begin(header)?;
                self.frame = Some(Frame { header, left: header.len });
                continue;
            };
            let count = usize::try_from(frame.left).map_or(rest.len(), |left| left.min(rest.len()));
            let (payload, after) = rest.split_at(count);
            *rest = after;
            self.take(frame.header.opcode, payload)?;
            let left = frame.left - count as u64;
            if left > 0 {
                self.frame = Some(Frame { left, ..frame });
                return Ok(None);
            }
            let ended = self.end(frame.header)?;
            self.frame = None;
            self.offset = self.offset.saturating_add(self.header_len as u64).saturating_add(frame.header.len);
            self.header_len = 0;
            if ended.is_some() {
                return Ok(ended);
            }
        }
        *rest = &[];
        Ok(None)
    }

    /// Takes bytes until there is a header.
    fn read_header(&mut self, rest: &mut &[u8]) -> Result<Option<Header>, Fault> {
        while let Some((first, after)) = rest.split_first()
            && let Some(slot) = self.header.get_mut(self.header_len)
        {
            *slot = *first;
            self.header_len += 1;
            *rest = after;
            let header = Header::parse(self.header.get(..self.header_len).unwrap_or_default())?;
            if header.is_some() {
                return Ok(header);
            }
        }
        Ok(None)
    }

    /// Begins with a frame: where it stands among the others must be right.
    fn begin(&mut self, header: Header) -> Result<(), Fault> {
        let kind = match (header.opcode, self.message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {
                self.control.clear();
                return Ok(());
            }
            (Opcode::Continuation, Some((kind, _))) => kind,
            (Opcode::Continuation, None) => return Err(Fault::Continuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Fault::Interleaved),
            (Opcode::Text, None) => Kind::Text,
            (Opcode::Binary, None) => Kind::Binary,
        };
        if self.message.is_none() {
            self.text = Utf8::default();
            self.kept.clear();
        }
        let len = self.message.map_or(0, |(_, len)| len).saturating_add(header.len);
        if let Some(max) = self.keep
            && len > max as u64
        {
            return Err(Fault::TooLarge { max });
        }
        self.message = Some((kind, len));
        Ok(())
    }

    /// Takes the next piece of a frame's payload.
    fn take(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Fault> {
        if opcode.is_control() {
            self.control.extend_from_slice(payload);
            return Ok(());
        }
        if matches!(self.message, Some((Kind::Text, _))) && !self.text.push(payload) {
            return Err(Fault::Utf8);
        }
        if self.keep.is_some() {
            self.kept.extend_from_slice(payload);
        }
        Ok(())
    }

    /// Ends a frame, and with it what it is the last of.
    fn end(&mut self, header: Header) -> Result<Option<Ended>, Fault> {
        match header.opcode {
            Opcode::Ping => Ok(Some(Ended::Ping)),
            Opcode::Pong => Ok(Some(Ended::Pong)),
            Opcode::Close => {
                self.over = true;
                close_code(&self.control).map(|code| Some(Ended::Close(code)))
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary if header.last => {
                if !self.text.complete() {
                    return Err(Fault::Utf8);
                }
                Ok(self.message.take().map(|(kind, len)| Ended::Message(kind, len)))
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => Ok(None),
        }
    }

    fn event(&self, ended: Ended) -> Event<'_> {
        match ended {
            Ended::Message(kind, len) => Event::Message { kind, len, payload: self.keep.map(|_| &*self.kept) },
            Ended::Ping => Event::Ping(Control::of_frame(&self.control)),
            Ended::Pong => Event::Pong(Control::of_frame(&self.control)),
            Ended::Close(code) => Event::Close { code, reason: reason(&self.control).unwrap_or_default() },
        }
    }
}

/// The code of a close, whose reason is checked too.
fn close_code(payload: &[u8]) -> Result<Option<CloseCode>, Fault> {
    let code = match payload {
        [] => return Ok(None),
        [_] => return Err(Fault::CloseLength),
        [a, b, ..] => u16::from_be_bytes([*a, *b]),
    };
    reason(payload).ok_or(Fault::Utf8)?;
    CloseCode::new(code).ok_or(Fault::CloseCode(code)).map(Some)
}

fn reason(payload: &[u8]) -> Option<&str> {
    str::from_utf8(payload.get(2..).unwrap_or_default()).ok()
}
