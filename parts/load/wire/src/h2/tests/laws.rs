//! What holds for any input, wherever it is cut.

use proptest::prelude::*;

use super::*;

/// Frames that are mostly right.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let stream = prop::sample::select(vec![0, 1, 1, 1, 3, 3, 3, 5, 7, 9, 9, 11]);
    let block =
        prop::sample::select(vec![OK, LITERAL_OK, INTERIM, b"\x88\x40\x01a\x01b", b"\x88\xbe", b"\0\x01a\x01b", b""]);
    let wild = (0..12u8, any::<u8>(), stream.clone(), prop::collection::vec(any::<u8>(), 0..40));
    prop_oneof![
        4 => (stream.clone(), prop::collection::vec(any::<u8>(), 0..200), 0..2u8)
            .prop_map(|(stream, data, end)| frame(DATA, end, stream | 1, &data)),
        4 => (stream.clone(), block, 0..2u8)
            .prop_map(|(stream, block, end)| frame(HEADERS, END_HEADERS | end, stream | 1, block)),
        2 => stream.prop_map(|stream| frame(WINDOW_UPDATE, 0, stream, &[0, 0, 9, 9])),
        1 => Just(frame(PING, 0, 0, b"abcdefgh")),
        1 => (1..9u16, prop::sample::select(vec![0, 10, 20_000])).prop_map(|(id, value)| setting(id, value)),
        1 => Just(frame(0x42, 0, 0, &[0; 30])),
        1 => wild.prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload)),
    ]
}

fn run(input: &[u8], splits: &[usize]) -> (Log, Result<(), ConnectionError>, String) {
    let mut connection = in_all_states();
    let (mut log, mut buffer, mut rest) = (Log::default(), Vec::new(), input);
    let mut splits = splits.iter().cycle();
    let mut result = Ok(());
    while !rest.is_empty() && result.is_ok() {
        let (piece, after) = rest.split_at(splits.next().map_or(rest.len(), |&at| at.clamp(1, rest.len())));
        buffer.extend_from_slice(piece);
        rest = after;
        result = connection.feed(&buffer, &mut |event| log.add(&event)).map(|taken| drop(buffer.drain(..taken)));
        assert!(buffer.len() < connection.max_left() || result.is_err());
    }
    log.flush();
    // What is left of the body on stream 9 may be in it.
    assert!(connection.output().len() < 40_000 + 4 * input.len());
    let output = sent(&mut connection);
    (log, result, output)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn pieces_mean_the_same_as_the_whole(
        frames in prop::collection::vec(any_frame(), 0..30),
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        splits in prop::collection::vec(1..40usize, 1..8),
    ) {
        let mut input = frames.concat();
        if let Some((at, byte)) = damage && !input.is_empty() {
            let at = at.index(input.len());
            input[at] = byte;
        }
        prop_assert_eq!(run(&input, &[]), run(&input, &splits));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(input: Vec<u8>, settings: bool) {
        if settings {
            let _ = run(&input, &[]);
        } else {
            let _ = Connection::new(Settings::default()).feed(&input, &mut |_| ());
        }
    }
}
