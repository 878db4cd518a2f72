//! Headers that belong to one connection, and those that a proxy adds (RFC 9110, section 7.6).
//!
//! `X-Forwarded-For` is appended to; `X-Forwarded-Proto` and `X-Forwarded-Host` say what this proxy saw, whatever a
//! client claims that is no trusted proxy; `Forwarded` and such a client's `X-Forwarded-Port`, which it does not write,
//! are dropped. Names with an underscore are
//! dropped where backends that turn `-` into `_` (CGI, WSGI) would take them for a header that frames the message or
//! that a proxy writes. `Server` of a backend is passed on; answers of the proxy itself say `purlin`.

use std::net::IpAddr;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER};
use http::header::{TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::client::{Origin, Trust};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Written by proxies only, and not by this one.
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Names that no header with an underscore may be taken for.
const GUARDED: [&str; 13] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "x-request-id",
    "traceparent",
    "tracestate",
];

/// White space around a value, which HTTP/1.1 trims and HTTP/2 does not know (RFC 9113, section 8.2.1).
pub(crate) fn padded(value: &HeaderValue) -> bool {
    let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    blank(value.as_bytes().first()) || blank(value.as_bytes().last())
}

/// Never removed because `Connection` names them: they say where a message goes and where it ends.
const KEPT: [HeaderName; 2] = [HOST, CONTENT_LENGTH];

/// Removes what concerns one connection only, also what `Connection` names. `TE: trailers` stays for gRPC.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = tokens(headers, &CONNECTION).filter_map(|t| t.parse().ok()).collect();
        for name in named.iter().filter(|name| !KEPT.contains(name) && **name != TE) {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    if headers.contains_key(TE) {
        let trailers = tokens(headers, &TE).any(|t| t.eq_ignore_ascii_case("trailers"));
        headers.remove(TE);
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
    for name in [TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHORIZATION, HTTP2_SETTINGS] {
        headers.remove(name);
    }
}

/// Removes headers that backends could take for one that this proxy has judged or writes.
pub(crate) fn strip_disguised(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| name.as_str().contains('_')) {
        return;
    }
    let disguised = |name: &HeaderName| {
        let plain = name.as_str().replace('_', "-");
        name.as_str().contains('_')
            && (GUARDED.contains(&&*plain) || plain == "forwarded" || plain.starts_with("x-forwarded-"))
    };
    let names: Vec<HeaderName> = headers.keys().filter(|name| disguised(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Writes Content-Length in its one form (`0001` is `1`), for readers that would take it for another number.
pub(crate) fn canonical_length(headers: &mut HeaderMap) {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// As [`strip_hop_by_hop`], for a response.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    headers.remove(TE);
    headers.remove(PROXY_AUTHENTICATE);
}

/// Removes from trailers what must not come after the head, and what the head would have been refused or relieved of.
/// It is too late then to refuse the message.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    strip_disguised(trailers);
    if trailers.values().any(padded) {
        let names: Vec<HeaderName> = trailers.iter().filter(|(_, v)| padded(v)).map(|(n, _)| n.clone()).collect();
        for name in names {
            trailers.remove(name);
        }
    }
    for name in [CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE] {
        trailers.remove(name);
    }
}

/// The protocol that a message asks to change to: `Upgrade` that `Connection` names. `h2c` is not one of them, as it
/// would take the exchange past the rules.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(UPGRADE)?;
    let named = tokens(headers, &CONNECTION).any(|t| t.eq_ignore_ascii_case("upgrade"));
    let h2c = tokens(headers, &UPGRADE).any(|t| t.len() >= 2 && t.as_bytes()[..2].eq_ignore_ascii_case(b"h2"));
    (named && !h2c).then(|| value.clone())
}

/// Asks for an upgrade, or confirms it.
pub(crate) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Adds who asked, and for what.
///
/// `peer` is appended to what a chain of proxies says; a stranger's chain is dropped, and of a trusted proxy's the rest is
/// kept too.
pub(crate) fn set_forwarded(headers: &mut HeaderMap, peer: IpAddr, origin: &Origin, authority: &HeaderValue) {
    let mut chain = String::new();
    if origin.trust == Trust::Stranger {
        headers.remove(FORWARDED_FOR);
    } else if origin.trust == Trust::Believed
        && !headers.contains_key(&FORWARDED_FOR)
        && origin.client != peer.to_canonical()
    {
        // Told by `Forwarded`.
        chain = format!("{}, ", origin.client);
    }
    for earlier in headers.get_all(&FORWARDED_FOR).iter().filter_map(|v| v.to_str().ok()) {
        chain.push_str(earlier);
        chain.push_str(", ");
    }
    chain.push_str(&peer.to_canonical().to_string());
    if let Ok(value) = HeaderValue::try_from(chain) {
        headers.insert(FORWARDED_FOR, value);
    }
    headers.remove(FORWARDED);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if origin.https { "https" } else { "http" }));
    let believed = origin.trust == Trust::Believed;
    if !believed || headers.get_all(&FORWARDED_PORT).iter().count() > 1 {
        headers.remove(FORWARDED_PORT);
    }
    if !believed || headers.get_all(&FORWARDED_HOST).iter().count() != 1 {
        headers.insert(FORWARDED_HOST, authority.clone());
    }
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let elements = headers.get_all(name).iter().flat_map(|v| v.as_bytes().split(|b| *b == b','));
    // An element that is not text is none; it does not hide the others.
    elements.filter_map(|t| str::from_utf8(t.trim_ascii()).ok()).filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[track_caller]
    fn check(given: &[(&'static str, &'static str)], left: &[(&'static str, &'static str)]) {
        let mut headers = map(given);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(left), "{given:?}");
    }

    #[test]
    fn hop_by_hop() {
        check(&[("connection", "close, X-Secret ,y"), ("x-secret", "1"), ("y", "2"), ("z", "3")], &[("z", "3")]);
        check(
            &[("connection", "host, content-length"), ("host", "a"), ("content-length", "1")],
            &[("host", "a"), ("content-length", "1")],
        );
        check(&[("te", "gzip, trailers"), ("connection", "te")], &[("te", "trailers")]);
        check(&[("te", "gzip")], &[]);
        let mut headers = map(&[("x-secret", "1")]);
        headers.insert(CONNECTION, HeaderValue::from_bytes(b"\xff, x-secret").unwrap());
        strip_hop_by_hop(&mut headers);
        assert!(headers.is_empty());
        check(&[("keep-alive", "5"), ("proxy-connection", "x"), ("upgrade", "websocket")], &[]);
        check(&[("transfer-encoding", "chunked"), ("trailer", "x")], &[("trailer", "x")]);
    }

    #[test]
    fn disguises() {
        let mut headers =
            map(&[("content_length", "5"), ("x_forwarded-proto", "https"), ("x_mine", "1"), ("x-y", "2")]);
        strip_disguised(&mut headers);
        assert_eq!(headers, map(&[("x_mine", "1"), ("x-y", "2")]));
    }

    #[test]
    fn lengths() {
        for (given, expected) in [("0001", "1"), ("000", "0"), ("12", "12")] {
            let mut headers = map(&[("content-length", given)]);
            canonical_length(&mut headers);
            assert_eq!(headers, map(&[("content-length", expected)]));
        }
    }

    #[test]
    fn trailers() {
        let mut trailers = map(&[("grpc-status", "0"), ("x-role", " admin"), ("host", "a"), ("x_forwarded_for", "1")]);
        trailers.append("x-end", HeaderValue::from_static("a"));
        trailers.append("x-end", HeaderValue::from_static("b\t"));
        strip_trailers(&mut trailers);
        assert_eq!(trailers, map(&[("grpc-status", "0")]));
    }

    #[test]
    fn upgrades() {
        let of = |headers| upgrade(&map(headers)).is_some();
        assert!(of(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]));
        assert!(!of(&[("connection", "keep-alive"), ("upgrade", "websocket")]));
        assert!(!of(&[("connection", "upgrade")]));
        assert!(!of(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")]));
        assert!(!of(&[("connection", "upgrade"), ("upgrade", "websocket, H2C")]));
    }

    #[test]
    fn forwarded() {
        let claims = [("forwarded", "for=6.6.6.6"), ("x-forwarded-port", "1"), ("x-forwarded-proto", "https")];
        let mut headers = map(&[claims.as_slice(), &[("x-forwarded-for", "1.1.1.1")]].concat());
        let peer = "::ffff:9.9.9.9".parse().unwrap();
        let origin = |trust, client: &str| Origin {
            client: client.parse().unwrap(),
            https: false,
            trust,
            propagation: [None; 3],
        };
        let of = |trust, client| {
            let mut headers = map(&[claims.as_slice(), &[("x-forwarded-for", "1.1.1.1")]].concat());
            set_forwarded(&mut headers, peer, &origin(trust, client), &HeaderValue::from_static("a"));
            headers
        };
        assert_eq!(of(Trust::Stranger, "9.9.9.9")["x-forwarded-for"], "9.9.9.9");
        assert_eq!(of(Trust::Believed, "1.1.1.1")["x-forwarded-port"], "1");
        let mut told = map(&claims[..1]);
        set_forwarded(&mut told, peer, &origin(Trust::Believed, "6.6.6.6"), &HeaderValue::from_static("a"));
        assert_eq!(told["x-forwarded-for"], "6.6.6.6, 9.9.9.9");
        set_forwarded(&mut headers, peer, &origin(Trust::Unsaid, "9.9.9.9"), &HeaderValue::from_static("a"));
        assert_eq!(headers["x-forwarded-for"], "1.1.1.1, 9.9.9.9");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "a");
        assert_eq!(headers.len(), 3);
    }
}
