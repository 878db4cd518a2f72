//! The connection against frames written by hand: what it does, which rules it holds the peer to (rules.rs), and laws
//! that hold for any input (laws.rs).

mod laws;
mod rules;

use std::fmt::Write as _;

use bytes::{Buf, Bytes};

use super::frame::*;
use super::*;
use crate::hpack::Head;

const OK: &[u8] = &[0x88];
const LITERAL_OK: &[u8] = b"\x08\x03200";
const INTERIM: &[u8] = b"\x08\x03103";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let head = FrameHead { length: payload.len(), kind, flags, stream }.octets();
    [&head, payload].concat()
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

fn get() -> Head {
    Head::new("GET", "http", "a", "/")
}

/// What was sent, a line a frame, without the lengths of what is none of a test's business.
fn sent(connection: &mut Connection) -> String {
    let (mut bytes, mut text) = (connection.output().split(), String::new());
    while let Some(octets) = bytes.first_chunk::<HEAD>() {
        let head = FrameHead::parse(octets);
        bytes.advance(HEAD);
        let payload = bytes.split_to(head.length);
        let end = if head.has(END_STREAM) { " end" } else { "" };
        let number = payload.last_chunk::<4>().map_or(0, |last| u32::from_be_bytes(*last));
        let line = match head.kind {
            DATA => format!("data {} {}{end}", head.stream, payload.len()),
            HEADERS => format!("headers {}{end}", head.stream),
            CONTINUATION => format!("continuation {} {}", head.stream, head.has(END_HEADERS)),
            RST_STREAM => format!("reset {} {}", head.stream, Code(number)),
            SETTINGS => format!("settings {}", if head.has(ACK) { "ack" } else { "" }),
            PING => format!("ping {}", String::from_utf8_lossy(&payload)),
            GOAWAY => format!("goaway {}", Code(number)),
            WINDOW_UPDATE => format!("window {} {number}", head.stream),
            _ => unreachable!("{head:?}"),
        };
        text += &line;
        text.push('\n');
    }
    text
}

/// The events as lines; pieces of data are put together.
#[derive(Debug, Default, PartialEq)]
struct Log {
    text: String,
    data: Option<(u32, Vec<u8>)>,
}

impl Log {
    fn add(&mut self, event: &Event<'_>) {
        if let Event::Data { stream, data, end: false } = event {
            match &mut self.data {
                Some((id, pieces)) if *id == stream.id() => pieces.extend_from_slice(data),
                _ => {
                    self.flush();
                    self.data = Some((stream.id(), data.to_vec()));
                }
            }
            return;
        }
        let fields = |fields: &Fields| {
            let text = |text| String::from_utf8_lossy(text).into_owned();
            fields.iter().map(|(name, value)| format!(" {}={}", text(name), text(value))).collect::<String>()
        };
        let line = match event {
            Event::Head { stream, status, fields: f, end } => {
                format!("head {} {status}{} {end}", stream.id(), fields(f))
            }
            Event::Data { stream, data, .. } => {
                let before = self.data.take_if(|(id, _)| *id == stream.id());
                let all = [before.map_or(Vec::new(), |(_, data)| data), data.to_vec()].concat();
                format!("data {} {} end", stream.id(), String::from_utf8_lossy(&all))
            }
            Event::Trailers { stream, fields: f } => format!("trailers {}{}", stream.id(), fields(f)),
            Event::Reset { stream, code } => format!("reset {} {code}", stream.id()),
            Event::Failed { stream, error } => format!("failed {} {}", stream.id(), error.code),
            Event::GoAway { last, code, debug } => format!("goaway {last} {code} {}", String::from_utf8_lossy(debug)),
        };
        self.flush();
        let _ = writeln!(self.text, "{line}");
    }

    fn flush(&mut self) {
        if let Some((id, data)) = self.data.take() {
            let _ = writeln!(self.text, "data {id} {}", String::from_utf8_lossy(&data));
        }
    }
}

fn feed(connection: &mut Connection, input: &[u8]) -> Result<String, Code> {
    let mut log = Log::default();
    let taken = connection.feed(input, &mut |event| log.add(&event)).map_err(|error| error.code)?;
    assert!(input.len() - taken < connection.max_left());
    log.flush();
    Ok(log.text)
}

/// A connection whose preface is written and whose peer has sent empty settings.
fn ready(settings: Settings) -> Connection {
    let mut connection = Connection::new(settings);
    assert_eq!(connection.capacity(), 0);
    connection.output().clear();
    feed(&mut connection, &frame(SETTINGS, 0, 0, &[])).unwrap();
    assert_eq!(sent(&mut connection), "settings ack\n");
    connection
}

/// Streams in all states: 1 waits for an answer, 3 for its content, 5 was ended by the peer, 7 was reset, 9 has a body
/// to send and waits for an answer, 11 is idle.
fn in_all_states() -> Connection {
    let mut connection = ready(Settings { max_header_list: 400, ..Settings::default() });
    for body in [0, 0, 0, 0, 100_000] {
        let stream = connection.open(&get(), vec![b'x'; body].into()).unwrap();
        match stream.id() {
            3 => drop(feed(&mut connection, &frame(HEADERS, END_HEADERS, 3, OK)).unwrap()),
            5 => drop(feed(&mut connection, &frame(HEADERS, END_HEADERS | END_STREAM, 5, OK)).unwrap()),
            7 => connection.reset(stream, Code::CANCEL),
            _ => {}
        }
    }
    assert_eq!((sent(&mut connection).lines().last(), connection.streams()), (Some("data 9 16383"), 3));
    connection
}

#[test]
fn the_preface_tells_the_settings() {
    let mut connection = Connection::new(Settings { connection_window: 100_000, ..Settings::default() });
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert!(connection.output().starts_with(preface));
    connection.output().advance(preface.len());
    assert_eq!(connection.output()[9..15], [0, 2, 0, 0, 0, 0]);
    assert_eq!(sent(&mut connection), "settings \nwindow 0 34465\n");
    assert!(
        Connection::new(Settings { connection_window: 0, ..Settings::default() }).output().ends_with(&[0, 1, 0, 0])
    );
}

#[test]
fn answers_become_events() {
    let check = |frames: &[Vec<u8>], expected: &str| {
        let mut connection = in_all_states();
        assert_eq!(feed(&mut connection, &frames.concat()).as_deref(), Ok(expected));
    };
    let typed = b"\x88\x5f\x03a/b";
    check(&[frame(HEADERS, END_HEADERS | END_STREAM, 1, typed)], "head 1 200 content-type=a/b true\n");
    check(&[frame(DATA, END_STREAM, 3, b"abc")], "data 3 abc end\n");
    check(&[frame(DATA, 0, 3, b"abc"), frame(DATA, END_STREAM, 3, b"")], "data 3 abc end\n");
    check(&[frame(DATA, END_STREAM | PADDED, 3, b"\x02abc\0\0")], "data 3 abc end\n");
    check(&[frame(DATA, END_STREAM | PADDED, 3, b"\x02\0\0"), frame(PING, ACK, 0, &[0; 8])], "data 3  end\n");
    check(
        &[
            frame(HEADERS, 0, 1, &[]),
            frame(CONTINUATION, 0, 1, OK),
            frame(CONTINUATION, END_HEADERS, 1, &typed[1..]),
            frame(DATA, 0, 1, b"x"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\0\x01a\x01b"),
        ],
        "head 1 200 content-type=a/b false\ndata 1 x\ntrailers 1 a=b\n",
    );
    let padded = [&[1, 0, 0, 0, 0, 9][..], OK, &[0]].concat();
    check(&[frame(HEADERS, END_HEADERS | PADDED | WITH_PRIORITY, 1, &padded)], "head 1 200 false\n");
    check(&[frame(HEADERS, END_HEADERS, 1, INTERIM), frame(HEADERS, END_HEADERS, 1, OK)], "head 1 200 false\n");
    check(&[frame(RST_STREAM, 0, 9, &[0, 0, 0, 8])], "reset 9 CANCEL\n");
    check(&[frame(PRIORITY, 0, 1, &[0; 5]), frame(0x42, 0xff, 1, b"unknown"), frame(SETTINGS, ACK, 0, &[])], "");
    // Frames that crossed our reset, and late ones that are allowed after an end; the block still fills the table.
    check(
        &[
            frame(HEADERS, END_HEADERS, 7, b"\x88\x40\x01a\x01b"),
            frame(DATA, END_STREAM, 7, b"abc"),
            frame(RST_STREAM, 0, 7, &[0; 4]),
            frame(RST_STREAM, 0, 5, &[0; 4]),
            frame(WINDOW_UPDATE, 0, 5, &[0, 0, 0, 1]),
            frame(HEADERS, END_HEADERS, 1, b"\x88\xbe"),
        ],
        "head 1 200 a=b false\n",
    );
    // Content-length where there is no content, and where there is.
    let length = b"\x8b\x5c\x01\x33";
    check(&[frame(HEADERS, END_HEADERS | END_STREAM, 1, length)], "head 1 304 content-length=3 true\n");
    let head = "head 1 304 content-length=3 false\ndata 1  end\n";
    check(&[frame(HEADERS, END_HEADERS, 1, length), frame(DATA, END_STREAM, 1, b"")], head);
    let parts = [frame(HEADERS, END_HEADERS, 1, b"\x88\x5c\x01\x33"), frame(DATA, 0, 1, b"ab")];
    check(
        &[&parts[..], &[frame(DATA, END_STREAM, 1, b"c")]].concat(),
        "head 1 200 content-length=3 false\ndata 1 abc end\n",
    );
}

#[test]
fn the_peer_begins_with_its_settings() {
    let check = |input: &[u8], reason: &str| {
        let error = Connection::new(Settings::default()).feed(input, &mut |_| ()).unwrap_err();
        assert_eq!((error.code, error.reason), (Code::PROTOCOL_ERROR, reason));
    };
    check(b"HTTP/1.1 400 Bad Request\r\n", "the peer speaks HTTP/1");
    check(&frame(PING, 0, 0, &[0; 8]), "the peer does not begin with SETTINGS");
    check(&frame(SETTINGS, ACK, 0, &[]), "the peer does not begin with SETTINGS");
}

#[test]
fn capacity_is_what_the_peer_allows() {
    let mut connection = Connection::new(Settings::default());
    assert!(connection.open(&get(), Bytes::new()).is_none() && !connection.is_ready());
    feed(&mut connection, &setting(SETTINGS_MAX_CONCURRENT_STREAMS, 2)).unwrap();
    assert!(connection.is_ready());
    let before = connection.unwritten();
    let first = connection.open(&get(), Bytes::new()).unwrap();
    assert_eq!(connection.unwritten(), before + HEAD + get().len());
    connection.open(&get(), Bytes::new()).unwrap();
    assert!(connection.open(&get(), Bytes::new()).is_none());
    connection.reset(first, Code::CANCEL);
    connection.reset(first, Code::CANCEL);
    assert_eq!((connection.capacity(), connection.streams()), (1, 1));
    feed(&mut connection, &setting(SETTINGS_MAX_CONCURRENT_STREAMS, 0)).unwrap();
    assert_eq!((connection.capacity(), connection.is_closing()), (0, false));
    let expected =
        "settings \nwindow 0 1073676289\nsettings ack\nheaders 1 end\nheaders 3 end\nreset 1 CANCEL\nsettings ack\n";
    connection.output().advance(24);
    assert_eq!(sent(&mut connection), expected);
}

#[test]
fn goaway_ends_the_streams_beyond_it() {
    let mut connection = in_all_states();
    let input = frame(GOAWAY, 0, 0, b"\0\0\0\x03\0\0\0\0bye");
    assert_eq!(feed(&mut connection, &input).as_deref(), Ok("goaway 3 NO_ERROR bye\nreset 9 REFUSED_STREAM\n"));
    assert_eq!((connection.streams(), connection.capacity(), connection.is_closing()), (2, 0, true));
    assert_eq!(feed(&mut connection, &frame(DATA, END_STREAM, 3, b"x")).as_deref(), Ok("data 3 x end\n"));
    assert_eq!(sent(&mut connection), "");

    let mut connection = in_all_states();
    connection.goaway(Code::NO_ERROR);
    connection.goaway(Code::NO_ERROR);
    assert_eq!((sent(&mut connection).as_str(), connection.capacity()), ("goaway NO_ERROR\n", 0));
    assert_eq!(feed(&mut connection, &frame(HEADERS, 5, 1, OK)).as_deref(), Ok("head 1 200 true\n"));
}

#[test]
fn bodies_wait_for_the_peer_and_take_turns() {
    let mut connection = ready(Settings::default());
    let body = Bytes::from(vec![b'x'; 40_000]);
    let streams = [(); 2].map(|()| connection.open(&get(), body.clone()).unwrap());
    let expected = "headers 1\nheaders 3\ndata 1 16384\ndata 3 16384\ndata 1 16384\ndata 3 16383\n";
    assert_eq!(sent(&mut connection), expected);
    // The connection's window is used up; then stream 1 has 32,767 left of its own, and only 7,232 of its body.
    let room = |stream, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    feed(&mut connection, &room(0, 10)).unwrap();
    assert_eq!(sent(&mut connection), "data 1 10\n");
    // A setting takes back what was used: 1 has to wait although the connection could go on.
    feed(&mut connection, &[setting(SETTINGS_INITIAL_WINDOW_SIZE, 10), room(0, 100_000)].concat()).unwrap();
    assert_eq!(sent(&mut connection), "settings ack\n");
    feed(&mut connection, &room(1, 32_778)).unwrap();
    assert_eq!(sent(&mut connection), "data 1 10\n");
    feed(&mut connection, &[room(1, 1 << 20), room(3, 1 << 20)].concat()).unwrap();
    assert_eq!(sent(&mut connection), "data 1 7212 end\ndata 3 7233 end\n");
    assert_eq!(connection.streams.get(streams[0]).unwrap().body.len(), 0);
    // Larger frames where the peer takes them, and an answer that comes before the body has been sent.
    feed(
        &mut connection,
        &[setting(SETTINGS_MAX_FRAME_SIZE, 1 << 20), setting(SETTINGS_INITIAL_WINDOW_SIZE, 50_000)].concat(),
    )
    .unwrap();
    connection.open(&get(), Bytes::from(vec![b'x'; 50_002])).unwrap();
    assert_eq!(sent(&mut connection), "settings ack\nsettings ack\nheaders 5\ndata 5 50000\n");
    feed(&mut connection, &setting(SETTINGS_INITIAL_WINDOW_SIZE, 50_001)).unwrap();
    assert_eq!(sent(&mut connection), "settings ack\ndata 5 1\n");
    assert_eq!(feed(&mut connection, &frame(HEADERS, 5, 5, OK)).as_deref(), Ok("head 5 200 true\n"));
    assert_eq!(sent(&mut connection), "reset 5 CANCEL\n");
}

#[test]
fn the_output_does_not_hold_whole_bodies() {
    let mut connection = ready(Settings::default());
    let room = |stream| frame(WINDOW_UPDATE, 0, stream, &(1u32 << 30).to_be_bytes());
    let body = Bytes::from(vec![b'x'; 10 << 20]);
    connection.open(&get(), body.clone()).unwrap();
    feed(&mut connection, &[room(0), room(1)].concat()).unwrap();
    let mut total = 0;
    loop {
        let length = connection.output().len();
        connection.output().advance(length.min(50_000));
        assert!(length < 150_000);
        total += length.min(50_000);
        if length == 0 {
            break;
        }
    }
    assert!(total > body.len());
}

#[test]
fn streams_that_end_while_they_wait_are_forgotten() {
    let mut connection = ready(Settings::default());
    for n in 0..1000 {
        let stream = connection.open(&get(), Bytes::from(vec![b'x'; 70_000])).unwrap();
        sent(&mut connection);
        // The first could go on, and stays in front, if only the connection could.
        if n == 0 {
            feed(&mut connection, &frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])).unwrap();
        } else {
            connection.reset(stream, Code::CANCEL);
        }
    }
    assert!(connection.waiting.len() < 10, "{}", connection.waiting.len());
}

#[test]
fn room_is_given_back_by_halves_of_a_window() {
    let settings = Settings { stream_window: 100, connection_window: 65_535, ..Settings::default() };
    let mut connection = ready(settings);
    let streams = [(); 3].map(|()| connection.open(&get(), Bytes::new()).unwrap());
    connection.reset(streams[2], Code::CANCEL);
    let heads = [frame(HEADERS, END_HEADERS, 1, OK), frame(HEADERS, END_HEADERS, 3, OK)].concat();
    feed(&mut connection, &heads).unwrap();
    sent(&mut connection);
    let mut check = |input: Vec<u8>, expected: &str| {
        feed(&mut connection, &input).unwrap();
        assert_eq!(sent(&mut connection), expected);
    };
    check(frame(DATA, 0, 1, &[b'x'; 50]), "");
    check(frame(DATA, PADDED, 1, &[0]), "window 1 51\n");
    check(frame(DATA, END_STREAM, 1, &[b'x'; 100]), "");
    check(frame(DATA, 0, 3, &[b'x'; 101]), "reset 3 FLOW_CONTROL_ERROR\n");
    // 252 so far; what comes for streams that are gone counts, and whatever they send.
    check([frame(DATA, 0, 5, &[b'x'; 16_000]), frame(DATA, 0, 3, &[b'x'; 16_000])].concat(), "");
    check(frame(DATA, 0, 5, &[b'x'; 600]), "window 0 32852\n");
}

#[test]
fn heads_follow_the_peers_settings() {
    let mut connection = ready(Settings::default());
    let mut head = get();
    head.push("x", &[b'#'; 40_000]);
    connection.open(&head, Bytes::new()).unwrap();
    assert_eq!(sent(&mut connection), "headers 1 end\ncontinuation 1 false\ncontinuation 1 true\n");
    // A table smaller than the default: the next block says that it is not used, and only that.
    feed(&mut connection, &setting(SETTINGS_HEADER_TABLE_SIZE, 0)).unwrap();
    sent(&mut connection);
    for first in [0x20, 0x82] {
        connection.open(&get(), Bytes::new()).unwrap();
        assert_eq!(connection.output().split()[9], first);
    }
}
