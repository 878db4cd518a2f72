//! base64url as RFC 7515 wants it: no padding, no white space, no bits that are thrown away.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The bytes that `text` stands for; none where another text would stand for the same.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Like [`decode`], into `buffer`, which has to be large enough.
pub(crate) fn decode_into<'a>(text: &[u8], buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let length = URL_SAFE_NO_PAD.decode_slice(text, buffer).ok()?;
    buffer.get(..length)
}

/// The text of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_one_text() {
        assert_eq!(decode(b"AQID_-8").as_deref(), Some([1, 2, 3, 255, 239].as_slice()));
        for text in ["AQ==", "AQ=", "AR", "A", "A Q", "AQ\n", "+/AA", "AQID.", "é"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
            assert_eq!(decode_into(text.as_bytes(), &mut [0; 16]), None, "{text}");
        }
        assert_eq!(decode_into(b"AQID", &mut [0; 3]), Some([1, 2, 3].as_slice()));
        assert_eq!(decode_into(b"AQID", &mut [0; 2]), None);
        assert_eq!(encode(&[1, 2, 3, 255, 239]), "AQID_-8");
    }
}
