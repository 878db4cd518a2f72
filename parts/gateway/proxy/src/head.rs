//! Judging a request's head before anything is done with it (RFC 9112, sections 3 and 6; RFC 9113, section 8.3).
//!
//! It works on the head that hyper parsed, so there is no second parser to disagree with. hyper has refused control
//! characters, folded lines, bad lengths and chunks by then, and has dropped a Content-Length next to a
//! Transfer-Encoding (such a connection is closed afterwards). What hyper lets through is refused here: missing or
//! doubled Host, bad target forms, transfer codings other than one `chunked`, CONNECT, disguised paths. One thing is gone
//! by then: a fragment in the target, which `http::Uri` cuts off.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use crate::headers::padded;
use crate::metrics::Malformed;
use crate::path::normalise;

/// Longest host with a port that is accepted: a name of 253 bytes, a dot, a port.
const MAX_AUTHORITY: usize = 260;

/// What a request is for, in one form.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Host and port as they came, and as they are sent on.
    pub(crate) authority: HeaderValue,
    /// The host in lower case, without port and trailing dot.
    host: Box<str>,
    /// Path and query, the path normalised.
    pub(crate) path: PathAndQuery,
}

impl Target {
    /// The host in lower case, without port and trailing dot.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

/// Why a request is refused, in words for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) reason: Malformed,
    pub(crate) why: &'static str,
}

const fn bad(reason: Malformed, why: &'static str) -> Refused {
    Refused { status: StatusCode::BAD_REQUEST, reason, why }
}

/// Judges a request's head.
pub(crate) fn judge(parts: &Parts) -> Result<Target, Refused> {
    if parts.method == Method::CONNECT {
        let (status, reason) = (StatusCode::NOT_IMPLEMENTED, Malformed::Method);
        return Err(Refused { status, reason, why: "CONNECT is not served" });
    }
    framing(&parts.headers, parts.version)?;
    padding(&parts.headers, parts.version)?;
    let (authority, host) = authority(parts)?;
    Ok(Target { authority, host, path: path(parts)? })
}

/// Transfer-Encoding and Content-Length of a message, request or response.
pub(crate) fn framing(headers: &HeaderMap, version: Version) -> Result<(), Refused> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if version != Version::HTTP_11 {
            return Err(bad(Malformed::Framing, "Transfer-Encoding is only for HTTP/1.1"));
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(bad(Malformed::Framing, "Transfer-Encoding must be exactly one `chunked`"));
        }
        if headers.contains_key(CONTENT_LENGTH) {
            return Err(bad(Malformed::Framing, "Content-Length next to Transfer-Encoding"));
        }
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        let digits = !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
        if lengths.next().is_some() || !digits {
            return Err(bad(Malformed::Framing, "Content-Length must be one number"));
        }
    }
    Ok(())
}

/// HTTP/2 knows no white space around a value (RFC 9113, section 8.2.1): HTTP/1.1 behind this proxy would trim it, and
/// see another value than the rules did.
pub(crate) fn padding(headers: &HeaderMap, version: Version) -> Result<(), Refused> {
    if version == Version::HTTP_2 && headers.values().any(padded) {
        return Err(bad(Malformed::Header, "a header's value begins or ends with white space"));
    }
    Ok(())
}

fn authority(parts: &Parts) -> Result<(HeaderValue, Box<str>), Refused> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(bad(Malformed::Host, "more than one Host header"));
    }
    let named = parts.uri.authority().map(|a| a.as_str().as_bytes());
    if parts.version == Version::HTTP_2 {
        let (named, host) = (named, host.map(HeaderValue::as_bytes));
        let text = named.or(host).ok_or(bad(Malformed::Host, "no :authority"))?;
        if host.is_some_and(|host| !host.eq_ignore_ascii_case(text)) {
            return Err(bad(Malformed::Host, "Host differs from :authority"));
        }
        return checked_authority(text, None);
    }
    let host = host.ok_or(bad(Malformed::Host, "no Host header"))?;
    let plain = checked_authority(host.as_bytes(), Some(host))?;
    match named {
        None => Ok(plain),
        // Absolute form: its host wins over Host (RFC 9112, section 3.2.2).
        Some(text) if parts.uri.scheme().is_some() => checked_authority(text, None),
        Some(_) => Err(bad(Malformed::Target, "the request target is neither a path nor a URL")),
    }
}

/// Checks `host[:port]`; `as_value` is the same as a header value. Yields it, and the host in the form that is matched.
fn checked_authority(text: &[u8], as_value: Option<&HeaderValue>) -> Result<(HeaderValue, Box<str>), Refused> {
    const BAD: Refused = bad(Malformed::Host, "the host is not valid");
    if text.len() > MAX_AUTHORITY {
        return Err(BAD);
    }
    let end = match text.first() {
        Some(b'[') => text.iter().position(|b| *b == b']').map(|at| at + 1).ok_or(BAD)?,
        _ => text.iter().position(|b| *b == b':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(end);
    let valid = match host.strip_prefix(b"[") {
        Some(rest) => {
            let inner = rest.strip_suffix(b"]").and_then(|inner| str::from_utf8(inner).ok());
            inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
        }
        None => {
            let name = host.strip_suffix(b".").unwrap_or(host);
            let byte = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            !name.is_empty() && name.iter().all(byte) && !name.split(|b| *b == b'.').any(<[u8]>::is_empty)
        }
    };
    let port_valid = match port.split_first() {
        None => true,
        Some((colon, digits)) => {
            *colon == b':'
                && digits.iter().all(u8::is_ascii_digit)
                && str::from_utf8(digits).is_ok_and(|d| d.is_empty() || d.parse::<u16>().is_ok())
        }
    };
    if !valid || !port_valid {
        return Err(BAD);
    }
    let matched = str::from_utf8(host.strip_suffix(b".").unwrap_or(host)).map_err(|_| BAD)?.to_ascii_lowercase();
    let value = as_value.cloned().map_or_else(|| HeaderValue::from_bytes(text).map_err(|_| BAD), Ok)?;
    Ok((value, matched.into()))
}

fn path(parts: &Parts) -> Result<PathAndQuery, Refused> {
    const BAD: Refused = bad(Malformed::Target, "the path is not valid");
    if let Some(scheme) = parts.uri.scheme_str()
        && scheme != "http"
        && scheme != "https"
    {
        return Err(bad(Malformed::Target, "the scheme is neither http nor https"));
    }
    let given = parts.uri.path_and_query().ok_or(BAD)?;
    if !given.as_str().is_ascii() {
        return Err(bad(Malformed::Target, "the target has bytes that a URL must escape"));
    }
    if given.as_str() == "*" {
        // For the server as a whole: no rule has a path for it, so it ends as not found.
        return if parts.method == Method::OPTIONS { Ok(given.clone()) } else { Err(BAD) };
    }
    let raw = given.path();
    match normalise(raw) {
        Err(why) => Err(refusal(why)),
        Ok(path) if path == raw => Ok(given.clone()),
        Ok(path) => {
            let query = given.query().map(|q| format!("?{q}")).unwrap_or_default();
            PathAndQuery::try_from(format!("{path}{query}")).map_err(|_| BAD)
        }
    }
}

fn refusal(why: crate::path::BadPath) -> Refused {
    use crate::path::BadPath;
    let why = match why {
        BadPath::Relative => "the path does not begin with a slash",
        BadPath::AboveRoot => "the path leads above the root",
        BadPath::Escape => "the path has an incomplete percent escape",
        BadPath::Disguised => "the path has a NUL, a backslash or a disguised dot element",
    };
    bad(Malformed::Target, why)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: &str, uri: &str, version: Version, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[track_caller]
    fn check(version: Version, uri: &str, headers: &[(&str, &str)], expected: Result<(&str, &str), u16>) {
        let got = judge(&head("GET", uri, version, headers));
        let got = got.as_ref().map(|t| (t.host(), t.path.as_str())).map_err(|r| r.status.as_u16());
        assert_eq!(got, expected, "{uri} {headers:?}");
    }

    #[test]
    fn hosts() {
        let h1 = |host, expected: Result<&str, u16>| {
            check(Version::HTTP_11, "/", &[("host", host)], expected.map(|h| (h, "/")));
        };
        h1("a.example", Ok("a.example"));
        h1("A.Example:8080", Ok("a.example"));
        h1("a.example.", Ok("a.example"));
        h1("a.example:", Ok("a.example"));
        h1("[::1]:80", Ok("[::1]"));
        h1("127.0.0.1", Ok("127.0.0.1"));
        for bad in ["", ":80", "a b", "user@a", "a/b", "a:b", "a:99999", "a..b", ".a", "[::1", "[a.b]", "a,b", "[::1]x"]
        {
            h1(bad, Err(400));
        }
        check(Version::HTTP_11, "/", &[], Err(400));
        check(Version::HTTP_10, "/", &[], Err(400));
        check(Version::HTTP_11, "/", &[("host", "a"), ("host", "a")], Err(400));
    }

    #[test]
    fn targets() {
        let host = &[("host", "a")][..];
        check(Version::HTTP_11, "http://b.example:1/x?q", host, Ok(("b.example", "/x?q")));
        check(Version::HTTP_11, "http://b.example", host, Ok(("b.example", "/")));
        check(Version::HTTP_11, "http://b.example/x", &[], Err(400));
        check(Version::HTTP_11, "http://u:p@b/x", host, Err(400));
        check(Version::HTTP_11, "ftp://b/x", host, Err(400));
        check(Version::HTTP_11, "b:80", host, Err(400));
        check(Version::HTTP_11, "*", host, Err(400));
        check(Version::HTTP_11, "/a/../b?c=/../d", host, Ok(("a", "/b?c=/../d")));
        check(Version::HTTP_2, "https://B/x", &[], Ok(("b", "/x")));
        check(Version::HTTP_2, "https://b/x", &[("host", "b")], Ok(("b", "/x")));
        check(Version::HTTP_2, "https://b/x", &[("host", "c")], Err(400));
    }

    #[test]
    fn framings() {
        let te = |version, headers: &[(&str, &str)], ok: bool| {
            let parts = head("POST", "/", version, headers);
            assert_eq!(framing(&parts.headers, version).is_ok(), ok, "{headers:?}");
        };
        te(Version::HTTP_11, &[("transfer-encoding", "Chunked")], true);
        te(Version::HTTP_11, &[("transfer-encoding", "chunked, chunked")], false);
        te(Version::HTTP_11, &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], false);
        te(Version::HTTP_11, &[("transfer-encoding", "gzip, chunked")], false);
        te(Version::HTTP_10, &[("transfer-encoding", "chunked")], false);
        te(Version::HTTP_2, &[("transfer-encoding", "chunked")], false);
        te(Version::HTTP_11, &[("transfer-encoding", "chunked"), ("content-length", "1")], false);
        te(Version::HTTP_11, &[("content-length", "1"), ("content-length", "1")], false);
        te(Version::HTTP_11, &[("content-length", "+1")], false);
        te(Version::HTTP_11, &[("content-length", "10")], true);
    }

    #[test]
    fn reasons() {
        let reason = |method, uri, version, headers: &[(&str, &str)]| {
            judge(&head(method, uri, version, headers)).unwrap_err().reason
        };
        let (h1, h2) = (Version::HTTP_11, Version::HTTP_2);
        assert_eq!(reason("CONNECT", "a:80", h1, &[("host", "a")]), Malformed::Method);
        assert_eq!(reason("GET", "/", h1, &[("host", "a"), ("content-length", "+1")]), Malformed::Framing);
        assert_eq!(reason("GET", "http://a/", h2, &[("x", " y")]), Malformed::Header);
        assert_eq!(reason("GET", "/", h1, &[]), Malformed::Host);
        assert_eq!(reason("GET", "http://a/", h2, &[("host", "b")]), Malformed::Host);
        assert_eq!(reason("GET", "/..", h1, &[("host", "a")]), Malformed::Target);
        assert_eq!(reason("GET", "ftp://a/", h1, &[("host", "a")]), Malformed::Target);
    }

    #[test]
    fn the_host_is_sent_on_as_it_came() {
        let target = judge(&head("GET", "/", Version::HTTP_11, &[("host", "S.Example.:80")])).unwrap();
        assert_eq!((target.authority.to_str().unwrap(), target.host()), ("S.Example.:80", "s.example"));
    }

    #[test]
    fn values_are_what_they_look_like() {
        let judged =
            |version, value| judge(&head("GET", "http://a/", version, &[("host", "a"), ("x-role", value)])).is_ok();
        assert!(judged(Version::HTTP_2, "admin"));
        for padded in [" admin", "admin\t"] {
            assert!(!judged(Version::HTTP_2, padded), "{padded:?}");
        }
    }
}
