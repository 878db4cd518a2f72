//! What a caller may say beside the message (gRPC over HTTP/2, Custom-Metadata).
//!
//! Values of names that end in `-bin` are bytes, written in base64: with padding or without it in a plan, and without
//! it on the wire, as the specification asks. All other values are visible ASCII and spaces.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Names that HTTP/2 or the protocol itself gives a meaning (RFC 9113, section 8.2.2).
const RESERVED: [&str; 9] = [
    "te",
    "content-type",
    "content-length",
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// Whether `name` may be the name of metadata; says why when it may not.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(format!("metadata {name:?}: a name has small letters, digits, and any of - _ . only"));
    }
    match name.starts_with("grpc-") || RESERVED.contains(&name) {
        true => Err(format!("metadata {name}: gRPC or HTTP/2 itself sets it: leave it out")),
        false => Ok(()),
    }
}

/// `value` as it is written for `name`.
pub(crate) fn value(name: &str, value: String) -> Result<String, String> {
    if !name.ends_with("-bin") {
        let fits = value.bytes().all(|b| (b' '..=b'~').contains(&b));
        return if fits {
            Ok(value)
        } else {
            Err(format!("metadata {name}: its value must be ASCII; bytes go in base64 under a name that ends in -bin"))
        };
    }
    // Several values may stand in one field.
    let parts = value.split(',').map(|part| BASE64.decode(part.trim()).map(|bytes| STANDARD_NO_PAD.encode(bytes)));
    let parts: Result<Vec<String>, _> = parts.collect();
    parts.map(|parts| parts.join(",")).map_err(|e| format!("metadata {name}: its value must be base64: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_taken_are_refused() {
        for name in ["authorization", "x-request-id", "a_b.c-1", "trace-bin", "user-agent", "grpcx"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["grpc-timeout", "grpc-status", "te", "content-type", "host", "connection", "upgrade"] {
            assert!(check_name(name).unwrap_err().contains("leave it out"), "{name}");
        }
        for name in ["", ":path", "X-Upper", "with space", "ü", "a\r\nb"] {
            assert!(check_name(name).unwrap_err().contains("small letters"), "{name}");
        }
    }

    #[test]
    fn bytes_are_base64() {
        let check = |name: &str, text: &str, expected: Result<&str, &str>| match (value(name, text.into()), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{name}: {text}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{name}: {found}"),
            (found, _) => panic!("{name}: {text}: {found:?}"),
        };
        check("x-bin", "AA==", Ok("AA"));
        check("x-bin", "AA", Ok("AA"));
        check("x-bin", "", Ok(""));
        check("x-bin", "AAEC, /+8=", Ok("AAEC,/+8"));
        check("x-bin", "no base64!", Err("metadata x-bin: its value must be base64"));
        check("x-bin", "A", Err("must be base64"));
        check("x", "no base64! ~", Ok("no base64! ~"));
        check("x", "tab\t", Err("metadata x: its value must be ASCII"));
        check("x", "ü", Err("must be ASCII"));
    }
}
