//! Frames (RFC 6455, 5.2): writing those of a client, and reading the header of a server's.

use super::Fault;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn new(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0,
            Opcode::Text => 1,
            Opcode::Binary => 2,
            Opcode::Close => 8,
            Opcode::Ping => 9,
            Opcode::Pong => 10,
        }
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }

    /// Whether the first byte of a header is that of a control frame: the opcodes tell by their highest bit.
    pub(super) fn is_control_byte(first: u8) -> bool {
        first & 0x08 != 0
    }
}

/// The payload of a ping or a pong: 125 bytes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control<'a>(&'a [u8]);

impl<'a> Control<'a> {
    /// The most bytes that a control frame may carry.
    pub const MAX: usize = 125;

    /// `payload`, unless it is too long.
    pub fn new(payload: &'a [u8]) -> Option<Control<'a>> {
        (payload.len() <= Control::MAX).then_some(Control(payload))
    }

    /// The payload of a frame that was read, which [`Header::parse`] found to be short enough.
    pub(super) fn of_frame(payload: &'a [u8]) -> Control<'a> {
        Control(payload)
    }

    /// Its bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// Why a connection is closed, as a code that may be sent (RFC 6455, 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// What the connection was for is done.
    pub const NORMAL: CloseCode = CloseCode(1000);

    /// `code`, unless it is one that is never sent: undefined, or for local use as 1005, 1006 and 1015.
    pub fn new(code: u16) -> Option<CloseCode> {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(CloseCode(code))
    }

    /// Its number.
    pub fn code(self) -> u16 {
        self.0
    }
}

/// Appends a text message in one frame.
pub fn encode_text(out: &mut Vec<u8>, text: &str, mask: [u8; 4]) {
    encode(out, Opcode::Text, text.as_bytes(), mask);
}

/// Appends a binary message in one frame.
pub fn encode_binary(out: &mut Vec<u8>, payload: &[u8], mask: [u8; 4]) {
    encode(out, Opcode::Binary, payload, mask);
}

/// Appends a ping.
pub fn encode_ping(out: &mut Vec<u8>, payload: Control, mask: [u8; 4]) {
    encode(out, Opcode::Ping, payload.0, mask);
}

/// Appends a pong, whose payload is that of the ping.
pub fn encode_pong(out: &mut Vec<u8>, payload: Control, mask: [u8; 4]) {
    encode(out, Opcode::Pong, payload.0, mask);
}

/// Appends a close. In answer to one, its code is the one that came.
pub fn encode_close(out: &mut Vec<u8>, code: Option<CloseCode>, mask: [u8; 4]) {
    match code {
        Some(code) => encode(out, Opcode::Close, &code.0.to_be_bytes(), mask),
        None => encode(out, Opcode::Close, &[], mask),
    }
}

fn encode(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    const FIN: u8 = 0x80;
    const MASKED: u8 = 0x80;
    out.reserve(payload.len() + 14);
    out.push(FIN | opcode.bits());
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ ..126), _) => out.push(MASKED | len),
        (_, Ok(len)) => {
            out.push(MASKED | 126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(out.get_mut(start..).unwrap_or_default(), mask);
}

/// Masks eight bytes at a time, which the compiler turns into vectors.
fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    rest.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

/// The header of a server's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) last: bool,
    pub(super) opcode: Opcode,
    pub(super) len: u64,
}

impl Header {
    /// The longest that a server sends: it does not mask.
    pub(super) const MAX: usize = 10;

    /// Reads a whole header; none while `bytes` are too few.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, Fault> {
        let [first, second, extended @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Fault::ReservedBits);
        }
        let opcode = Opcode::new(first & 0x0f).ok_or(Fault::Opcode(first & 0x0f))?;
        let last = first & 0x80 != 0;
        if second & 0x80 != 0 {
            return Err(Fault::Masked);
        }
        let len = second & 0x7f;
        if opcode.is_control() && !(last && len <= 125) {
            return Err(Fault::Control);
        }
        let (len, least) = match (len, extended) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 126),
            (127, _) if let Some(len) = extended.first_chunk() => (u64::from_be_bytes(*len), 1 << 16),
            (126 | 127, _) => return Ok(None),
            (len, _) => (u64::from(len), 0),
        };
        if len < least || len >> 63 != 0 {
            return Err(Fault::Length(len));
        }
        Ok(Some(Header { last, opcode, len }))
    }
}
