//! The request's path, judged and brought into one form before anything matches it.
//!
//! What is matched is what is sent on, so that a gateway and a backend never disagree about it:
//! - `.` and `..` elements, also percent-encoded, are resolved (RFC 3986, section 5.2.4), as nginx and Envoy do;
//! - refused are: climbing above the root, an encoded NUL, an incomplete percent escape, a raw backslash, a dot element
//!   that only shows after decoding `%2f` or `%5c`, and a dot element with parameters (`/..;x/`);
//! - percent escapes of unreserved characters (letters, digits, `-`, `.`, `_`, `~`) are decoded: they are the same
//!   path (RFC 3986, section 6.2.2.2);
//! - all else stays as it came: doubled slashes, encoded slashes, parameters behind `;`, the query. A fragment never gets
//!   here: the parser of the request line cuts it.

use std::borrow::Cow;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPath {
    #[error("the path does not begin with a slash")]
    Relative,
    #[error("the path leads above the root")]
    AboveRoot,
    #[error("the path has an incomplete percent escape")]
    Escape,
    #[error("the path has a NUL, a backslash or a disguised dot element")]
    Disguised,
}

/// The path in its one form; borrowed when it is in it already.
pub(crate) fn normalise(path: &str) -> Result<Cow<'_, str>, BadPath> {
    if !path.starts_with('/') {
        return Err(BadPath::Relative);
    }
    let plain = |b: u8| !matches!(b, b'%' | b'\\' | b'.');
    if path.bytes().all(plain) {
        return Ok(Cow::Borrowed(path));
    }
    let mut dots = false;
    for element in path.split('/') {
        dots |= judge(element)?;
    }
    if !dots {
        return Ok(unreserved(path));
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut elements = path.split('/').skip(1).peekable();
    while let Some(element) = elements.next() {
        let last = elements.peek().is_none();
        match dot_element(element.as_bytes()) {
            Some(climb) => {
                if climb && kept.pop().is_none() {
                    return Err(BadPath::AboveRoot);
                }
                if last {
                    kept.push("");
                }
            }
            None => kept.push(element),
        }
    }
    let resolved: String = kept.iter().flat_map(|element| ["/", element]).collect();
    Ok(Cow::Owned(unreserved(&resolved).into_owned()))
}

/// Decodes the escapes of unreserved characters; the path has been judged, so its escapes are complete.
fn unreserved(path: &str) -> Cow<'_, str> {
    let decoded = |escape: &str| {
        let byte = escape.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok())?;
        (byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)).then_some(char::from(byte))
    };
    let mut parts = path.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut changed = false;
    for escape in parts {
        match decoded(escape) {
            Some(c) => {
                changed = true;
                out.push(c);
                out.push_str(escape.get(2..).unwrap_or_default());
            }
            None => {
                out.push('%');
                out.push_str(escape);
            }
        }
    }
    if changed { Cow::Owned(out) } else { Cow::Borrowed(path) }
}

/// Whether the element is a dot element; refuses what is not to be passed on.
fn judge(element: &str) -> Result<bool, BadPath> {
    let bytes = element.as_bytes();
    for (at, b) in bytes.iter().enumerate() {
        match b {
            b'\\' => return Err(BadPath::Disguised),
            b'%' => match (bytes.get(at + 1), bytes.get(at + 2)) {
                (Some(b'0'), Some(b'0')) => return Err(BadPath::Disguised),
                (Some(a), Some(b)) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {}
                _ => return Err(BadPath::Escape),
            },
            _ => {}
        }
    }
    if dot_element(bytes).is_some() {
        return Ok(true);
    }
    let decoded: Vec<u8> = percent_encoding::percent_decode(bytes).collect();
    let disguised = decoded
        .split(|b| matches!(b, b'/' | b'\\'))
        .any(|part| dot_element(part.split(|b| *b == b';').next().unwrap_or_default()).is_some());
    if disguised { Err(BadPath::Disguised) } else { Ok(false) }
}

/// `Some(false)` for `.`, `Some(true)` for `..`, with either dot possibly encoded.
fn dot_element(element: &[u8]) -> Option<bool> {
    let dot = |rest: &[u8]| match rest {
        [b'.', ..] => Some(1),
        [b'%', b'2', b'e' | b'E', ..] => Some(3),
        _ => None,
    };
    let rest = element.get(dot(element)?..)?;
    if rest.is_empty() {
        return Some(false);
    }
    (rest.len() == dot(rest)?).then_some(true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Result<&str, BadPath>) {
        assert_eq!(normalise(path).as_deref().map_err(|e| *e), expected, "{path}");
    }

    #[test]
    fn one_form() {
        check("/%61dmin", Ok("/admin"));
        check("/%41%2D%7e%5F%2e%62", Ok("/A-~_.b"));
        check("/a%2fb%25%3b%c3%a9", Ok("/a%2fb%25%3b%c3%a9"));
        check("/%2561", Ok("/%2561"));
        check("/a/../%62", Ok("/b"));
        for same in ["/", "/a", "/a/", "//a", "/a%2Fb", "/a.b/..c/d..", "/a;x=1", "/...", "/a%20b"] {
            check(same, Ok(same));
        }
        check("/a/./b", Ok("/a/b"));
        check("/a/../b", Ok("/b"));
        check("/a/b/..", Ok("/a/"));
        check("/a/b/.", Ok("/a/b/"));
        check("/a/%2e%2E/b", Ok("/b"));
        check("/a/.%2e/b", Ok("/b"));
        check("/.", Ok("/"));
        check("/a/..", Ok("/"));
        check("/a//../b", Ok("/a/b"));
    }

    #[test]
    fn refused() {
        check("", Err(BadPath::Relative));
        check("a", Err(BadPath::Relative));
        check("/..", Err(BadPath::AboveRoot));
        check("/a/../../b", Err(BadPath::AboveRoot));
        check("/%", Err(BadPath::Escape));
        check("/%4", Err(BadPath::Escape));
        check("/%zz", Err(BadPath::Escape));
        check("/%2/x", Err(BadPath::Escape));
        for disguised in ["/a%00", "/a\\b", "/a/..%2fb", "/a/..%5cb", "/a%2f..", "/a/..;x/b", "/.;/b", "/%2e%2e;x"] {
            check(disguised, Err(BadPath::Disguised));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn normal_form_is_stable(path in "/[a./%2e;]{0,24}") {
            if let Ok(once) = normalise(&path) {
                let twice = normalise(&once);
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
                prop_assert!(!once.split('/').any(|e| dot_element(e.as_bytes()).is_some()));
            }
        }
    }
}
