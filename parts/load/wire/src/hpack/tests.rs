//! Header blocks against the examples of RFC 7541, appendix C, and against arbitrary input.

use proptest::prelude::*;

use super::table::STATIC;
use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn fields(decoder: &mut Decoder, block: &[u8]) -> Result<String, Error> {
    let mut text = String::new();
    decoder.decode(block, |name, value| {
        text += &format!("{}: {}\n", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
    })?;
    Ok(text)
}

/// Decodes `blocks` one after the other; each stands for the fields and leaves the table at the size that follow it.
fn check(limit: usize, blocks: &[(&str, &str, usize)]) {
    let mut decoder = Decoder::new(limit);
    for (block, expected, size) in blocks {
        assert_eq!(fields(&mut decoder, &bytes(block)).as_deref(), Ok(*expected), "{block}");
        assert_eq!(decoder.table().size(), *size, "{block}");
    }
}

const FIRST: &str = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n";
const SECOND: &str = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n";
const THIRD: &str =
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value\n";
const ANSWER_1: &str = ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
                        location: https://www.example.com\n";
const ANSWER_2: &str = ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
                        location: https://www.example.com\n";
const ANSWER_3: &str = ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n\
                        location: https://www.example.com\ncontent-encoding: gzip\n\
                        set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n";

#[test]
fn c2_single_fields() {
    check(
        4096,
        &[("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key: custom-header\n", 55)],
    );
    check(4096, &[("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path\n", 0)]);
    check(4096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret\n", 0)]);
    check(4096, &[("82", ":method: GET\n", 0)]);
}

#[test]
fn c3_requests_in_plain_text() {
    check(
        4096,
        &[
            ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", FIRST, 57),
            ("8286 84be 5808 6e6f 2d63 6163 6865", SECOND, 110),
            ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", THIRD, 164),
        ],
    );
}

#[test]
fn c4_requests_in_huffman_code() {
    check(
        4096,
        &[
            ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", FIRST, 57),
            ("8286 84be 5886 a8eb 1064 9cbf", SECOND, 110),
            ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", THIRD, 164),
        ],
    );
}

#[test]
fn c5_answers_in_plain_text_with_eviction() {
    let first = "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 \
                 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d";
    let third = "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 \
                 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 \
                 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31";
    check(256, &[(first, ANSWER_1, 222), ("4803 3330 37c1 c0bf", ANSWER_2, 222), (third, ANSWER_3, 215)]);
}

#[test]
fn c6_answers_in_huffman_code_with_eviction() {
    let first = "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad \
                 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
    let third = "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 \
                 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07";
    check(256, &[(first, ANSWER_1, 222), ("4883 640e ffc1 c0bf", ANSWER_2, 222), (third, ANSWER_3, 215)]);
}

#[test]
fn the_table_obeys_its_size() {
    // An entry that is larger than the table empties it (section 4.4).
    check(40, &[("4001 6101 62", "a: b\n", 34), ("4005 6161 6161 6105 6262 6262 62", "aaaaa: bbbbb\n", 0)]);
    // The name of an entry that is evicted by the new one (section 4.4).
    check(40, &[("4001 6101 62", "a: b\n", 34), ("7e01 63", "a: c\n", 34), ("be", "a: c\n", 34)]);
    // To nothing and back (section 4.2); what was there is gone.
    check(64, &[("4001 6101 62", "a: b\n", 34), ("20 3f21 82", ":method: GET\n", 0)]);
}

#[test]
fn memory_does_not_grow_with_what_goes_through_the_table() {
    let mut decoder = Decoder::new(256);
    decoder.decode(b"\x40\x01a\x01b", |_, _| ()).unwrap();
    let before = decoder.table().memory();
    for n in 0..10_000u32 {
        let block = [b"\x40\x01a\x04", &n.to_be_bytes()[..], b"\x00\x01c\x01d\x61\x01e"].concat();
        decoder.decode(&block, |_, _| ()).unwrap();
    }
    assert_eq!(decoder.table().memory(), before);
}

#[test]
fn what_breaks_the_rules_is_refused() {
    let check = |block: &str, expected| {
        assert_eq!(fields(&mut Decoder::new(64), &bytes(block)), Err(expected), "{block}");
    };
    check("80", Error::Index);
    check("be", Error::Index);
    check("7e 01 61", Error::Index);
    check("ff ffff ff7f", Error::Index);
    check("ff ffff ffff 00", Error::Integer);
    check("00 ff ffff ffff 7f", Error::Integer);
    check("ff", Error::Truncated);
    check("40", Error::Truncated);
    check("00 01", Error::Truncated);
    check("00 01 61", Error::Truncated);
    check("00 01 61 02 62", Error::Truncated);
    check("00 81 00 00", Error::Huffman);
    check("3f22", Error::TableSize);
    check("20 20 20", Error::TableSize);
    check("82 20", Error::TableSizeLate);
}

#[test]
fn a_head_reads_as_it_was_written() {
    let mut head = Head::new("GET", "https", "www.example.com", "/a?b=c");
    let len = head.len();
    head.push("X-Long", "v".repeat(300).as_bytes());
    head.truncate(len);
    head.push("Accept-Encoding", b"gzip, deflate");
    head.push("user-agent", b"purlin");
    head.push("x-bin", &[0xff, 0xfe]);
    let expected = ":method: GET\n:scheme: https\n:authority: www.example.com\n:path: /a?b=c\n\
                    accept-encoding: gzip, deflate\nuser-agent: purlin\nx-bin: \u{fffd}\u{fffd}\n";
    let mut decoder = Decoder::new(0);
    for _ in 0..2 {
        assert_eq!(fields(&mut decoder, head.block()).as_deref(), Ok(expected));
    }
    assert_eq!(head.block()[..2], [0x82, 0x87]);
    assert!(!head.no_content());
    assert!(Head::new("HEAD", "http", "a", "/").no_content());
}

/// Representations of fields as encoders write them, with numbers that may or may not exist.
fn representation() -> impl Strategy<Value = Vec<u8>> {
    let text = proptest::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        (0x80..=0xfeu8).prop_map(|index| vec![index]),
        (prop_oneof![Just(0x00), Just(0x10), Just(0x40)], text.clone(), text).prop_map(|(kind, name, value)| {
            let mut block = vec![kind, name.len() as u8];
            block.extend(name);
            block.push(value.len() as u8);
            block.extend(value);
            block
        }),
        (1..=62u8, any::<u8>()).prop_map(|(index, byte)| vec![0x40 | index, 1, byte]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_field_comes_back(name in "[a-z0-9-]{1,200}", value: Vec<u8>) {
        let mut head = Head::new("PUT", "http", "a", "/");
        head.push(&name, &value);
        let mut last = (Vec::new(), Vec::new());
        Decoder::new(0).decode(head.block(), |name, value| last = (name.to_vec(), value.to_vec())).unwrap();
        prop_assert_eq!(last, (name.into_bytes(), value));
    }

    #[test]
    fn arbitrary_blocks_keep_the_bounds(blocks in proptest::collection::vec(any::<Vec<u8>>(), 1..20)) {
        let mut decoder = Decoder::new(256);
        for block in blocks {
            if decoder.decode(&block, |_, _| ()).is_err() {
                break;
            }
            prop_assert!(decoder.table().size() <= 256);
        }
    }

    /// The table against a list of strings, and its memory does not grow with what goes through it.
    #[test]
    fn the_table_is_a_list(parts in proptest::collection::vec(representation(), 0..400)) {
        let (limit, mut list) = (300, Vec::<(Vec<u8>, Vec<u8>)>::new());
        let mut decoder = Decoder::new(limit);
        for part in parts {
            let mut seen = None;
            let result = decoder.decode(&part, |name, value| seen = Some((name.to_vec(), value.to_vec())));
            let index = usize::from(part[0] & if part[0] >= 0x80 { 0x7f } else { 0x3f });
            let known = match index {
                1..=61 => Some((STATIC[index - 1].0.into(), STATIC[index - 1].1.into())),
                _ => list.get(index.wrapping_sub(62)).cloned(),
            };
            match part[0] {
                0x80.. => prop_assert_eq!(&seen, &known),
                0x41.. => prop_assert_eq!(seen.as_ref().map(|field| &field.0), known.as_ref().map(|field| &field.0)),
                _ => prop_assert!(seen.is_some()),
            }
            prop_assert_eq!(result.is_ok(), seen.is_some());
            if result.is_err() {
                break;
            }
            if (0x40..0x80).contains(&part[0]) {
                list.insert(0, seen.unwrap());
                while list.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>() > limit {
                    list.pop();
                }
            }
        }
        prop_assert!(decoder.table().memory() < 4096, "{}", decoder.table().memory());
    }
}
