//! Each rule of RFC 9113 that a peer can break, by section, and what it is told.

use super::*;

#[test]
fn rules_for_the_connection() {
    let check = |section: &str, frames: &[Vec<u8>], code: Code| {
        let mut connection = in_all_states();
        assert_eq!(feed(&mut connection, &frames.concat()), Err(code), "{section}");
        let goaway = format!("goaway {code}");
        assert_eq!(sent(&mut connection).lines().last(), Some(&goaway[..]), "{section}");
        assert_eq!(feed(&mut connection, &[]), Err(code), "{section}");
        assert_eq!((connection.capacity(), connection.is_closing()), (0, true));
    };
    let h = |flags, stream, block: &[u8]| frame(HEADERS, flags, stream, block);
    use super::Code as C;
    check("4.2 too long", &[frame(DATA, 0, 3, &[0; 16_385])], C::FRAME_SIZE_ERROR);
    check("4.2 too long, not yet there", &[frame(DATA, 0, 3, &[0; 16_385])[..9].to_vec()], C::FRAME_SIZE_ERROR);
    check("4.3 compression", &[h(END_HEADERS, 1, &[0xff])], C::COMPRESSION_ERROR);
    check("4.3 compression on a reset stream", &[h(END_HEADERS, 7, &[0xff])], C::COMPRESSION_ERROR);
    check("4.3 compression in trailers", &[h(END_HEADERS, 3, &[0x80])], C::COMPRESSION_ERROR);
    check("4.3 interrupted block", &[h(0, 1, OK), frame(PING, 0, 0, &[0; 8])], C::PROTOCOL_ERROR);
    check("4.3 interrupted by another stream", &[h(0, 1, OK), frame(CONTINUATION, 4, 3, &[])], C::PROTOCOL_ERROR);
    check("4.3 interrupted by an unknown frame", &[h(0, 1, OK), frame(0x42, 0, 1, &[])], C::PROTOCOL_ERROR);
    check("5.1 DATA on an idle stream", &[frame(DATA, 0, 11, b"a")], C::PROTOCOL_ERROR);
    check("5.1 HEADERS on an idle stream", &[h(END_HEADERS, 11, OK)], C::PROTOCOL_ERROR);
    check("5.1 RST_STREAM on an idle stream", &[frame(RST_STREAM, 0, 11, &[0; 4])], C::PROTOCOL_ERROR);
    check("5.1 WINDOW_UPDATE on an idle stream", &[frame(WINDOW_UPDATE, 0, 11, &[0, 0, 0, 1])], C::PROTOCOL_ERROR);
    check("5.1 DATA after the end", &[frame(DATA, 0, 5, b"a")], C::STREAM_CLOSED);
    check("5.1 HEADERS after the end", &[h(END_HEADERS, 5, OK)], C::STREAM_CLOSED);
    check("5.1.1 a stream of the server's", &[h(END_HEADERS, 2, OK)], C::PROTOCOL_ERROR);
    check("6.1 DATA on stream 0", &[frame(DATA, 0, 0, b"a")], C::PROTOCOL_ERROR);
    check("6.1 padding too long", &[frame(DATA, PADDED, 3, b"\x03ab")], C::PROTOCOL_ERROR);
    check("6.1 no room for padding", &[frame(DATA, PADDED, 3, b"")], C::FRAME_SIZE_ERROR);
    check("6.2 HEADERS on stream 0", &[h(END_HEADERS, 0, OK)], C::PROTOCOL_ERROR);
    check("6.2 padding too long", &[h(PADDED | END_HEADERS, 1, b"\x02\x88")], C::PROTOCOL_ERROR);
    check("6.2 no room for padding", &[h(PADDED | END_HEADERS, 1, b"")], C::FRAME_SIZE_ERROR);
    check("6.2 no room for priority", &[h(WITH_PRIORITY | END_HEADERS, 1, b"1234")], C::FRAME_SIZE_ERROR);
    check("6.3 PRIORITY on stream 0", &[frame(PRIORITY, 0, 0, &[0; 5])], C::PROTOCOL_ERROR);
    check("6.4 RST_STREAM on stream 0", &[frame(RST_STREAM, 0, 0, &[0; 4])], C::PROTOCOL_ERROR);
    check("6.4 RST_STREAM too short", &[frame(RST_STREAM, 0, 1, &[0; 3])], C::FRAME_SIZE_ERROR);
    check("6.5 SETTINGS on a stream", &[frame(SETTINGS, 0, 1, &[])], C::PROTOCOL_ERROR);
    check("6.5 acknowledgement with settings", &[frame(SETTINGS, ACK, 0, &[0; 6])], C::FRAME_SIZE_ERROR);
    check("6.5 half a setting", &[frame(SETTINGS, 0, 0, &[0; 7])], C::FRAME_SIZE_ERROR);
    check("6.5.2 push from a server", &[setting(SETTINGS_ENABLE_PUSH, 1)], C::PROTOCOL_ERROR);
    check("6.5.2 window too large", &[setting(SETTINGS_INITIAL_WINDOW_SIZE, 1 << 31)], C::FLOW_CONTROL_ERROR);
    check("6.5.2 frames too small", &[setting(SETTINGS_MAX_FRAME_SIZE, 16_383)], C::PROTOCOL_ERROR);
    check("6.5.2 frames too large", &[setting(SETTINGS_MAX_FRAME_SIZE, 1 << 24)], C::PROTOCOL_ERROR);
    check("6.6 PUSH_PROMISE", &[frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02\x82")], C::PROTOCOL_ERROR);
    check("6.7 PING on a stream", &[frame(PING, 0, 1, &[0; 8])], C::PROTOCOL_ERROR);
    check("6.7 PING too short", &[frame(PING, 0, 0, &[0; 7])], C::FRAME_SIZE_ERROR);
    check("6.8 GOAWAY on a stream", &[frame(GOAWAY, 0, 1, &[0; 8])], C::PROTOCOL_ERROR);
    check("6.8 GOAWAY too short", &[frame(GOAWAY, 0, 0, &[0; 7])], C::FRAME_SIZE_ERROR);
    check("6.9 WINDOW_UPDATE too long", &[frame(WINDOW_UPDATE, 0, 0, &[0; 5])], C::FRAME_SIZE_ERROR);
    check("6.9 WINDOW_UPDATE of nothing", &[frame(WINDOW_UPDATE, 0, 0, &[0; 4])], C::PROTOCOL_ERROR);
    let most = frame(WINDOW_UPDATE, 0, 0, &flow::LARGEST.to_be_bytes());
    check("6.9.1 window overflows", &[most.clone(), most], C::FLOW_CONTROL_ERROR);
    let most = frame(WINDOW_UPDATE, 0, 1, &(flow::LARGEST - flow::DEFAULT).to_be_bytes());
    check(
        "6.9.2 stream's window overflows",
        &[most, setting(SETTINGS_INITIAL_WINDOW_SIZE, 65_536)],
        C::FLOW_CONTROL_ERROR,
    );
    check("6.10 CONTINUATION alone", &[frame(CONTINUATION, END_HEADERS, 1, OK)], C::PROTOCOL_ERROR);
    check("6.10 after END_HEADERS", &[h(END_HEADERS, 1, OK), frame(CONTINUATION, 4, 1, &[])], C::PROTOCOL_ERROR);
}

#[test]
fn rules_for_a_stream() {
    let check = |section: &str, frames: &[Vec<u8>], stream: u32, code: Code| {
        let mut connection = in_all_states();
        let log = feed(&mut connection, &frames.concat());
        let (failed, reset) = (format!("failed {stream} {code}"), format!("reset {stream} {code}"));
        assert_eq!(log.unwrap().lines().last(), Some(&failed[..]), "{section}");
        assert_eq!(sent(&mut connection).lines().last(), Some(&reset[..]), "{section}");
        // The others go on.
        assert_eq!(connection.streams(), 2);
        let rest = frame(DATA, 0, stream, b"late");
        assert_eq!(feed(&mut connection, &rest).as_deref(), Ok(""), "{section}");
    };
    let h = |flags, stream, block: &[u8]| frame(HEADERS, flags | END_HEADERS, stream, block);
    let size = b"\x88\x5c\x01\x33";
    use super::Code as C;
    check("6.3 PRIORITY too short", &[frame(PRIORITY, 0, 1, &[0; 4])], 1, C::FRAME_SIZE_ERROR);
    check("6.9 WINDOW_UPDATE of nothing", &[frame(WINDOW_UPDATE, 0, 1, &[0; 4])], 1, C::PROTOCOL_ERROR);
    let most = frame(WINDOW_UPDATE, 0, 1, &flow::LARGEST.to_be_bytes());
    check("6.9.1 window overflows", &[most], 1, C::FLOW_CONTROL_ERROR);
    check("8.1 DATA before HEADERS", &[frame(DATA, 0, 1, b"a")], 1, C::PROTOCOL_ERROR);
    check("8.1 a second head", &[h(0, 3, LITERAL_OK)], 3, C::PROTOCOL_ERROR);
    check("8.1 trailers that do not end", &[h(0, 3, b"\0\x01a\x01b")], 3, C::PROTOCOL_ERROR);
    check("8.1 an interim answer that ends", &[h(END_STREAM, 1, INTERIM)], 1, C::PROTOCOL_ERROR);
    check("8.1.1 too much data", &[h(0, 1, size), frame(DATA, 0, 1, b"abcd")], 1, C::PROTOCOL_ERROR);
    check("8.1.1 too little data", &[h(0, 1, size), frame(DATA, END_STREAM, 1, b"ab")], 1, C::PROTOCOL_ERROR);
    check("8.1.1 no data", &[h(END_STREAM, 1, size)], 1, C::PROTOCOL_ERROR);
    let trailers = h(END_STREAM, 1, b"\0\x01a\x01b");
    check(
        "8.1.1 too little before trailers",
        &[h(0, 1, size), frame(DATA, 0, 1, b"ab"), trailers],
        1,
        C::PROTOCOL_ERROR,
    );
    check("8.1.1 data where there is none", &[h(0, 1, b"\x89"), frame(DATA, 0, 1, b"a")], 1, C::PROTOCOL_ERROR);
    check("8.2.1 upper case", &[h(0, 1, b"\x88\0\x01A\x01b")], 1, C::PROTOCOL_ERROR);
    check("8.2.2 connection", &[h(0, 1, b"\x88\0\x0aconnection\x01b")], 1, C::PROTOCOL_ERROR);
    check("8.3.2 no status", &[h(0, 1, b"\0\x01a\x01b")], 1, C::PROTOCOL_ERROR);
    check("8.3.2 a status in trailers", &[h(END_STREAM, 3, OK)], 3, C::PROTOCOL_ERROR);
    check("8.6 status 101", &[h(0, 1, b"\x08\x03101")], 1, C::PROTOCOL_ERROR);
    let bomb = [b"\x88\x40\x01a\x7f\x01".to_vec(), vec![b'x'; 128], vec![0xbe; 100]].concat();
    check("10.5.1 fields too large", &[h(0, 1, &bomb)], 1, C::ENHANCE_YOUR_CALM);
}

#[test]
fn floods_end_the_connection() {
    let check = |what: &str, input: &[u8], writes: bool| {
        let mut connection = in_all_states();
        let result = (0..MAX_NOISE + 10).try_for_each(|_| {
            let result = feed(&mut connection, input).map(drop);
            assert!(connection.output().len() < 1 << 18);
            if writes {
                connection.output().clear();
            }
            result
        });
        assert_eq!(result, Err(Code::ENHANCE_YOUR_CALM), "{what}");
    };
    let data = frame(DATA, 0, 3, b"x");
    check("PING", &frame(PING, 0, 0, &[0; 8]), true);
    check("PING, answers not read", &[frame(PING, 0, 0, &[0; 8]), data.clone()].concat(), false);
    check("SETTINGS", &frame(SETTINGS, 0, 0, &[]), true);
    check("SETTINGS, answers not read", &[frame(SETTINGS, 0, 0, &[]), data].concat(), false);
    check("empty DATA", &frame(DATA, 0, 3, &[]), true);
    check("empty DATA on a reset stream", &frame(DATA, 0, 7, &[]), true);
    check("padding", &frame(DATA, PADDED, 3, &[1, 0]), true);
    check("interim answers", &frame(HEADERS, END_HEADERS, 1, INTERIM), true);
    check("HEADERS on a reset stream", &frame(HEADERS, END_HEADERS, 7, OK), true);
    check("RST_STREAM on a reset stream", &frame(RST_STREAM, 0, 7, &[0; 4]), true);
    check("PRIORITY", &frame(PRIORITY, 0, 1, &[0; 5]), true);
    check("GOAWAY", &frame(GOAWAY, 0, 0, &[1; 8]), true);
    check("WINDOW_UPDATE", &frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), true);
    check("unknown frames", &frame(0x42, 0, 0, &[]), true);
    // What comes late for a stream that was reset is none: there can be a whole window of it.
    let late = frame(DATA, 0, 7, b"x").repeat(MAX_NOISE as usize + 10);
    let mut connection = in_all_states();
    assert_eq!(feed(&mut connection, &late).as_deref(), Ok(""));
    assert_eq!(feed(&mut connection, &frame(PING, 0, 0, &[0; 8])).as_deref(), Ok(""));
    let endless = |piece: &[u8]| [vec![frame(HEADERS, 0, 1, OK)], vec![frame(CONTINUATION, 0, 1, piece); 65]].concat();
    for piece in [&[][..], &[0; 16]] {
        assert_eq!(feed(&mut in_all_states(), &endless(piece).concat()), Err(Code::ENHANCE_YOUR_CALM));
    }
    assert_eq!(feed(&mut in_all_states(), &frame(GOAWAY, 0, 0, &[0; 16_384])).map(drop), Ok(()));
}
