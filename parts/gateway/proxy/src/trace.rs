//! Ids of a request: `x-request-id` and the W3C `traceparent`.
//!
//! A sane request id is kept, anything else is replaced. A valid `traceparent` keeps its trace id and flags and gets a
//! span id of ours; an invalid one starts a new trace, and its `tracestate` is dropped (Trace Context, section 4.3).

use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Longest request id that is taken over from a client.
const MAX_REQUEST_ID: usize = 128;

/// The request's id, and the `traceparent` that is sent on; its trace id stands at `3..35`.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    pub(crate) request: HeaderValue,
    pub(crate) traceparent: HeaderValue,
}

impl Ids {
    /// Takes over what is sane in `headers`, and makes the rest.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let request = match headers.get(&REQUEST_ID) {
            Some(id) if is_sane(id.as_bytes()) => id.clone(),
            _ => new_request_id(),
        };
        let span = rand::random::<u64>().max(1);
        let text = match sole(headers, &TRACEPARENT).and_then(parse) {
            Some((trace, flags)) => format!("00-{trace}-{span:016x}-{flags}"),
            None => format!("00-{:032x}-{span:016x}-00", rand::random::<u128>().max(1)),
        };
        Self { request, traceparent: ascii(&text) }
    }

    /// Writes both into the request that is sent on.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        if sole(headers, &TRACEPARENT).and_then(parse).is_none() {
            headers.remove(TRACESTATE);
        }
        headers.insert(REQUEST_ID, self.request.clone());
        headers.insert(TRACEPARENT, self.traceparent.clone());
    }

    pub(crate) fn trace_id(&self) -> &str {
        self.traceparent.to_str().ok().and_then(|t| t.get(3..35)).unwrap_or_default()
    }
}

fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

/// Trace id and flags of a valid `traceparent`. Later versions may carry more after the flags.
fn parse(text: &str) -> Option<(&str, &str)> {
    let hex = |s: &str| s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let (version, trace, span, flags) = (text.get(..2)?, text.get(3..35)?, text.get(36..52)?, text.get(53..55)?);
    let dashes = [2, 35, 52].iter().all(|at| text.as_bytes().get(*at) == Some(&b'-'));
    let end = match text.as_bytes().get(55) {
        None => true,
        Some(b) => version != "00" && *b == b'-',
    };
    let zero = |s: &str| s.bytes().all(|b| b == b'0');
    let valid = dashes && end && version != "ff" && [version, trace, span, flags].into_iter().all(hex);
    (valid && !zero(trace) && !zero(span)).then_some((trace, flags))
}

fn is_sane(id: &[u8]) -> bool {
    (1..=MAX_REQUEST_ID).contains(&id.len())
        && id.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'=' | b'+' | b'/'))
}

/// A random UUID (version 4).
fn new_request_id() -> HeaderValue {
    let n = rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let (a, b, c) = ((n >> 96) as u32, (n >> 80) as u16, (n >> 64) as u16);
    let (d, e) = ((n >> 48) as u16, n & 0xffff_ffff_ffff);
    ascii(&format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}"))
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(traceparent: &str, kept: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_str(traceparent).unwrap());
        headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
        let ids = Ids::of(&headers);
        assert_eq!(traceparent.get(3..35) == Some(ids.trace_id()), kept, "{traceparent}");
        ids.put(&mut headers);
        assert_eq!(headers.contains_key(TRACESTATE), kept, "{traceparent}");
        let sent = headers[TRACEPARENT].to_str().unwrap();
        assert!(parse(sent).is_some(), "{sent}");
        assert_ne!(sent, traceparent, "the span is ours");
    }

    #[test]
    fn traceparents() {
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true);
        check("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", true);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false);
        check("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false);
        check("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false);
        check("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false);
        check("00-4bf92f35", false);
    }

    #[test]
    fn request_ids() {
        let id = |value: &'static str| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(value))]);
            Ids::of(&headers).request
        };
        assert_eq!(id("abc-1"), "abc-1");
        for bad in ["", "a b", "a\"b", "{}"] {
            let made = id(bad);
            assert_eq!(made.len(), 36, "{made:?}");
            assert_eq!(made.as_bytes()[14], b'4', "{made:?}");
        }
    }
}
