//! Ids of a request: `x-request-id` and the trace that it belongs to.
//!
//! A sane request id is kept, unless it comes from a stranger where it was said who is none; anything else is replaced. A trace that the request carries (W3C or B3) goes on with a
//! span id of ours; without one a new trace begins, unsampled (Trace Context, section 4.3).

use http::{HeaderMap, HeaderName, HeaderValue};
use purlin_telemetry::trace::{Format, TraceContext};

use crate::client::{Origin, Trust};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is taken over from a client.
const MAX_REQUEST_ID: usize = 128;

/// The request's id, and the context that is sent on.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    pub(crate) request: HeaderValue,
    pub(crate) trace: TraceContext,
    /// None for W3C.
    formats: [Option<Format>; 3],
}

impl Ids {
    /// Takes over what is sane in `headers`, and makes the rest.
    pub(crate) fn of(headers: &HeaderMap, origin: &Origin) -> Self {
        let request = match headers.get(&REQUEST_ID).filter(|_| origin.trust != Trust::Stranger) {
            Some(id) if is_sane(id.as_bytes()) => id.clone(),
            _ => new_request_id(),
        };
        let mut random = rand::rng();
        let formats = origin.propagation;
        let theirs = match formats {
            [None, ..] => TraceContext::extract(headers),
            _ => TraceContext::extract_as(headers, formats.into_iter().flatten()),
        };
        let trace = match theirs {
            Some(theirs) => theirs.child(&mut random),
            None => TraceContext::root(&mut random, false),
        };
        Self { request, trace, formats }
    }

    /// Writes both into the request that is sent on.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.request.clone());
        match self.formats {
            [None, ..] => self.trace.inject(headers),
            formats => self.trace.inject_as(headers, formats.into_iter().flatten()),
        }
    }
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

    fn origin(trust: Trust) -> Origin {
        Origin { client: std::net::IpAddr::from([127, 0, 0, 1]), https: false, trust, propagation: [None; 3] }
    }

    #[test]
    fn a_trace_goes_on_under_a_span_of_ours() {
        let theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static(theirs));
        headers.insert("tracestate", HeaderValue::from_static("a=b"));
        Ids::of(&headers.clone(), &origin(Trust::Unsaid)).put(&mut headers);
        let sent = headers["traceparent"].to_str().unwrap();
        assert!(sent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && sent.ends_with("-01"), "{sent}");
        assert_ne!(sent, theirs);
        assert_eq!(headers["tracestate"], "a=b");
    }

    #[test]
    fn without_a_valid_trace_a_new_one_begins() {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static("00-4bf92f35"));
        headers.insert("tracestate", HeaderValue::from_static("a=b"));
        Ids::of(&headers.clone(), &origin(Trust::Unsaid)).put(&mut headers);
        let sent = TraceContext::extract(&headers).unwrap();
        assert!(!sent.sampled);
        assert!(!headers.contains_key("tracestate"));
    }

    #[test]
    fn request_ids() {
        let id = |value: &'static str| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(value))]);
            Ids::of(&headers, &origin(Trust::Believed)).request
        };
        assert_eq!(id("abc-1"), "abc-1");
        let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static("abc-1"))]);
        assert_eq!(Ids::of(&headers, &origin(Trust::Unsaid)).request, "abc-1");
        assert_ne!(Ids::of(&headers, &origin(Trust::Stranger)).request, "abc-1");
        for bad in ["", "a b", "a\"b", "{}"] {
            let made = id(bad);
            assert_eq!(made.len(), 36, "{made:?}");
            assert_eq!(made.as_bytes()[14], b'4', "{made:?}");
        }
    }
}
