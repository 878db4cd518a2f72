//! The URL of a load test: where the requests go, and what is spoken there.
//!
//! `http` and `https` leave the protocol open, HTTP/1.1 unless said otherwise; `ws`, `wss`, `grpc` and `grpcs` name it.

use std::net::Ipv6Addr;

use http::Uri;
use http::uri::Authority;

use crate::plan::{Protocol, Target};

/// The longest URL that is taken.
const MAX_URL: usize = 8192;

/// What a URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Where the requests go.
    pub target: Target,
    /// The protocol, where the scheme names it.
    pub protocol: Option<Protocol>,
    /// Path and query; `/` where there is none.
    pub path: String,
}

/// Why a text is no URL to aim at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a URL.
    #[error("{0:?} is no URL: {1}")]
    Syntax(String, String),
    /// No scheme, or one that is not spoken.
    #[error("{0:?} must begin with http://, https://, ws://, wss://, grpc:// or grpcs://")]
    Scheme(String),
    /// A name or a password before the host.
    #[error("a URL with a name or a password before the host is not taken: send an authorization header instead")]
    UserInfo,
    /// A part after `#`.
    #[error("the part of a URL after # is never sent to a server: leave it out")]
    Fragment,
}

/// Reads the URL of a target.
pub fn url(text: &str) -> Result<Url, UrlError> {
    let shown = || text.chars().take(200).collect::<String>();
    let wrong = |why: &str| UrlError::Syntax(shown(), why.to_owned());
    if text.len() > MAX_URL {
        return Err(wrong("it is longer than 8192 bytes"));
    }
    if text.contains('#') {
        return Err(UrlError::Fragment);
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(|| UrlError::Scheme(shown()))?;
    let (secure, protocol) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (false, None),
        "https" => (true, None),
        "ws" => (false, Some(Protocol::WebSocket)),
        "wss" => (true, Some(Protocol::WebSocket)),
        "grpc" => (false, Some(Protocol::Grpc)),
        "grpcs" => (true, Some(Protocol::Grpc)),
        _ => return Err(UrlError::Scheme(shown())),
    };
    if rest.split(['/', '?']).next().is_some_and(|authority| authority.contains('@')) {
        // Not shown: it may be a password.
        return Err(UrlError::UserInfo);
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(wrong(
            "what is not ASCII, and spaces, must be percent-encoded, and names of hosts written in ASCII",
        ));
    }
    let uri: Uri = text.parse().map_err(|e: http::uri::InvalidUri| wrong(&e.to_string()))?;
    let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
    let host = host(authority.host()).ok_or_else(|| wrong("its host is neither a name nor an address"))?;
    let port = port(authority, secure).ok_or_else(|| wrong("its port must be a number from 1 to 65535"))?;
    let path = match uri.path_and_query().map(|path| path.as_str()) {
        None | Some("") => "/".to_owned(),
        Some(query) if query.starts_with('?') => format!("/{query}"),
        Some(path) => path.to_owned(),
    };
    Ok(Url { target: Target { secure, host, port, authority: authority.as_str().to_owned() }, protocol, path })
}

/// Whether `text` can be a `Host` header: a host, perhaps with a port.
pub fn is_authority(text: &str) -> bool {
    let parsed = text.parse::<Authority>();
    parsed.is_ok_and(|a| !text.contains('@') && host(a.host()).is_some() && port(&a, false).is_some())
}

/// A host as it is connected to.
fn host(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(address.to_string());
    }
    let allowed = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    (allowed && (1..=253).contains(&text.len())).then(|| text.to_ascii_lowercase())
}

fn port(authority: &Authority, secure: bool) -> Option<u16> {
    let after_host = authority.as_str().strip_prefix(authority.host())?;
    match after_host {
        "" => Some(if secure { 443 } else { 80 }),
        _ => authority.port_u16().filter(|port| *port > 0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let check = |text: &str, secure, host: &str, port, authority: &str, protocol, path: &str| {
            let target = Target { secure, host: host.into(), port, authority: authority.into() };
            assert_eq!(url(text), Ok(Url { target, protocol, path: path.into() }), "{text}");
        };
        let (ws, grpc) = (Some(Protocol::WebSocket), Some(Protocol::Grpc));
        check("http://localhost", false, "localhost", 80, "localhost", None, "/");
        check("http://Shop.example:8080/a?b=c", false, "shop.example", 8080, "Shop.example:8080", None, "/a?b=c");
        check("HTTPS://a_b.c/", true, "a_b.c", 443, "a_b.c", None, "/");
        check("http://a?q", false, "a", 80, "a", None, "/?q");
        check("http://a/?mail=x@y", false, "a", 80, "a", None, "/?mail=x@y");
        check("ws://127.0.0.1:9001/echo", false, "127.0.0.1", 9001, "127.0.0.1:9001", ws, "/echo");
        check("wss://a", true, "a", 443, "a", ws, "/");
        check("grpc://[::1]:50051", false, "::1", 50051, "[::1]:50051", grpc, "/");
        check("grpcs://[2001:DB8::1]", true, "2001:db8::1", 443, "[2001:DB8::1]", grpc, "/");
    }

    #[test]
    fn what_cannot_be_aimed_at_is_refused() {
        let check = |text: &str, expected: &str| {
            let failed = url(text).unwrap_err().to_string();
            assert!(failed.contains(expected), "{text}: {failed}");
        };
        check("localhost:8080", "must begin with http://");
        check("", "must begin with http://");
        check("ftp://a", "must begin with http://");
        check("http://", "is no URL");
        check("http:///a", "is no URL");
        check("http://a:0", "port must be");
        check("http://a:", "port must be");
        check("http://a:99999", "is no URL");
        check("http://[::1", "is no URL");
        check("http://[fe80::1%25eth0]/", "is no URL");
        check("http://[nonsense]/", "neither a name nor an address");
        check("http://a b/", "is no URL");
        check("http://ü/", "must be percent-encoded");
        check("http://a/ü", "must be percent-encoded");
        check("http://a!b/", "neither a name nor an address");
        check("http://a/b#c", "after #");
        check(&format!("http://a/{}", "x".repeat(9000)), "longer than 8192");
        let secret = url("http://me:secret@a/").unwrap_err().to_string();
        assert!(secret.contains("authorization header") && !secret.contains("secret"), "{secret}");
    }

    #[test]
    fn hosts_for_the_header_are_told() {
        for text in ["a", "a:80", "[::1]", "[::1]:8080", "shop.example"] {
            assert!(is_authority(text), "{text}");
        }
        for text in ["", "a b", "a:", "a:x", "me@a", "a/b", "http://a", "::1"] {
            assert!(!is_authority(text), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn any_text_is_judged_without_a_panic(text in "(http|ws|grpcs)://[a-z:@?#%/.0-9\\[\\]-]{0,20}|.{0,20}") {
            if let Ok(found) = url(&text) {
                prop_assert!(found.target.port > 0 && found.path.starts_with('/'));
                prop_assert!(is_authority(&found.target.authority));
            }
        }
    }
}
