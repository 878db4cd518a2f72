//! The Huffman code of RFC 7541, appendix B.
//!
//! The code is canonical: codes of one length are consecutive numbers in the order of their symbols, and go on from
//! the codes of the length below. So the lengths alone define it, and all tables here are computed from them. Decoding
//! looks at eight bits at once, which resolves every letter and digit; longer codes are found by their length.

use super::Error;

/// The length in bits of each symbol's code; the last is the end of the string, which is never sent.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const LONGEST: usize = 30;

struct Tables {
    /// The code of each symbol, in its lowest bits.
    codes: [u32; 257],
    /// By the next eight bits: the symbol, and the length of its code in the upper byte; 0 where that is longer.
    short: [u16; 256],
    /// All symbols in the order of their codes.
    symbols: [u16; 257],
    /// By length: the first code of that length, aligned to `LONGEST` bits.
    first: [u32; LONGEST + 1],
    /// By length: the first number, aligned to `LONGEST` bits, that is beyond the codes of that length.
    beyond: [u32; LONGEST + 1],
    /// By length: where its symbols begin.
    offset: [u16; LONGEST + 1],
}

static TABLES: Tables = tables();

const fn tables() -> Tables {
    let mut t = Tables {
        codes: [0; 257],
        short: [0; 256],
        symbols: [0; 257],
        first: [0; LONGEST + 1],
        beyond: [0; LONGEST + 1],
        offset: [0; LONGEST + 1],
    };
    let (mut next, mut count, mut length) = (0u32, 0usize, 1usize);
    while length <= LONGEST {
        t.first[length] = next << (LONGEST - length);
        t.offset[length] = count as u16;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                t.codes[symbol] = next;
                t.symbols[count] = symbol as u16;
                if length <= 8 {
                    let mut rest = 0;
                    while rest < 1 << (8 - length) {
                        t.short[(next << (8 - length)) as usize + rest] = (length << 8 | symbol) as u16;
                        rest += 1;
                    }
                }
                (next, count) = (next + 1, count + 1);
            }
            symbol += 1;
        }
        t.beyond[length] = next << (LONGEST - length);
        next <<= 1;
        length += 1;
    }
    t
}

/// How many bytes `text` takes in Huffman code.
pub(super) fn encoded_len(text: &[u8]) -> usize {
    text.iter().map(|&byte| usize::from(LENGTHS[usize::from(byte)])).sum::<usize>().div_ceil(8)
}

/// Appends `text` in Huffman code.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0u64, 0u32);
    for &byte in text {
        let length = u32::from(LENGTHS[usize::from(byte)]);
        bits = bits << length | u64::from(TABLES.codes[usize::from(byte)]);
        count += length;
        while count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    if count > 0 {
        // Padded with ones, the beginning of the code that ends the string.
        out.push((bits << (8 - count)) as u8 | 0xff >> count);
    }
}

/// Appends what `code` stands for.
pub(super) fn decode(mut code: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    // No code is shorter than 5 bits.
    out.reserve(code.len() * 8 / 5 + 1);
    // The next bits are the highest of `bits`; `count` of them are there, the others are 0.
    let (mut bits, mut count) = (0u64, 0u32);
    loop {
        if count < 32 {
            if let Some((four, rest)) = code.split_first_chunk::<4>() {
                bits |= u64::from(u32::from_be_bytes(*four)) << (32 - count);
                (code, count) = (rest, count + 32);
            } else {
                for &byte in code {
                    bits |= u64::from(byte) << (56 - count);
                    count += 8;
                }
                code = &[];
            }
        }
        let (symbol, length) = match TABLES.short[(bits >> 56) as usize] {
            0 => long((bits >> (64 - LONGEST)) as u32)?,
            short => (short as u8, u32::from(short >> 8)),
        };
        if length > count {
            break;
        }
        out.push(symbol);
        bits <<= length;
        count -= length;
    }
    // What remains is padding: less than a byte, all ones.
    if count < 8 && (!bits).leading_zeros() >= count { Ok(()) } else { Err(Error::Huffman) }
}

/// The symbol whose code begins the 30 bits of `bits`, and its length, where that is above eight.
#[cold]
fn long(bits: u32) -> Result<(u8, u32), Error> {
    let length = (9..=LONGEST).find(|&length| bits < TABLES.beyond[length]).ok_or(Error::Huffman)?;
    let nth = (bits - TABLES.first[length]) >> (LONGEST - length);
    let symbol = TABLES.symbols[usize::from(TABLES.offset[length]) + nth as usize];
    // The end of the string is no part of one.
    Ok((u8::try_from(symbol).map_err(|_| Error::Huffman)?, length as u32))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_are_those_of_appendix_b() {
        let check = |symbol: usize, code, length| {
            assert_eq!((TABLES.codes[symbol], LENGTHS[symbol]), (code, length), "symbol {symbol}");
        };
        check(0, 0x1ff8, 13);
        check(1, 0x7f_ffd8, 23);
        check(9, 0xff_ffea, 24);
        check(10, 0x3fff_fffc, 30);
        check(usize::from(b' '), 0x14, 6);
        check(usize::from(b'0'), 0x0, 5);
        check(usize::from(b'\\'), 0x7_fff0, 19);
        check(usize::from(b'a'), 0x3, 5);
        check(usize::from(b'~'), 0x1ffd, 13);
        check(128, 0xf_ffe6, 20);
        check(199, 0x1ff_ffec, 25);
        check(203, 0x7ff_ffde, 27);
        check(255, 0x3ff_ffee, 26);
        check(256, 0x3fff_ffff, 30);
    }

    #[test]
    fn only_short_padding_of_ones_ends_a_string() {
        let check = |code: &[u8], expected: Result<&[u8], Error>| {
            let mut out = Vec::new();
            assert_eq!(decode(code, &mut out).map(|()| &out[..]), expected, "{code:x?}");
        };
        check(&[], Ok(b""));
        check(&[0b0000_0111], Ok(b"0"));
        check(&[0b0000_0110], Err(Error::Huffman));
        check(&[0b0000_0111, 0xff], Err(Error::Huffman));
        check(&[0xff], Err(Error::Huffman));
        check(&[0b1111_1110], Err(Error::Huffman));
        // The end of the string, alone and after a symbol.
        check(&[0xff; 4], Err(Error::Huffman));
        check(&[0b0001_1111, 0xff, 0xff, 0xff, 0xff, 0xff], Err(Error::Huffman));
        // A code that is cut.
        check(&[0xff, 0xc0], Err(Error::Huffman));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn every_text_comes_back(text: Vec<u8>) {
            let (mut code, mut back) = (Vec::new(), Vec::new());
            encode(&text, &mut code);
            prop_assert_eq!(code.len(), encoded_len(&text));
            decode(&code, &mut back).unwrap();
            prop_assert_eq!(back, text);
        }

        /// What decodes is the only way to write that text: no two codes mean the same.
        #[test]
        fn every_code_is_refused_or_comes_back(code: Vec<u8>) {
            let (mut text, mut back) = (Vec::new(), Vec::new());
            if decode(&code, &mut text).is_ok() {
                encode(&text, &mut back);
                prop_assert_eq!(back, code);
            }
        }
    }
}
