//! How frames are written and read.

use proptest::prelude::*;

use super::*;

/// An event, without its lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Counted(Kind, u64),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

/// Reads `pieces`; the events and how it ended.
fn read(keep: Option<usize>, pieces: &[&[u8]]) -> (Vec<Seen>, Result<(), ProtocolError>) {
    let mut reader = Reader::new(keep);
    let mut seen = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let fed = match reader.feed(rest) {
                Ok(fed) => fed,
                Err(error) => {
                    assert_eq!(reader.feed(b"\x81\x00").unwrap(), Fed { consumed: 2, event: None }, "it is over");
                    return (seen, Err(error));
                }
            };
            assert!(fed.consumed > 0 && (fed.event.is_some() || fed.consumed == rest.len()), "{fed:?}");
            rest = &rest[fed.consumed..];
            seen.extend(fed.event.map(see));
        }
    }
    (seen, Ok(()))
}

fn see(event: Event) -> Seen {
    match event {
        Event::Message { kind: Kind::Text, payload: Some(payload), .. } => {
            Seen::Text(String::from_utf8(payload.to_vec()).unwrap())
        }
        Event::Message { kind: Kind::Binary, payload: Some(payload), len } => {
            assert_eq!(payload.len() as u64, len);
            Seen::Binary(payload.to_vec())
        }
        Event::Message { kind, payload: None, len } => Seen::Counted(kind, len),
        Event::Ping(payload) => Seen::Ping(payload.bytes().to_vec()),
        Event::Pong(payload) => Seen::Pong(payload.bytes().to_vec()),
        Event::Close { code, reason } => Seen::Close(code.map(CloseCode::code), reason.to_owned()),
    }
}

/// A server's frame in the shortest form.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ ..126 => out.push(len as u8),
        len @ ..65536 => {
            out.push(126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    [out, payload.to_vec()].concat()
}

fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

#[test]
fn a_message_is_known_from_its_first_byte_to_its_last() {
    #[track_caller]
    fn check(bytes: &[u8], expected: bool) {
        let mut reader = Reader::new(None);
        let mut rest = bytes;
        while !rest.is_empty() {
            let consumed = reader.feed(rest).unwrap().consumed;
            rest = &rest[consumed..];
        }
        assert_eq!(reader.is_within_message(), expected, "{bytes:?}");
    }
    check(b"", false);
    check(b"\x81", true);
    check(b"\x81\x02", true);
    check(b"\x82\x02a", true);
    check(b"\x81\x02ab", false);
    // Between fragments, with and without a ping.
    check(b"\x01\x02ab", true);
    check(b"\x01\x02ab\x89", true);
    check(b"\x01\x02ab\x89\x01a\x80\x00", false);
    check(b"\x89", false);
    check(b"\x89\x02a", false);
    check(b"\x89\x00\x81\x00\x81", true);
}

#[test]
fn messages_are_put_together() {
    #[track_caller]
    fn check(bytes: &[u8], expected: &[Seen]) {
        assert_eq!(read(Some(1 << 20), &[bytes]), (expected.to_vec(), Ok(())));
    }
    // The examples of RFC 6455, 5.7.
    check(b"\x81\x05Hello", &[text("Hello")]);
    check(b"\x01\x03Hel\x80\x02lo", &[text("Hello")]);
    check(b"\x89\x05Hello", &[Seen::Ping(b"Hello".to_vec())]);
    for len in [256, 65535, 65536] {
        check(&frame(0x82, &vec![7; len]), &[Seen::Binary(vec![7; len])]);
    }
    check(b"\x81\x00\x82\x00\x8a\x00", &[text(""), Seen::Binary(Vec::new()), Seen::Pong(Vec::new())]);
    // Control frames between fragments, fragments of nothing, a character in two fragments.
    check(
        b"\x01\x02a\xe2\x89\x01p\x00\x00\x8a\x00\x00\x01\x82\x80\x02\xacz\x02\x00\x80\x01\xff",
        &[Seen::Ping(b"p".to_vec()), Seen::Pong(Vec::new()), text("a\u{20ac}z"), Seen::Binary(vec![0xff])],
    );
    // Nothing counts after a close.
    check(b"\x88\x00\xff\xff", &[Seen::Close(None, String::new())]);
    check(b"\x88\x02\x03\xe8\x81", &[Seen::Close(Some(1000), String::new())]);
    check(b"\x01\x01a\x88\x07\x13\x87why\xc3\xa9", &[Seen::Close(Some(4999), "why\u{e9}".to_owned())]);
}

#[test]
fn messages_that_are_not_kept_are_counted_and_checked() {
    let (seen, end) = read(None, &[b"\x01\x02a\xe2\x80\x03\x82\xacz\x89\x01p\x82\x02\xff\xff"]);
    let expected = [Seen::Counted(Kind::Text, 5), Seen::Ping(b"p".to_vec()), Seen::Counted(Kind::Binary, 2)];
    assert_eq!((seen, end), (expected.to_vec(), Ok(())));
    let huge = [&b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"[..], &[0; 100]].concat();
    assert_eq!(read(None, &[&huge]), (Vec::new(), Ok(())), "it has no end yet");
    assert_eq!(read(None, &[b"\x81\x01\xff"]).1.unwrap_err().fault, Fault::Utf8);
}

#[test]
fn what_breaks_the_protocol_is_refused() {
    #[track_caller]
    fn check(bytes: &[u8], at: u64, fault: Fault) {
        assert_eq!(read(Some(10), &[bytes]).1, Err(ProtocolError { at, fault }), "{}", bytes.escape_ascii());
    }
    for bit in [0x40, 0x20, 0x10] {
        check(&[0x81 | bit, 0], 0, Fault::ReservedBits);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        check(&[0x80 | opcode, 0], 0, Fault::Opcode(opcode));
    }
    check(b"\x81\x01a\x81\x81\0\0\0\0a", 3, Fault::Masked);
    for opcode in [8, 9, 10] {
        check(&[opcode, 0], 0, Fault::Control);
        check(&[0x80 | opcode, 126], 0, Fault::Control);
        check(&[0x80 | opcode, 127], 0, Fault::Control);
    }
    check(b"\x82\x7e\x00\x7d", 0, Fault::Length(125));
    check(b"\x82\x7f\0\0\0\0\0\0\xff\xff", 0, Fault::Length(65535));
    check(b"\x82\x7f\x80\0\0\0\0\0\0\0", 0, Fault::Length(1 << 63));
    check(b"\x80\x00", 0, Fault::Continuation);
    check(b"\x01\x00\x80\x00\x00\x00", 4, Fault::Continuation);
    check(b"\x01\x00\x81\x00", 2, Fault::Interleaved);
    check(b"\x02\x00\x89\x00\x01\x00", 4, Fault::Interleaved);
    // Overlong, a surrogate, beyond Unicode, a continuation alone, no end, not continued in the next fragment.
    for bytes in [&b"\xc0\x80"[..], b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"a\xe2\x82", b"\xf0"] {
        check(&frame(0x81, bytes), 0, Fault::Utf8);
    }
    check(b"\x01\x01\xe2\x80\x01a", 3, Fault::Utf8);
    check(b"\x01\x01\xe2\x80\x00", 3, Fault::Utf8);
    // A text is refused before its end has come.
    check(b"\x81\x09ab\xff", 0, Fault::Utf8);
    check(b"\x88\x01\x03", 0, Fault::CloseLength);
    check(b"\x88\x03\x03\xe8\xff", 0, Fault::Utf8);
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        check(&frame(0x88, &u16::to_be_bytes(code)), 0, Fault::CloseCode(code));
    }
    check(b"\x82\x0b", 0, Fault::TooLarge { max: 10 });
    check(&[&frame(0x02, &[0; 6])[..], &[0x80, 5]].concat(), 8, Fault::TooLarge { max: 10 });
    let most = [0x02, 1, 0, 0x80, 127, 127, 255, 255, 255, 255, 255, 255, 255];
    check(&most, 3, Fault::TooLarge { max: 10 });
    assert_eq!(read(Some(10), &[&frame(0x82, &[0; 10])]).0, [Seen::Binary(vec![0; 10])]);
}

#[test]
fn frames_are_written_masked_and_in_the_shortest_form() {
    #[track_caller]
    fn check(encode: impl Fn(&mut Vec<u8>, [u8; 4]), header: &[u8], payload: &[u8]) {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut out = b"before".to_vec();
        encode(&mut out, mask);
        let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(out, [b"before".to_vec(), header.to_vec(), mask.to_vec(), masked].concat());
    }
    let mut hello = Vec::new();
    encode_text(&mut hello, "Hello", [0x37, 0xfa, 0x21, 0x3d]);
    assert_eq!(hello, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "the example of RFC 6455, 5.7");
    for (len, header) in [
        (0, &b"\x82\x80"[..]),
        (125, b"\x82\xfd"),
        (126, b"\x82\xfe\x00\x7e"),
        (65535, b"\x82\xfe\xff\xff"),
        (65536, b"\x82\xff\0\0\0\0\0\x01\0\0"),
    ] {
        let payload: Vec<u8> = (0..len).map(|byte: u32| byte as u8).collect();
        check(|out, mask| encode_binary(out, &payload, mask), header, &payload);
    }
    let control = Control::new(b"abc").unwrap();
    check(|out, mask| encode_ping(out, control, mask), b"\x89\x83", b"abc");
    check(|out, mask| encode_pong(out, control, mask), b"\x8a\x83", b"abc");
    check(|out, mask| encode_close(out, Some(CloseCode::NORMAL), mask), b"\x88\x82", b"\x03\xe8");
    check(|out, mask| encode_close(out, None, mask), b"\x88\x80", b"");
    assert_eq!((Control::new(&[0; 125]).is_some(), Control::new(&[0; 126])), (true, None));
}

/// Messages as a server may send them, in fragments and with pings between these; and what is to be seen of them.
fn conversation() -> impl Strategy<Value = (Vec<u8>, Vec<Seen>)> {
    let message = (any::<bool>(), "\\PC{0,40}", proptest::collection::vec(any::<usize>(), 0..3), any::<bool>());
    proptest::collection::vec(message, 0..6).prop_map(|messages| {
        let (mut bytes, mut seen) = (Vec::new(), Vec::new());
        for (is_text, content, cuts, ping) in messages {
            let pieces = split(content.as_bytes(), &cuts);
            for (index, piece) in pieces.iter().enumerate() {
                let opcode = if index > 0 { 0 } else { 2 - u8::from(is_text) };
                let last = if index + 1 == pieces.len() { 0x80 } else { 0 };
                if ping {
                    bytes.extend(frame(0x89, &[index as u8]));
                    seen.push(Seen::Ping(vec![index as u8]));
                }
                bytes.extend(frame(last | opcode, piece));
            }
            seen.push(if is_text { Seen::Text(content) } else { Seen::Binary(content.into_bytes()) });
        }
        (bytes, seen)
    })
}

/// `bytes` in pieces that end at the given places.
fn split<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
    ends.sort_unstable();
    let mut start = 0;
    ends.into_iter().map(|end| &bytes[std::mem::replace(&mut start, end)..end]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn what_was_sent_is_seen((bytes, seen) in conversation(), cuts in proptest::collection::vec(any::<usize>(), 0..6)) {
        prop_assert_eq!(read(Some(1 << 10), &split(&bytes, &cuts)), (seen, Ok(())));
    }

    #[test]
    fn any_split_of_anything_gives_the_same(
        (mut bytes, _) in conversation(),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        tail in proptest::collection::vec(any::<u8>(), 0..20),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
        keep in proptest::option::of(0_usize..60),
    ) {
        for (at, byte) in changes {
            let at = at % (bytes.len() + 1);
            bytes.splice(at..(at + 1).min(bytes.len()), [byte]);
        }
        bytes.extend(tail);
        let whole = read(keep, &[&bytes]);
        prop_assert_eq!(&read(keep, &split(&bytes, &cuts)), &whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&read(keep, &single), &whole);
    }

    #[test]
    fn masking_is_undone_by_masking(payload in proptest::collection::vec(any::<u8>(), 0..125), mask in any::<[u8; 4]>()) {
        let mut out = Vec::new();
        encode_binary(&mut out, &payload, mask);
        let unmasked: Vec<u8> = out[6..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        prop_assert_eq!(unmasked, payload);
    }

    #[test]
    fn text_in_pieces_is_judged_as_a_whole(
        text in "\\PC{0,10}",
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..2),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        let mut bytes = text.into_bytes();
        for (at, byte) in changes {
            let at = at % (bytes.len() + 1);
            bytes.splice(at..(at + 1).min(bytes.len()), [byte]);
        }
        let mut checked = utf8::Utf8::default();
        let found = split(&bytes, &cuts).into_iter().all(|piece| checked.push(piece)) && checked.complete();
        prop_assert_eq!(found, str::from_utf8(&bytes).is_ok());
    }
}
