//! Trace context: which trace a request belongs to, from and to HTTP headers.
//!
//! Read from `traceparent` and `tracestate` (W3C Trace Context), else from `b3` or `x-b3-*` (Zipkin's B3); written as
//! W3C. Headers that break their specification are ignored, as it demands: tracing never fails a request.

use std::fmt;

use http::{HeaderMap, HeaderValue};
use rand::Rng;

/// A trace: 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// A span within a trace: 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// What travels with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The sender's span.
    pub span: SpanId,
    /// Whether the trace is being recorded.
    pub sampled: bool,
    /// `tracestate`: what tracing systems pass on among themselves.
    pub state: Option<String>,
}

/// A family of headers that carry a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `traceparent` and `tracestate`.
    W3c,
    /// `b3`.
    B3,
    /// `x-b3-traceid` and its like.
    B3Multi,
}

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// Limits of `tracestate`: the specification's 32 members, and a size no system needs more of.
const MAX_MEMBERS: usize = 32;
const MAX_STATE_BYTES: usize = 4096;

macro_rules! id {
    ($id:ident, $bytes:literal, $number:ty) => {
        impl $id {
            fn new(bytes: [u8; $bytes]) -> Option<Self> {
                (bytes != [0; $bytes]).then_some($id(bytes))
            }

            fn random(random: &mut impl Rng) -> Self {
                let mut bytes = [0; $bytes];
                random.fill_bytes(&mut bytes);
                // All zero means none: as likely as any other value, and not to be sent.
                if bytes == [0; $bytes] {
                    bytes[0] = 1;
                }
                $id(bytes)
            }

            /// Reads lower-case hexadecimal digits, as many as the id has.
            fn parse(text: &str) -> Option<Self> {
                let mut bytes = [0; $bytes];
                unhex(text, &mut bytes)?;
                Self::new(bytes)
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:0width$x}", <$number>::from_be_bytes(self.0), width = 2 * $bytes)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(TraceId, 16, u128);
id!(SpanId, 8, u64);

impl TraceContext {
    /// The start of a trace.
    pub fn root(random: &mut impl Rng, sampled: bool) -> Self {
        TraceContext { trace: TraceId::random(random), span: SpanId::random(random), sampled, state: None }
    }

    /// A new span in the same trace, for a request that is sent on.
    pub fn child(&self, random: &mut impl Rng) -> Self {
        TraceContext { span: SpanId::random(random), ..self.clone() }
    }

    /// The context that a request's headers carry.
    pub fn extract(headers: &HeaderMap) -> Option<Self> {
        let w3c = single(headers, TRACEPARENT).and_then(parse_traceparent);
        if let Some(context) = w3c {
            return Some(TraceContext { state: state(headers), ..context });
        }
        match single(headers, "b3") {
            Some(b3) => parse_b3(b3),
            None => parse_b3_headers(headers),
        }
    }

    /// The context that a request's headers carry in the first of these formats that has one.
    pub fn extract_as(headers: &HeaderMap, formats: impl IntoIterator<Item = Format>) -> Option<Self> {
        formats.into_iter().find_map(|format| match format {
            Format::W3c => {
                let context = single(headers, TRACEPARENT).and_then(parse_traceparent)?;
                Some(TraceContext { state: state(headers), ..context })
            }
            Format::B3 => single(headers, "b3").and_then(parse_b3),
            Format::B3Multi => parse_b3_headers(headers),
        })
    }

    /// Writes the context into headers in these formats, in place of what they carry in any.
    pub fn inject_as(&self, headers: &mut HeaderMap, formats: impl IntoIterator<Item = Format>) {
        Self::clear(headers);
        let mut put = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        let sampled = u8::from(self.sampled);
        for format in formats {
            match format {
                Format::W3c => {
                    put(TRACEPARENT, self.traceparent());
                    if let Some(state) = &self.state {
                        put(TRACESTATE, state.clone());
                    }
                }
                Format::B3 => put("b3", format!("{}-{}-{sampled}", self.trace, self.span)),
                Format::B3Multi => {
                    put("x-b3-traceid", self.trace.to_string());
                    put("x-b3-spanid", self.span.to_string());
                    put("x-b3-sampled", sampled.to_string());
                }
            }
        }
    }

    /// Writes the context into headers, in place of what they carry.
    pub fn inject(&self, headers: &mut HeaderMap) {
        self.inject_as(headers, [Format::W3c]);
    }

    fn clear(headers: &mut HeaderMap) {
        for name in [
            TRACEPARENT,
            TRACESTATE,
            "b3",
            "x-b3-traceid",
            "x-b3-spanid",
            "x-b3-parentspanid",
            "x-b3-sampled",
            "x-b3-flags",
        ] {
            headers.remove(name);
        }
    }

    /// The value of `traceparent`.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// Reads `VERSION-TRACE-SPAN-FLAGS`. A later version may go on after a further dash.
fn parse_traceparent(text: &str) -> Option<TraceContext> {
    let mut parts = text.splitn(5, '-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let rest = parts.next();
    let mut byte = [0; 1];
    unhex(version, &mut byte)?;
    match byte {
        [0xff] => return None,
        [0] if rest.is_some() => return None,
        _ => {}
    }
    unhex(flags, &mut byte)?;
    let (trace, span) = (TraceId::parse(trace)?, SpanId::parse(span)?);
    Some(TraceContext { trace, span, sampled: byte[0] & 1 == 1, state: None })
}

/// Reads `TRACE-SPAN`, `TRACE-SPAN-SAMPLED` or `TRACE-SPAN-SAMPLED-PARENT`. A decision alone (`0`) names no trace.
fn parse_b3(text: &str) -> Option<TraceContext> {
    let mut parts = text.split('-');
    let (trace, span) = (b3_trace(parts.next()?)?, SpanId::parse(parts.next()?)?);
    let sampled = parts.next().map_or(Some(false), b3_sampled)?;
    if let Some(parent) = parts.next() {
        SpanId::parse(parent)?;
    }
    parts.next().is_none().then_some(TraceContext { trace, span, sampled, state: None })
}

fn parse_b3_headers(headers: &HeaderMap) -> Option<TraceContext> {
    let trace = b3_trace(single(headers, "x-b3-traceid")?)?;
    let span = SpanId::parse(single(headers, "x-b3-spanid")?)?;
    let debug = single(headers, "x-b3-flags") == Some("1");
    let sampled = debug || single(headers, "x-b3-sampled").map_or(Some(false), b3_sampled)?;
    Some(TraceContext { trace, span, sampled, state: None })
}

/// B3 knows traces of 8 bytes as well, which are the lower half.
fn b3_trace(text: &str) -> Option<TraceId> {
    match text.len() {
        16 => TraceId::parse(&format!("{:016}{text}", 0)),
        _ => TraceId::parse(text),
    }
}

fn b3_sampled(text: &str) -> Option<bool> {
    match text {
        "1" | "d" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

/// `tracestate` of all headers of that name, where it keeps within the limits and has the form `KEY=VALUE,..`.
fn state(headers: &HeaderMap) -> Option<String> {
    let values: Option<Vec<&str>> = headers.get_all(TRACESTATE).iter().map(|value| value.to_str().ok()).collect();
    let members: Vec<String> = values?
        .iter()
        .flat_map(|value| value.split(','))
        .map(|member| member.trim_matches([' ', '\t']).to_owned())
        .filter(|member| !member.is_empty())
        .collect();
    let well_formed = |member: &String| member.split_once('=').is_some_and(|(key, _)| is_key(key));
    let joined = members.join(",");
    let fits = members.len() <= MAX_MEMBERS && joined.len() <= MAX_STATE_BYTES;
    (!members.is_empty() && fits && members.iter().all(well_formed)).then_some(joined)
}

fn is_key(key: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(&b);
    !key.is_empty() && key.len() <= 256 && key.bytes().all(allowed)
}

/// The one value of a header; several are ambiguous and count as none.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

fn unhex(text: &str, out: &mut [u8]) -> Option<()> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    if text.len() != 2 * out.len() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn formats_are_read_and_written_as_asked() {
        let b3 = format!("{TRACE}-{SPAN}-1");
        let given = headers(&[("traceparent", "00-00000000000000000000000000000001-0000000000000001-00"), ("b3", &b3)]);
        let read = |formats: &[Format]| TraceContext::extract_as(&given, formats.iter().copied());
        assert_eq!(read(&[Format::B3Multi]), None);
        let context = read(&[Format::B3Multi, Format::B3, Format::W3c]).unwrap();
        assert_eq!(context.trace.to_string(), TRACE);
        assert_eq!(read(&[Format::W3c, Format::B3]).unwrap().span.to_string(), "0000000000000001");
        let mut written = given.clone();
        context.inject_as(&mut written, [Format::B3, Format::B3Multi]);
        let multi = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")];
        assert_eq!(written, headers(&[&[("b3", b3.as_str())][..], &multi].concat()));
        assert_eq!(TraceContext::extract_as(&written, [Format::B3Multi]), Some(context));
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    /// The traceparent that would be sent on.
    fn check(pairs: &[(&'static str, &str)], expected: Option<&str>) {
        let found = TraceContext::extract(&headers(pairs)).map(|context| context.traceparent());
        assert_eq!(found.as_deref(), expected, "{pairs:?}");
    }

    #[test]
    fn traceparent_follows_the_specification() {
        let w3c = |value: &str, expected: Option<&str>| check(&[("traceparent", value)], expected);
        let (on, off) = (&format!("00-{TRACE}-{SPAN}-01")[..], &format!("00-{TRACE}-{SPAN}-00")[..]);
        w3c(on, Some(on));
        w3c(off, Some(off));
        w3c(&format!("00-{TRACE}-{SPAN}-03"), Some(on));
        w3c(&format!("00-{TRACE}-{SPAN}-fe"), Some(off));
        w3c(&format!("cc-{TRACE}-{SPAN}-01"), Some(on));
        w3c(&format!("cc-{TRACE}-{SPAN}-01-what-the-future-brings"), Some(on));
        w3c(&format!("cc-{TRACE}-{SPAN}-01."), None);
        w3c(&format!("ff-{TRACE}-{SPAN}-01"), None);
        w3c(&format!("00-{TRACE}-{SPAN}-01-"), None);
        w3c(&format!("00-{TRACE}-{SPAN}-1"), None);
        w3c(&format!("00-{TRACE}-{SPAN}"), None);
        w3c(&format!("0-{TRACE}-{SPAN}-01"), None);
        w3c(&format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None);
        w3c(&format!("00-{}-{SPAN}-01", "0".repeat(32)), None);
        w3c(&format!("00-{TRACE}-{}-01", "0".repeat(16)), None);
        w3c(&format!("00-{TRACE}x-{SPAN}-01"), None);
        w3c(&format!(" 00-{TRACE}-{SPAN}-01"), None);
        w3c("", None);
        check(&[("traceparent", on), ("traceparent", on)], None);
    }

    #[test]
    fn b3_is_read_in_both_forms() {
        let (on, off) = (&format!("00-{TRACE}-{SPAN}-01")[..], &format!("00-{TRACE}-{SPAN}-00")[..]);
        let b3 = |value: &str, expected: Option<&str>| check(&[("b3", value)], expected);
        b3(&format!("{TRACE}-{SPAN}-1"), Some(on));
        b3(&format!("{TRACE}-{SPAN}-d-{SPAN}"), Some(on));
        b3(&format!("{TRACE}-{SPAN}-0"), Some(off));
        b3(&format!("{TRACE}-{SPAN}"), Some(off));
        let short = format!("00-0000000000000000{}-{SPAN}-01", &TRACE[16..]);
        b3(&format!("{}-{SPAN}-1", &TRACE[16..]), Some(&short));
        for wrong in ["0", "d", "", &format!("{TRACE}-{SPAN}-2"), &format!("{TRACE}-{SPAN}-1-x"), &format!("{TRACE}-")]
        {
            b3(wrong, None);
        }
        b3(&format!("{TRACE}-{SPAN}-1-{SPAN}-1"), None);
        let (trace, span) = (("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN));
        check(&[trace, span, ("x-b3-sampled", "1")], Some(on));
        check(&[trace, span, ("x-b3-sampled", "true")], Some(on));
        check(&[trace, span, ("x-b3-flags", "1")], Some(on));
        check(&[trace, span, ("x-b3-sampled", "0")], Some(off));
        check(&[trace, span], Some(off));
        check(&[trace], None);
        check(&[trace, span, ("x-b3-sampled", "maybe")], None);
        // W3C comes first; where it is broken, B3 counts.
        check(&[("traceparent", off), ("b3", &format!("{TRACE}-{SPAN}-1"))], Some(off));
        check(&[("traceparent", "broken"), ("b3", &format!("{TRACE}-{SPAN}-1"))], Some(on));
    }

    #[test]
    fn tracestate_is_passed_on_within_limits() {
        let parent = format!("00-{TRACE}-{SPAN}-01");
        let check = |states: &[&str], expected: Option<&str>| {
            let mut pairs = vec![("traceparent", parent.as_str())];
            pairs.extend(states.iter().map(|state| (TRACESTATE, *state)));
            let context = TraceContext::extract(&headers(&pairs)).unwrap();
            assert_eq!(context.state.as_deref(), expected, "{states:?}");
            let mut out = headers(&[(TRACESTATE, "old=1"), ("b3", "0"), ("other", "x")]);
            context.inject(&mut out);
            assert_eq!(out[TRACEPARENT], parent);
            assert_eq!(out.get(TRACESTATE).map(|value| value.to_str().unwrap()), expected);
            assert!(!out.contains_key("b3") && out.contains_key("other"));
        };
        check(&[], None);
        check(&["a=1, b@c=2 "], Some("a=1,b@c=2"));
        check(&["a=1", "b=2,,"], Some("a=1,b=2"));
        for wrong in ["a", "=1", "A=1", "a=1,b"] {
            check(&[wrong], None);
        }
        let many: Vec<String> = (0..33).map(|n| format!("k{n}=v")).collect();
        check(&[&many[..32].join(",")], Some(&many[..32].join(",")));
        check(&[&many.join(",")], None);
        check(&[&format!("a={}", "x".repeat(MAX_STATE_BYTES))], None);
    }

    #[test]
    fn children_stay_in_their_trace() {
        let mut random = StdRng::seed_from_u64(1);
        let root = TraceContext::root(&mut random, true);
        let child = root.child(&mut random);
        assert_eq!((child.trace, child.sampled), (root.trace, true));
        assert_ne!(child.span, root.span);
        assert_eq!(TraceContext::root(&mut StdRng::seed_from_u64(1), true), root);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read(seed: u64, sampled: bool) {
            let context = TraceContext::root(&mut StdRng::seed_from_u64(seed), sampled);
            let mut headers = HeaderMap::new();
            context.inject(&mut headers);
            prop_assert_eq!(TraceContext::extract(&headers), Some(context));
        }

        #[test]
        fn nothing_sent_panics(value in "[0-9a-f-]{0,70}|\\PC{0,40}") {
            let bytes = HeaderValue::from_bytes(value.as_bytes());
            for (name, value) in ["traceparent", "b3", "x-b3-traceid"].iter().zip(bytes.iter().cycle()) {
                let mut map = HeaderMap::new();
                map.insert(*name, value.clone());
                let _ = TraceContext::extract(&map);
            }
        }
    }
}
