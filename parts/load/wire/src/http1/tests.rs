//! How responses are read.

use proptest::prelude::*;

use super::*;

/// What came of a whole connection's bytes: the response, or what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    status: u16,
    keep_alive: bool,
    headers: Vec<(String, String)>,
    body: String,
    body_len: u64,
    /// Bytes behind the response.
    left: usize,
}

const KEEP: Sent = Sent { head: false, upgrade: false, keep_head: true, keep_body: true };

/// Reads `pieces` and then the end of the stream.
fn read(sent: Sent, limits: Limits, pieces: &[&[u8]]) -> Result<Read, ProtocolError> {
    let mut response = Response::new(limits);
    response.begin(sent);
    let mut left = 0;
    let mut done = false;
    for piece in pieces {
        let fed = response.feed(piece)?;
        assert!(fed.consumed == piece.len() || done || fed.done, "what has no end is consumed: {fed:?}");
        assert!(!(done && fed.done), "there is one end");
        done |= fed.done;
        left += piece.len() - fed.consumed;
    }
    assert_eq!(response.end_of_stream()?, !done);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Read {
        status: response.status(),
        keep_alive: response.keep_alive(),
        headers: response.headers().map(|(name, value)| (text(name), text(value))).collect(),
        body: text(response.body()),
        body_len: response.body_len(),
        left,
    })
}

fn read_whole(sent: Sent, bytes: &str) -> Result<Read, ProtocolError> {
    read(sent, Limits::default(), &[bytes.as_bytes()])
}

#[test]
fn bodies_end_where_the_head_says() {
    #[track_caller]
    fn check(sent: Sent, bytes: &str, status: u16, body: &str, keep_alive: bool, left: &str) {
        let found = read_whole(sent, bytes).unwrap();
        let expected = (status, body, body.len() as u64, keep_alive, left.len());
        assert_eq!((found.status, &*found.body, found.body_len, found.keep_alive, found.left), expected, "{bytes:?}");
        let skipped = read_whole(Sent { keep_body: false, keep_head: false, ..sent }, bytes).unwrap();
        let expected = Read { body: String::new(), headers: Vec::new(), ..found };
        assert_eq!(skipped, expected, "what is not kept is counted: {bytes:?}");
    }
    let head = Sent { head: true, ..KEEP };
    check(KEEP, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true, "");
    check(KEEP, "HTTP/1.1 200 OK\r\ncontent-LENGTH:5 \t\r\n\r\nhello", 200, "hello", true, "");
    check(KEEP, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello", 200, "he", true, "llo");
    check(KEEP, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1", 200, "", true, "HTTP/1.1");
    check(KEEP, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 01\r\n\r\na", 200, "a", true, "");
    // No body, whatever the head says.
    check(KEEP, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nx", 204, "", true, "x");
    check(KEEP, "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n0", 304, "", true, "0");
    check(KEEP, "HTTP/1.1 304 Not Modified\r\n\r\n", 304, "", true, "");
    check(head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, "", true, "");
    check(head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", true, "");
    check(head, "HTTP/1.1 200 OK\r\n\r\n", 200, "", true, "");
    // Until the connection is closed.
    check(KEEP, "HTTP/1.1 200 OK\r\n\r\n", 200, "", false, "");
    check(KEEP, "HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n\n\r\0x", 404, "\n\r\0x", false, "");
    // Chunks.
    let chunked = |rest: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n{rest}");
    check(KEEP, &chunked("0\r\n\r\n"), 200, "", true, "");
    check(KEEP, &chunked("5\r\nhello\r\n0A\r\n0123456789\r\n000\r\n\r\nx"), 200, "hello0123456789", true, "x");
    check(KEEP, &chunked("1;a=\"b;c\"\r\nx\r\n0 ; d\r\nTrailer: 1\r\nContent-Length: 9\r\n\r\n"), 200, "x", true, "");
    check(KEEP, &chunked("2\t;\r\n\r\n\r\n0\r\n\r\n"), 200, "\r\n", true, "");
}

#[test]
fn connections_live_on_as_the_head_says() {
    #[track_caller]
    fn check(head: &str, expected: bool) {
        let found = read_whole(KEEP, &format!("{head}\r\nContent-Length: 0\r\n\r\n")).unwrap();
        assert_eq!(found.keep_alive, expected, "{head:?}");
    }
    check("HTTP/1.1 200 OK", true);
    check("HTTP/1.1 200 OK\r\nConnection: keep-alive", true);
    check("HTTP/1.1 200 OK\r\nConnection: close", false);
    check("HTTP/1.1 200 OK\r\nConnection:", true);
    check("HTTP/1.1 200 OK\r\nconnection: x, ,\tCLOSE ,y", false);
    check("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close", false);
    check("HTTP/1.1 200 OK\r\nConnection: closed", true);
    check("HTTP/1.0 200 OK", false);
    check("HTTP/1.0 200 OK\r\nConnection: Keep-Alive", true);
    check("HTTP/1.0 200 OK\r\nConnection: keep-alive, close", false);
}

#[test]
fn status_lines() {
    #[track_caller]
    fn check(line: &str, expected: Result<u16, Fault>) {
        let found = read_whole(KEEP, &format!("{line}\r\nContent-Length: 0\r\n\r\n"));
        let expected = expected.map_err(|fault| ProtocolError { at: 0, fault });
        assert_eq!(found.map(|read| read.status), expected, "{line:?}");
    }
    let bad = |line: &str| Err(Fault::StatusLine(line.to_owned()));
    check("HTTP/1.1 200 OK", Ok(200));
    check("HTTP/1.1 200 ", Ok(200));
    check("HTTP/1.1 200", Ok(200));
    check("HTTP/1.1 999 \tI\u{e9} ", Ok(999));
    check("HTTP/2.0 200 OK", Err(Fault::Version("HTTP/2.0 200 OK".to_owned())));
    check("HTTP/1.2 200 OK", Err(Fault::Version("HTTP/1.2 200 OK".to_owned())));
    check("HTTP/0.9 200 OK", Err(Fault::Version("HTTP/0.9 200 OK".to_owned())));
    for line in ["", "HTTP/1.1", "HTTP/1.1 20", "HTTP/1.1 2000", "HTTP/1.1 2x0 OK", "HTTP/1.1 099 OK", "200 OK"] {
        check(line, bad(line));
    }
    for line in [" HTTP/1.1 200 OK", "HTTP/1.1  200 OK", "HTTP/1.1\t200 OK", "http/1.1 200 OK", "HTTP/1.1 +20 OK"] {
        check(line, bad(&line.replace('\t', "\\t")));
    }
}

#[test]
fn interim_responses_are_skipped() {
    let text = "HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\nConnection: close\r\n\r\n\
                HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    let found = read_whole(KEEP, text).unwrap();
    assert_eq!((found.status, &*found.body, found.keep_alive), (200, "x", true));
    assert_eq!(found.headers, [("Content-Length".to_owned(), "1".to_owned())]);

    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(17);
    let fault = Fault::TooLarge { what: "interim responses", max: 16 };
    assert_eq!(read_whole(KEEP, &endless).unwrap_err(), ProtocolError { at: 16 * 25 + 23, fault });
}

#[test]
fn a_change_of_protocol_ends_the_response_when_it_was_asked_for() {
    let text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x02";
    let found = read_whole(Sent { upgrade: true, ..KEEP }, text).unwrap();
    assert_eq!((found.status, found.keep_alive, found.left), (101, false, 2));
    assert_eq!(read_whole(KEEP, text).unwrap_err().fault, Fault::Upgrade);
    let refused = "HTTP/1.1 403 Forbidden\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(read_whole(Sent { upgrade: true, ..KEEP }, refused).unwrap().body, "x");
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    #[track_caller]
    fn check(field: &str, fault: Fault) {
        let error = read_whole(KEEP, &format!("HTTP/1.1 200 OK\r\nA: b\r\n{field}\r\n\r\n")).unwrap_err();
        assert_eq!(error, ProtocolError { at: 23, fault }, "{field:?}");
    }
    #[track_caller]
    fn check_after(fields: &str, at: u64, fault: Fault) {
        let error = read_whole(KEEP, &format!("{fields}\r\n\r\n")).unwrap_err();
        assert_eq!(error, ProtocolError { at, fault }, "{fields:?}");
    }
    let field = |text: &str| Fault::Field(text.to_owned());
    check("Content-Length : 5", field("Content-Length : 5"));
    check("Content-Length", field("Content-Length"));
    check(": 5", field(": 5"));
    check("a b: 5", field("a b: 5"));
    check("\u{e9}: 5", field("\\xc3\\xa9: 5"));
    check(&"(".repeat(70), field(&format!("{}...", "(".repeat(60))));
    check(" Content-Length: 5", Fault::Folded);
    check("\tfolded", Fault::Folded);
    check("A: b\rContent-Length: 5", Fault::BareCr);
    check("A: b\r\r", Fault::BareCr);
    check("A: b\nContent-Length: 5", Fault::BareLf);
    check("A: b\0", Fault::Control(0));
    check("A: \x7f", Fault::Control(0x7f));
    check("A: 1234\t\t\t\t\x1b5678", Fault::Control(0x1b));
    for length in ["", "-1", "+1", "5, 5", "0x5", "5 5", "\u{0665}", "18446744073709551616", "5;"] {
        let shown = length.as_bytes().escape_ascii().to_string();
        check(&format!("Content-Length: {length}"), Fault::ContentLength(shown));
    }
    for coding in ["", "gzip", "gzip, chunked", "chunked, gzip", "chunked;q=1", "identity", "xchunked"] {
        check(&format!("Transfer-Encoding: {coding}"), Fault::TransferEncoding(coding.to_owned()));
    }
    let ok = "HTTP/1.1 200 OK\r\n";
    check_after(&format!("{ok}Content-Length: 1\r\nContent-Length: 2"), 36, Fault::ContentLengths(1, 2));
    check_after(&format!("{ok}Content-Length: 1\r\nTransfer-Encoding: chunked"), 64, Fault::LengthAndChunked);
    check_after(&format!("{ok}Transfer-Encoding: chunked\r\nContent-Length: 0"), 64, Fault::LengthAndChunked);
    let twice = Fault::TransferEncoding("chunked".to_owned());
    check_after(&format!("{ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 45, twice);
    check_after("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", 45, Fault::ChunkedInOldVersion);
    check_after("HTTP/1.1 200 OK\nA: b", 0, Fault::BareLf);
}

#[test]
fn chunks_that_are_not_well_formed_are_refused() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    #[track_caller]
    fn check(rest: &str, at: usize, fault: Fault) {
        let error = read_whole(KEEP, &format!("{HEAD}{rest}")).unwrap_err();
        assert_eq!(error, ProtocolError { at: (HEAD.len() + at) as u64, fault }, "{rest:?}");
    }
    for size in ["", " 5", "5 ", "5\t", "x", "-5", "0x5", "5 6", "5,", ";a", "10000000000000000", "fffffffffffffffff"] {
        check(&format!("{size}\r\n"), 0, Fault::ChunkSize(size.replace('\t', "\\t")));
    }
    check("5\nhello", 0, Fault::BareLf);
    check("5\rhello", 0, Fault::BareCr);
    check("2\r\nabc\r\n", 5, Fault::ChunkEnd);
    check("2\r\nab\n0", 5, Fault::BareLf);
    check("2\r\nab\r0", 5, Fault::BareCr);
    check("0\r\nno field\r\n\r\n", 3, Fault::Field("no field".to_owned()));
    check("0\r\nA: b\r\n c\r\n\r\n", 9, Fault::Folded);
    let line = Fault::TooLarge { what: "bytes in the first line of a chunk", max: 4096 };
    check(&format!("5;{}", "x".repeat(4094)), 0, line);
    assert!(read_whole(KEEP, &format!("{HEAD}{}\r\n\r\n", "0".repeat(4094))).is_ok());
    let trailer = Fault::TooLarge { what: "bytes of trailer fields", max: 16384 };
    check(&format!("0\r\n{}", "A: b\r\n".repeat(3000)), 3 + 16384 / 6 * 6, trailer);
}

#[test]
fn a_stream_that_ends_early_is_told_from_one_that_ends() {
    #[track_caller]
    fn check(bytes: &str, fault: Fault) {
        let expected = ProtocolError { at: bytes.len() as u64, fault };
        assert_eq!(read_whole(KEEP, bytes).unwrap_err(), expected, "{bytes:?}");
    }
    check("", Fault::NoResponse);
    check("H", Fault::Truncated("head"));
    check("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r", Fault::Truncated("head"));
    check("HTTP/1.1 100 Continue\r\n\r\n", Fault::Truncated("head"));
    check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", Fault::Truncated("body"));
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::Truncated("body"));
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", Fault::Truncated("body"));
}

#[test]
fn limits_hold_to_the_byte() {
    let limits = Limits { head_bytes: 30, fields: 2, body_bytes: 4, ..Limits::default() };
    #[track_caller]
    fn check(limits: Limits, bytes: &str, expected: Result<u16, (&'static str, u64)>) {
        let found = read(KEEP, limits, &[bytes.as_bytes()]).map(|read| read.status);
        let found = found.map_err(|error| match error.fault {
            Fault::TooLarge { what, .. } => (what, error.at),
            fault => panic!("{fault}"),
        });
        assert_eq!(found, expected, "{bytes:?}");
    }
    let ok = "HTTP/1.1 200 OK\r\n";
    let body = "bytes of a body that is kept";
    check(limits, &format!("{ok}A: 123456\r\n\r\n"), Ok(200));
    check(limits, &format!("{ok}A: 1234567\r\n\r\n"), Err(("bytes in the head", 29)));
    check(limits, &format!("{ok}A: 1234567890"), Err(("bytes in the head", 17)));
    check(limits, &format!("{ok}A:\r\nB:\r\n\r\n"), Ok(200));
    check(limits, &format!("{ok}A:\r\nB:\r\nC:\r\n\r\n"), Err(("header fields", 25)));
    check(limits, &format!("{ok}\r\nbody"), Ok(200));
    check(limits, &format!("{ok}\r\nbodys"), Err((body, 23)));
    let wide = Limits { head_bytes: 100, ..limits };
    check(wide, &format!("{ok}Content-Length: 5\r\n\r\n"), Err((body, 36)));
    check(wide, &format!("{ok}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nab\r\n"), Err((body, 59)));
    // What is not kept has no limit.
    let skip = Sent { keep_body: false, ..KEEP };
    assert_eq!(read(skip, limits, &[format!("{ok}\r\n{}", "x".repeat(1000)).as_bytes()]).unwrap().body_len, 1000);
}

#[test]
fn a_response_is_reused_for_a_whole_connection() {
    let mut response = Response::default();
    assert_eq!(response.feed(b"HTTP/1.1"), Ok(Fed { consumed: 0, done: false }), "nothing was asked");
    assert_eq!(response.end_of_stream(), Ok(false));
    let first = b"HTTP/1.1 200 OK\r\nServer: a\r\nserver: b\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n";
    response.begin(KEEP);
    let fed = response.feed(first).unwrap();
    assert_eq!((fed.done, response.header("SERVER"), response.header("x")), (true, Some(&b"a"[..]), None));
    let rest = &first[fed.consumed..];
    assert_eq!(response.feed(rest), Ok(Fed { consumed: 0, done: false }), "it was not asked for");
    assert_eq!((response.status(), response.body(), response.keep_alive()), (200, &b"1"[..], true));
    response.begin(Sent::default());
    assert_eq!((response.status(), response.body(), response.keep_alive()), (0, &b""[..], false));
    assert_eq!(response.feed(rest), Ok(Fed { consumed: rest.len(), done: true }));
    assert_eq!((response.status(), response.headers().count()), (500, 0));
    // After an error the rest is not taken for a response.
    response.begin(KEEP);
    assert!(response.feed(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n").is_err());
    assert_eq!(response.feed(b"\r\n"), Ok(Fed { consumed: 0, done: false }));
    assert!(!response.keep_alive());
}

/// Pieces of responses, good and bad, that make bytes which reach more of the reader than random ones.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 204 \r\n",
        b"\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"X-Y: z\r\n",
        b"\r\n\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"hello",
        b"\r",
        b"\n",
        b"\0",
        b" ",
        b":",
        b"3;a=b\r\nabc\r\n",
        b"\t",
        b"\xff",
    ];
    let head = prop_oneof![Just(known[0].to_vec()), Just(known[1].to_vec()), Just(Vec::new())];
    let piece = prop_oneof![
        8 => proptest::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ];
    (head, proptest::collection::vec(piece, 0..12)).prop_map(|(head, pieces)| [head, pieces.concat()].concat())
}

/// `bytes` in pieces that end at the given places.
fn split<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
    ends.sort_unstable();
    let mut start = 0;
    ends.into_iter().map(|end| &bytes[std::mem::replace(&mut start, end)..end]).collect()
}

const SMALL: Limits =
    Limits { head_bytes: 90, fields: 4, body_bytes: 12, chunk_line_bytes: 12, trailer_bytes: 20, interim: 2 };

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same(
        bytes in fragments(),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
        keep in any::<bool>(),
        head in any::<bool>(),
        small in any::<bool>(),
    ) {
        let sent = Sent { head, keep_head: keep, keep_body: keep, upgrade: false };
        let limits = if small { SMALL } else { Limits::default() };
        let whole = read(sent, limits, &[&bytes]);
        prop_assert_eq!(&read(sent, limits, &split(&bytes, &cuts)), &whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&read(sent, limits, &single), &whole);
    }

    #[test]
    fn buffers_stay_within_the_limits(pieces in proptest::collection::vec(fragments(), 0..8)) {
        let mut response = Response::new(SMALL);
        response.begin(KEEP);
        for piece in pieces {
            if response.feed(&piece).is_err() {
                break;
            }
            prop_assert!(response.body().len() <= SMALL.body_bytes);
            prop_assert!(response.lines.buffered() <= SMALL.head_bytes);
            prop_assert!(response.headers().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= SMALL.head_bytes);
        }
    }

    #[test]
    fn valid_heads_are_read_as_httparse_reads_them(
        status in 200_u16..600,
        reason in "[ -~]{0,20}",
        fields in proptest::collection::vec(("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", "[ \t]{0,2}([!-~][ -~\t]{0,30}[!-~])?[ \t]{0,2}"), 0..12),
    ) {
        let mut text = format!("HTTP/1.1 {status} {reason}\r\n");
        for (name, value) in &fields {
            text.push_str(&format!("{name}:{value}\r\n"));
        }
        text.push_str("\r\n");
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut oracle = httparse::Response::new(&mut headers);
        prop_assert_eq!(oracle.parse(text.as_bytes()), Ok(httparse::Status::Complete(text.len())));

        let mut response = Response::default();
        response.begin(Sent { head: true, ..KEEP });
        prop_assert_eq!(response.feed(text.as_bytes()), Ok(Fed { consumed: text.len(), done: true }));
        prop_assert_eq!(Some(response.status()), oracle.code);
        let found: Vec<_> = response.headers().collect();
        let expected: Vec<_> = oracle.headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn what_httparse_refuses_is_refused(bytes in fragments()) {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let oracle = httparse::Response::new(&mut headers).parse(&bytes).map(|status| status.is_complete());
        let mut response = Response::default();
        response.begin(Sent { head: true, ..KEEP });
        let found = response.feed(&bytes);
        let interim = bytes.windows(12).any(|window| window == b"HTTP/1.1 100");
        if oracle.is_err() && !interim {
            prop_assert!(!matches!(found, Ok(Fed { done: true, .. })), "{:?} {:?}", oracle, found);
        }
    }

    #[test]
    fn control_characters_are_found_as_one_by_one(bytes in proptest::collection::vec(any::<u8>(), 0..40), tabs in any::<bool>()) {
        let bytes: Vec<u8> = bytes.into_iter().map(|byte| if tabs && byte < 0x18 { b'\t' } else { byte.max(0x1e) }).collect();
        let expected = bytes.iter().position(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f);
        prop_assert_eq!(lines::control(&bytes), expected);
    }
}
