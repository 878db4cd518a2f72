//! Frames (RFC 9113, sections 4.1 and 6) and error codes (section 7).

use std::fmt;

/// How long a frame's head is.
pub(super) const HEAD: usize = 9;
/// What a peer takes at least, and at first (section 4.2).
pub(super) const DEFAULT_MAX_FRAME_SIZE: u32 = 16_384;
pub(super) const LARGEST_MAX_FRAME_SIZE: u32 = (1 << 24) - 1;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const WITH_PRIORITY: u8 = 0x20;

pub(super) const SETTINGS_ENABLE_PUSH: u16 = 2;
pub(super) const SETTINGS_MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const SETTINGS_HEADER_TABLE_SIZE: u16 = 1;
pub(super) const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const SETTINGS_MAX_FRAME_SIZE: u16 = 5;
pub(super) const SETTINGS_MAX_HEADER_LIST_SIZE: u16 = 6;

/// What a frame begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHead {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl FrameHead {
    pub(super) fn parse(octets: &[u8; HEAD]) -> FrameHead {
        let [a, b, c, kind, flags, stream @ ..] = *octets;
        FrameHead {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    /// `length` is below 2^24.
    pub(super) fn octets(self) -> [u8; HEAD] {
        let [_, a, b, c] = (self.length as u32).to_be_bytes();
        let [s, t, u, v] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, s, t, u, v]
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Why a stream or a connection ended; any number can come from a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u32);

impl Code {
    /// It ended as it should.
    pub const NO_ERROR: Code = Code(0x0);
    /// The protocol was violated.
    pub const PROTOCOL_ERROR: Code = Code(0x1);
    /// Something went wrong at the sender of the code.
    pub const INTERNAL_ERROR: Code = Code(0x2);
    /// More was sent than flow control allowed.
    pub const FLOW_CONTROL_ERROR: Code = Code(0x3);
    /// Settings were not acknowledged in time.
    pub const SETTINGS_TIMEOUT: Code = Code(0x4);
    /// A frame came for a stream that had ended.
    pub const STREAM_CLOSED: Code = Code(0x5);
    /// A frame has a size that it must not have.
    pub const FRAME_SIZE_ERROR: Code = Code(0x6);
    /// The request was not looked at and can be sent again.
    pub const REFUSED_STREAM: Code = Code(0x7);
    /// The stream is no longer needed.
    pub const CANCEL: Code = Code(0x8);
    /// A header block cannot be decoded.
    pub const COMPRESSION_ERROR: Code = Code(0x9);
    /// The connection behind a CONNECT broke.
    pub const CONNECT_ERROR: Code = Code(0xa);
    /// The peer causes too much load.
    pub const ENHANCE_YOUR_CALM: Code = Code(0xb);
    /// TLS is not good enough.
    pub const INADEQUATE_SECURITY: Code = Code(0xc);
    /// HTTP/1.1 has to be used.
    pub const HTTP_1_1_REQUIRED: Code = Code(0xd);

    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Code::NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
