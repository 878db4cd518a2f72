//! What comes from the peer: frames, checked against the rules of RFC 9113 and turned into events.
//!
//! DATA is shown as it comes and unknown frames are passed over as they come. Other frames are short, and are looked
//! at when they are complete. A frame's length is checked before it is waited for. What concerns a request is here; what
//! concerns the connection is in control.rs.

use super::fields::malformed;
use super::frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHead, GOAWAY, HEAD, HEADERS, PADDED, PING, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY,
};
use super::streams::Found;
use super::{Code, Connection, ConnectionError, Event, MAX_NOISE, State, StreamError, StreamId};

/// How many frames a header block may come in.
const MAX_CONTINUATIONS: u32 = 64;

const WRONG_LENGTH: &str = "an answer's data is not as long as its content-length";

/// Where in the peer's bytes the connection is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Inside {
    /// Where a frame begins.
    Between,
    /// Within the data of a DATA frame, `left` octets before its end and the padding.
    Data { stream: StreamId, left: usize, padding: usize, end: bool },
    /// Within what means nothing.
    Skipped { left: usize },
}

pub(super) type Result<T = ()> = std::result::Result<T, ConnectionError>;

pub(super) fn violation(code: Code, reason: &'static str) -> ConnectionError {
    ConnectionError { code, reason }
}

pub(super) fn protocol(reason: &'static str) -> ConnectionError {
    violation(Code::PROTOCOL_ERROR, reason)
}

pub(super) fn size(reason: &'static str) -> ConnectionError {
    violation(Code::FRAME_SIZE_ERROR, reason)
}

impl Connection {
    /// Looks at `input`, the bytes from the peer that were not yet taken, and calls `on` with what they mean. Returns
    /// how many were taken; the others, at most [`max_left`](Connection::max_left), are the beginning of a frame.
    ///
    /// After an error the connection is of no further use: what is left to do is to write its output and close it.
    pub fn feed(&mut self, input: &[u8], on: &mut impl FnMut(Event<'_>)) -> Result<usize> {
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        let mut rest = input;
        match self.take_frames(&mut rest, on) {
            Ok(()) => Ok(input.len() - rest.len()),
            Err(error) => {
                self.state = State::Failed(error);
                self.send_goaway(error.code);
                Err(error)
            }
        }
    }

    fn take_frames(&mut self, rest: &mut &[u8], on: &mut impl FnMut(Event<'_>)) -> Result {
        loop {
            match self.inside {
                Inside::Between => {
                    let Some((octets, payload)) = rest.split_first_chunk::<HEAD>() else { return Ok(()) };
                    let frame = FrameHead::parse(octets);
                    self.check_order(&frame, octets)?;
                    match frame.kind {
                        DATA => {
                            let padding = frame.has(PADDED) && frame.length > 0;
                            if padding && payload.is_empty() {
                                return Ok(());
                            }
                            self.begin_data(frame, payload.first().copied(), on)?;
                            *rest = &payload[usize::from(padding)..];
                        }
                        HEADERS..=CONTINUATION => {
                            self.check_length(&frame)?;
                            let Some((payload, after)) = payload.split_at_checked(frame.length) else { return Ok(()) };
                            *rest = after;
                            self.frame(frame, payload, on)?;
                        }
                        _ => {
                            self.count_noise()?;
                            *rest = payload;
                            self.inside = Inside::Skipped { left: frame.length };
                        }
                    }
                }
                Inside::Data { stream, left, padding, end } => {
                    let (data, after) = rest.split_at(left.min(rest.len()));
                    if data.is_empty() && left > 0 {
                        return Ok(());
                    }
                    *rest = after;
                    let left = left - data.len();
                    self.inside = match left {
                        0 => Inside::Skipped { left: padding },
                        _ => Inside::Data { stream, left, padding, end },
                    };
                    self.data(stream, data, end && left == 0, on);
                }
                Inside::Skipped { left } => {
                    let skipped = left.min(rest.len());
                    *rest = &rest[skipped..];
                    if skipped < left {
                        self.inside = Inside::Skipped { left: left - skipped };
                        return Ok(());
                    }
                    self.inside = Inside::Between;
                }
            }
        }
    }

    /// Whether this frame may come now.
    fn check_order(&self, frame: &FrameHead, octets: &[u8; HEAD]) -> Result {
        if !self.peer.known && (frame.kind != SETTINGS || frame.has(ACK)) {
            let http1 = octets.starts_with(b"HTTP/1");
            let reason = if http1 { "the peer speaks HTTP/1" } else { "the peer does not begin with SETTINGS" };
            return Err(protocol(reason));
        }
        if frame.length > self.settings.max_frame_size as usize {
            return Err(size("a frame is longer than the settings allow"));
        }
        match self.partial.stream {
            Some((stream, _)) if frame.kind != CONTINUATION || frame.stream != stream => {
                Err(protocol("a header block is interrupted by another frame"))
            }
            None if frame.kind == CONTINUATION => Err(protocol("CONTINUATION without a header block")),
            _ => Ok(()),
        }
    }

    /// Whether it is worth waiting for the payload.
    fn check_length(&self, frame: &FrameHead) -> Result {
        if frame.length > self.max_payload() {
            return Err(violation(Code::ENHANCE_YOUR_CALM, "a frame other than DATA is too long"));
        }
        Ok(())
    }

    fn frame(&mut self, frame: FrameHead, payload: &[u8], on: &mut impl FnMut(Event<'_>)) -> Result {
        match frame.kind {
            HEADERS => self.headers(frame, payload, on),
            PRIORITY => self.priority(frame, on),
            RST_STREAM => self.rst_stream(frame, payload, on),
            SETTINGS => self.settings(frame, payload),
            PUSH_PROMISE => Err(protocol("PUSH_PROMISE although push is disabled")),
            PING => self.ping(frame, payload),
            GOAWAY => self.goaway_frame(frame, payload, on),
            WINDOW_UPDATE => self.window_update(frame, payload, on),
            _ => self.continuation(frame, payload, on),
        }
    }

    /// Counts a frame that brings no request further.
    pub(super) fn count_noise(&mut self) -> Result {
        self.noise += 1;
        if self.noise > MAX_NOISE {
            return Err(violation(Code::ENHANCE_YOUR_CALM, "too many frames that bring no request further"));
        }
        Ok(())
    }

    /// Resets a stream because the peer broke a rule that concerns only that.
    pub(super) fn fail(&mut self, stream: StreamId, error: StreamError, on: &mut impl FnMut(Event<'_>)) {
        self.reset(stream, error.code);
        on(Event::Failed { stream, error });
    }

    /// The answer is complete. A body that has not been sent by now is not wanted.
    fn finish(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get(id) {
            if !stream.body.is_empty() {
                self.output.frame(RST_STREAM, 0, id.id(), &Code::CANCEL.0.to_be_bytes());
            }
            self.streams.close(id, true);
        }
    }

    /// Accounts for a DATA frame, whose first octet is `first`, and goes into it. Frames of streams that are gone
    /// count for the connection's window too (section 6.9).
    fn begin_data(&mut self, frame: FrameHead, first: Option<u8>, on: &mut impl FnMut(Event<'_>)) -> Result {
        let (padding, overhead) = match first {
            _ if !frame.has(PADDED) => (0, 0),
            Some(padding) if frame.length > 0 => (usize::from(padding), 1),
            _ => return Err(size("a padded frame is empty")),
        };
        let length = (frame.length - overhead)
            .checked_sub(padding)
            .ok_or(protocol("a frame's padding is longer than the frame"))?;
        self.inside = Inside::Skipped { left: frame.length - overhead };
        match self.receive.take(frame.length) {
            Err(()) => {
                return Err(violation(Code::FLOW_CONTROL_ERROR, "more data than the connection's window allows"));
            }
            Ok(Some(room)) => self.output.reply(WINDOW_UPDATE, 0, 0, &room.to_be_bytes())?,
            Ok(None) => {}
        }
        let id = match self.streams.find(frame.stream) {
            Found::Open(id) => id,
            Found::Gone if length > 0 => return Ok(()),
            Found::Gone => return self.count_noise(),
            Found::Ended => return Err(violation(Code::STREAM_CLOSED, "DATA after the end of its stream")),
            Found::Idle => return Err(protocol("DATA on a stream that was never opened")),
        };
        let end = frame.has(END_STREAM);
        match self.account(id, frame.length, length, end) {
            Err(error) => self.fail(id, error, on),
            Ok(room) => {
                if let Some(room) = room {
                    self.output.reply(WINDOW_UPDATE, 0, id.id(), &room.to_be_bytes())?;
                }
                if length == 0 && !end {
                    return self.count_noise();
                }
                self.noise = 0;
                self.inside = Inside::Data { stream: id, left: length, padding, end };
            }
        }
        Ok(())
    }

    /// Accounts for data on an open stream. Returns what is to be given back of its window now, if anything.
    fn account(
        &mut self,
        id: StreamId,
        counted: usize,
        length: usize,
        end: bool,
    ) -> std::result::Result<Option<u32>, StreamError> {
        let Some(stream) = self.streams.get(id) else { return Ok(None) };
        let Ok(room) = stream.receive.take(counted) else {
            let reason = "more data than the stream's window allows";
            return Err(StreamError { code: Code::FLOW_CONTROL_ERROR, reason });
        };
        if !stream.answered {
            return Err(malformed("an answer's data comes before its head"));
        }
        if stream.no_content && length > 0 {
            return Err(malformed("an answer that cannot have data has some"));
        }
        if let Some(left) = &mut stream.left {
            match left.checked_sub(length as u64) {
                Some(0) => *left = 0,
                Some(less) if !end => *left = less,
                _ => return Err(malformed(WRONG_LENGTH)),
            }
        }
        Ok(room.filter(|_| !end))
    }

    fn data(&mut self, stream: StreamId, data: &[u8], end: bool, on: &mut impl FnMut(Event<'_>)) {
        // It may have been reset since the frame began.
        if self.streams.get(stream).is_none() {
            return;
        }
        if end {
            self.finish(stream);
        }
        on(Event::Data { stream, data, end });
    }

    fn headers(&mut self, frame: FrameHead, mut payload: &[u8], on: &mut impl FnMut(Event<'_>)) -> Result {
        let mut padding = 0;
        if frame.has(PADDED) {
            let (&first, after) = payload.split_first().ok_or(size("a padded frame is empty"))?;
            (padding, payload) = (usize::from(first), after);
        }
        if frame.has(WITH_PRIORITY) {
            payload = payload.get(5..).ok_or(size("HEADERS is too short for its priority"))?;
        }
        let length =
            payload.len().checked_sub(padding).ok_or(protocol("a frame's padding is longer than the frame"))?;
        let (block, end) = (&payload[..length], frame.has(END_STREAM));
        if self.streams.find(frame.stream) == Found::Idle {
            return Err(protocol("HEADERS on a stream that was never opened"));
        }
        if frame.has(END_HEADERS) {
            return self.block(frame.stream, block, end, on);
        }
        self.partial.stream = Some((frame.stream, end));
        self.partial.frames = 0;
        self.partial.text.clear();
        self.extend_partial(block)
    }

    fn continuation(&mut self, frame: FrameHead, payload: &[u8], on: &mut impl FnMut(Event<'_>)) -> Result {
        self.extend_partial(payload)?;
        if frame.has(END_HEADERS)
            && let Some((stream, end)) = self.partial.stream.take()
        {
            let text = std::mem::take(&mut self.partial.text);
            let result = self.block(stream, &text, end, on);
            self.partial.text = text;
            return result;
        }
        Ok(())
    }

    fn extend_partial(&mut self, piece: &[u8]) -> Result {
        self.partial.frames += 1;
        let length = self.partial.text.len() + piece.len();
        if length > self.settings.max_header_list as usize || self.partial.frames > MAX_CONTINUATIONS {
            return Err(violation(Code::ENHANCE_YOUR_CALM, "a header block is too long"));
        }
        self.partial.text.extend_from_slice(piece);
        Ok(())
    }

    /// A complete header block. It is decoded even if nobody wants it, since others refer to it.
    fn block(&mut self, stream: u32, block: &[u8], end: bool, on: &mut impl FnMut(Event<'_>)) -> Result {
        let limit = self.settings.max_header_list as usize;
        let broken = |_| violation(Code::COMPRESSION_ERROR, "a header block cannot be decoded");
        let id = match self.streams.find(stream) {
            Found::Open(id) => id,
            Found::Ended => return Err(violation(Code::STREAM_CLOSED, "HEADERS after the end of its stream")),
            Found::Gone | Found::Idle => {
                self.decoder.decode(block, |_, _| ()).map_err(broken)?;
                return self.count_noise();
            }
        };
        if self.streams.get(id).is_some_and(|stream| stream.answered) {
            self.trailers.read(&mut self.decoder, block, limit).map_err(broken)?;
            self.noise = 0;
            return self.end_with_trailers(id, end, on);
        }
        self.heads.read(&mut self.decoder, block, limit).map_err(broken)?;
        self.head(id, end, on)
    }

    /// What `heads` holds is the head of an answer.
    fn head(&mut self, id: StreamId, end: bool, on: &mut impl FnMut(Event<'_>)) -> Result {
        let Some(stream) = self.streams.get(id) else { return Ok(()) };
        let (status, length) = (self.heads.status, self.heads.content_length);
        let no_content = stream.no_content || matches!(status, 204 | 304);
        let fault = match status {
            _ if self.heads.fault.is_some() => self.heads.fault,
            101 => Some(malformed("an answer has status 101, which HTTP/2 does not have")),
            100..=199 if end => Some(malformed("an interim answer ends its stream")),
            100..=199 => return self.count_noise(),
            _ if end && !no_content && length.is_some_and(|length| length > 0) => Some(malformed(WRONG_LENGTH)),
            _ => None,
        };
        stream.answered = true;
        stream.no_content = no_content;
        stream.left = length.filter(|_| !no_content);
        self.noise = 0;
        match fault {
            Some(error) => self.fail(id, error, on),
            None => {
                if end {
                    self.finish(id);
                }
                on(Event::Head { stream: id, status, fields: &self.heads.fields, end });
            }
        }
        Ok(())
    }

    /// What `trailers` holds comes after an answer's content.
    fn end_with_trailers(&mut self, id: StreamId, end: bool, on: &mut impl FnMut(Event<'_>)) -> Result {
        let short = self.streams.get(id).is_some_and(|stream| stream.left.is_some_and(|left| left > 0));
        let fault = match self.trailers.fault {
            Some(fault) => Some(fault),
            None if !end => Some(malformed("an answer has a second head")),
            None if short => Some(malformed(WRONG_LENGTH)),
            None => None,
        };
        match fault {
            Some(fault) => self.fail(id, fault, on),
            None => {
                self.finish(id);
                on(Event::Trailers { stream: id, fields: &self.trailers.fields });
            }
        }
        Ok(())
    }
}
