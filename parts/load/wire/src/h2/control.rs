//! Frames that concern the connection or a stream as such: settings, windows, resets (RFC 9113, section 6).

use super::frame::{
    ACK, FrameHead, LARGEST_MAX_FRAME_SIZE, PING, SETTINGS, SETTINGS_ENABLE_PUSH, SETTINGS_HEADER_TABLE_SIZE,
    SETTINGS_INITIAL_WINDOW_SIZE, SETTINGS_MAX_CONCURRENT_STREAMS, SETTINGS_MAX_FRAME_SIZE,
};
use super::receive::{Result, protocol, size, violation};
use super::streams::Found;
use super::{Code, Connection, DEFAULT_MAX_FRAME_SIZE, Event, State, StreamError, StreamId, TABLE_SIZE, flow};

fn u32_of(payload: &[u8], reason: &'static str) -> Result<u32> {
    payload.try_into().map(u32::from_be_bytes).map_err(|_| size(reason))
}

impl Connection {
    /// Priorities mean nothing to a client.
    pub(super) fn priority(&mut self, frame: FrameHead, on: &mut impl FnMut(Event<'_>)) -> Result {
        if frame.stream == 0 {
            return Err(protocol("PRIORITY on stream 0"));
        }
        if frame.length != 5
            && let Found::Open(id) = self.streams.find(frame.stream)
        {
            self.fail(id, StreamError { code: Code::FRAME_SIZE_ERROR, reason: "PRIORITY is not 5 octets long" }, on);
        }
        self.count_noise()
    }

    pub(super) fn rst_stream(&mut self, frame: FrameHead, payload: &[u8], on: &mut impl FnMut(Event<'_>)) -> Result {
        let code = Code(u32_of(payload, "RST_STREAM is not 4 octets long")?);
        match self.streams.find(frame.stream) {
            Found::Open(stream) => {
                self.streams.close(stream, false);
                self.noise = 0;
                on(Event::Reset { stream, code });
                Ok(())
            }
            Found::Gone | Found::Ended => self.count_noise(),
            Found::Idle => Err(protocol("RST_STREAM on a stream that was never opened")),
        }
    }

    pub(super) fn settings(&mut self, frame: FrameHead, payload: &[u8]) -> Result {
        if frame.stream != 0 {
            return Err(protocol("SETTINGS on a stream"));
        }
        self.count_noise()?;
        if frame.has(ACK) {
            return if payload.is_empty() { Ok(()) } else { Err(size("an acknowledgement of SETTINGS is not empty")) };
        }
        let (settings, []) = payload.as_chunks::<6>() else {
            return Err(size("the length of SETTINGS is not a multiple of 6"));
        };
        self.peer.known = true;
        let mut window = self.peer.initial_window;
        for &[a, b, value @ ..] in settings {
            self.apply(u16::from_be_bytes([a, b]), u32::from_be_bytes(value), &mut window)?;
        }
        self.set_initial_window(window)?;
        self.output.reply(SETTINGS, ACK, 0, &[])
    }

    /// The initial window is only noted: however often it stands in a frame, the streams are gone through once.
    fn apply(&mut self, setting: u16, value: u32, window: &mut u32) -> Result {
        match setting {
            SETTINGS_HEADER_TABLE_SIZE => self.peer.shrinks_table |= (value as usize) < TABLE_SIZE,
            SETTINGS_ENABLE_PUSH if value != 0 => return Err(protocol("the peer, a server, enables push")),
            SETTINGS_MAX_CONCURRENT_STREAMS => self.peer.max_streams = value as usize,
            SETTINGS_INITIAL_WINDOW_SIZE if value > flow::LARGEST => {
                let reason = "the peer's SETTINGS_INITIAL_WINDOW_SIZE is too large";
                return Err(violation(Code::FLOW_CONTROL_ERROR, reason));
            }
            SETTINGS_INITIAL_WINDOW_SIZE => *window = value,
            SETTINGS_MAX_FRAME_SIZE => {
                if !(DEFAULT_MAX_FRAME_SIZE..=LARGEST_MAX_FRAME_SIZE).contains(&value) {
                    return Err(protocol("the peer's SETTINGS_MAX_FRAME_SIZE is out of range"));
                }
                self.peer.max_frame_size = value as usize;
            }
            // Among them SETTINGS_MAX_HEADER_LIST_SIZE, which is advice.
            _ => {}
        }
        Ok(())
    }

    /// The windows of all streams become larger or smaller by the difference (section 6.9.2).
    fn set_initial_window(&mut self, value: u32) -> Result {
        let by = i64::from(value) - i64::from(self.peer.initial_window);
        if by == 0 {
            return Ok(());
        }
        self.peer.initial_window = value;
        let mut waiting = Vec::new();
        for stream in self.streams.iter_mut() {
            stream.send.change(by).map_err(|()| violation(Code::FLOW_CONTROL_ERROR, "a stream's window overflows"))?;
            if !stream.body.is_empty() {
                waiting.push(stream.id);
            }
        }
        waiting.into_iter().for_each(|stream| self.enqueue(stream));
        Ok(())
    }

    pub(super) fn ping(&mut self, frame: FrameHead, payload: &[u8]) -> Result {
        if frame.stream != 0 {
            return Err(protocol("PING on a stream"));
        }
        if payload.len() != 8 {
            return Err(size("PING is not 8 octets long"));
        }
        self.count_noise()?;
        if frame.has(ACK) { Ok(()) } else { self.output.reply(PING, ACK, 0, payload) }
    }

    pub(super) fn goaway_frame(&mut self, frame: FrameHead, payload: &[u8], on: &mut impl FnMut(Event<'_>)) -> Result {
        if frame.stream != 0 {
            return Err(protocol("GOAWAY on a stream"));
        }
        let Some((&[a, b, c, d, code @ ..], debug)) = payload.split_first_chunk::<8>() else {
            return Err(size("GOAWAY is shorter than 8 octets"));
        };
        self.count_noise()?;
        self.state = State::Closing;
        let last = u32::from_be_bytes([a, b, c, d]) & flow::LARGEST;
        on(Event::GoAway { last, code: Code(u32::from_be_bytes(code)), debug });
        let refused = |id: &StreamId| id.id() > last;
        let refused: Vec<StreamId> = self.streams.iter_mut().map(|stream| stream.id).filter(refused).collect();
        for stream in refused {
            self.streams.close(stream, false);
            on(Event::Reset { stream, code: Code::REFUSED_STREAM });
        }
        Ok(())
    }

    pub(super) fn window_update(&mut self, frame: FrameHead, payload: &[u8], on: &mut impl FnMut(Event<'_>)) -> Result {
        let by = u32_of(payload, "WINDOW_UPDATE is not 4 octets long")? & flow::LARGEST;
        self.count_noise()?;
        if frame.stream == 0 {
            if by == 0 {
                return Err(protocol("WINDOW_UPDATE of nothing"));
            }
            return self
                .send
                .change(i64::from(by))
                .map_err(|()| violation(Code::FLOW_CONTROL_ERROR, "the connection's window overflows"));
        }
        let id = match self.streams.find(frame.stream) {
            Found::Open(id) => id,
            Found::Gone | Found::Ended => return Ok(()),
            Found::Idle => return Err(protocol("WINDOW_UPDATE on a stream that was never opened")),
        };
        let Some(stream) = self.streams.get(id) else { return Ok(()) };
        if by == 0 {
            self.fail(id, StreamError { code: Code::PROTOCOL_ERROR, reason: "WINDOW_UPDATE of nothing" }, on);
        } else if stream.send.change(i64::from(by)).is_err() {
            let reason = "a stream's window overflows";
            self.fail(id, StreamError { code: Code::FLOW_CONTROL_ERROR, reason }, on);
        } else {
            self.enqueue(id);
        }
        Ok(())
    }
}
