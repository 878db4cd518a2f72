//! The head of a request.
//!
//! What is written comes from a user's plan and from answers of the target, so everything is checked: nothing that is
//! put into a request can end a line, add a field or move the end of the body.

use thiserror::Error;

use super::error::excerpt;
use super::head::TOKEN;
use super::lines::control;

/// What the head of a request says besides its further fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method, in any case; all but CONNECT.
    pub method: &'a str,
    /// Path and query, beginning with `/`; or `*` with OPTIONS.
    pub target: &'a str,
    /// The value of `Host`.
    pub authority: &'a str,
    /// The length of the body that is sent behind the head.
    pub body_len: Option<u64>,
}

/// A request that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Not a method.
    #[error("the method `{0}` is not a token such as GET")]
    Method(String),
    /// A method that is not supported.
    #[error("the method CONNECT asks for a tunnel, not for an answer: use another")]
    Connect,
    /// Not a path.
    #[error("the target `{0}` is not a path that begins with / and has all but visible ASCII percent-encoded")]
    Target(String),
    /// Not a host and port.
    #[error("`{0}` is not a host with an optional port")]
    Authority(String),
    /// Not a field name.
    #[error("the header name `{0}` is not a token")]
    Name(String),
    /// Not a field value.
    #[error("the value of header {0} has a control character, or spaces around it")]
    Value(String),
    /// A field that is written from other values.
    #[error("header {0} is set from the request itself: leave it out")]
    Reserved(String),
}

/// Fields that a [`Request`] writes itself or that would move the end of its body.
const RESERVED: [&str; 3] = ["host", "content-length", "transfer-encoding"];

impl Request<'_> {
    /// Appends the head to `out`, which is left as it was when something is wrong with it.
    ///
    /// A request without a body says `Content-Length: 0` if its method is one that usually has a body (RFC 9110, 8.6).
    pub fn write<'h>(
        &self,
        out: &mut Vec<u8>,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
    ) -> Result<(), RequestError> {
        let start = out.len();
        let result = self.try_write(out, headers);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn try_write<'h>(
        &self,
        out: &mut Vec<u8>,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
    ) -> Result<(), RequestError> {
        self.check()?;
        for part in [self.method, " ", self.target, " HTTP/1.1\r\nHost: ", self.authority, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        for (name, value) in headers {
            check_field(name, value)?;
            for part in [name, ": ", value, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        let implied = matches!(self.method, "POST" | "PUT" | "PATCH").then_some(0);
        if let Some(length) = self.body_len.or(implied) {
            out.extend_from_slice(b"Content-Length: ");
            write_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn check(&self) -> Result<(), RequestError> {
        if !is_token(self.method) {
            return Err(RequestError::Method(excerpt(self.method.as_bytes())));
        }
        if self.method.eq_ignore_ascii_case("CONNECT") {
            return Err(RequestError::Connect);
        }
        let path = self.target.starts_with('/') || (self.target == "*" && self.method == "OPTIONS");
        if !path || !self.target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(RequestError::Target(excerpt(self.target.as_bytes())));
        }
        let host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(&byte);
        if self.authority.is_empty() || !self.authority.bytes().all(host) {
            return Err(RequestError::Authority(excerpt(self.authority.as_bytes())));
        }
        Ok(())
    }
}

fn check_field(name: &str, value: &str) -> Result<(), RequestError> {
    if !is_token(name) {
        return Err(RequestError::Name(excerpt(name.as_bytes())));
    }
    if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        return Err(RequestError::Reserved(name.to_owned()));
    }
    if control(value.as_bytes()).is_some() || value.trim_matches([' ', '\t']).len() != value.len() {
        return Err(RequestError::Value(name.to_owned()));
    }
    Ok(())
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| TOKEN[usize::from(byte)])
}

fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests() {
        #[track_caller]
        fn check(method: &str, target: &str, headers: &[(&str, &str)], body_len: Option<u64>, expected: &str) {
            let mut out = b"before".to_vec();
            Request { method, target, authority: "[::1]:80", body_len }
                .write(&mut out, headers.iter().copied())
                .unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("before{expected}"));
        }
        check("GET", "/a?b=c", &[], None, "GET /a?b=c HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
        check("OPTIONS", "*", &[("a", "")], None, "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\na: \r\n\r\n");
        let post = "POST / HTTP/1.1\r\nHost: [::1]:80\r\nX: y\tz \u{e9}\r\nContent-Length: 1203\r\n\r\n";
        check("POST", "/", &[("X", "y\tz \u{e9}")], Some(1203), post);
        check("PUT", "/", &[], None, "PUT / HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\n\r\n");
    }

    #[test]
    fn requests_that_would_say_something_else_are_refused() {
        #[track_caller]
        fn check(request: Request, header: (&str, &str), expected: RequestError) {
            let mut out = b"before".to_vec();
            let good = ("accept", "*/*");
            assert_eq!(request.write(&mut out, [good, header]), Err(expected), "{request:?} {header:?}");
            assert_eq!(out, b"before", "nothing is left of it");
        }
        let good = Request { method: "GET", target: "/", authority: "a", body_len: None };
        for (method, shown) in [("", ""), ("GE T", "GE T"), ("GET\r\n", "GET\\r\\n"), ("G\u{c9}T", "G\\xc3\\x89T")] {
            check(Request { method, ..good }, ("a", "b"), RequestError::Method(shown.to_owned()));
        }
        check(Request { method: "connect", ..good }, ("a", "b"), RequestError::Connect);
        for target in ["", "a", "*", "http://a/", "/ HTTP/1.1\r\nA: b", "/a b", "/\u{e9}", "/#a", "/\0", "/\x7f"] {
            let shown = target.as_bytes().escape_ascii().to_string();
            check(Request { target, ..good }, ("a", "b"), RequestError::Target(shown));
        }
        for authority in ["", "a b", "a\r\n", "a/b", "u@a", "\u{e9}"] {
            let shown = authority.as_bytes().escape_ascii().to_string();
            check(Request { authority, ..good }, ("a", "b"), RequestError::Authority(shown));
        }
        for name in ["", "a b", "a:", "a\r\nb", "\u{e9}", " a"] {
            let shown = name.as_bytes().escape_ascii().to_string();
            check(good, (name, "b"), RequestError::Name(shown));
        }
        for value in ["b\r\nc: d", "b\n", "b\r", "b\0", "b\x7f", " b", "b\t", " "] {
            check(good, ("a", value), RequestError::Value("a".to_owned()));
        }
        for name in ["Host", "content-length", "Transfer-Encoding"] {
            check(good, (name, "1"), RequestError::Reserved(name.to_owned()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

        #[test]
        fn requests_are_read_by_httparse_as_written(
            method in "[A-Za-z]{1,8}",
            target in "/[!-\"$-~]{0,20}",
            fields in proptest::collection::vec(("x-[0-9A-Za-z-]{1,20}", "([!-~][ -~]{0,30}[!-~])?"), 0..8),
            body_len in any::<Option<u64>>(),
        ) {
            prop_assume!(!method.eq_ignore_ascii_case("CONNECT"));
            let mut out = Vec::new();
            let request = Request { method: &method, target: &target, authority: "host:80", body_len };
            request.write(&mut out, fields.iter().map(|(name, value)| (&**name, &**value))).unwrap();
            let mut headers = [httparse::EMPTY_HEADER; 16];
            let mut parsed = httparse::Request::new(&mut headers);
            prop_assert_eq!(parsed.parse(&out), Ok(httparse::Status::Complete(out.len())));
            prop_assert_eq!((parsed.method, parsed.path, parsed.version), (Some(&*method), Some(&*target), Some(1)));
            let mut expected = vec![("Host".to_owned(), "host:80".to_owned())];
            expected.extend(fields);
            expected.extend(body_len.map(|length| ("Content-Length".to_owned(), length.to_string())));
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let found: Vec<_> = parsed.headers.iter().map(|header| (header.name.to_owned(), text(header.value))).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
