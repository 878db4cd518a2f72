//! Cross-origin requests (the Fetch standard, section 3.3; `HTTPCORSFilter` of Gateway API v1.6).
//!
//! A preflight is answered by the gateway: with 204 and what is allowed, or with 403 where its origin is not. Any other
//! request goes on, and its response is given the headers that let the page read it, in place of all `Access-Control-*`
//! that the backend wrote. Where any method or header is allowed, those that were asked for are named, which means the
//! same with credentials and without. Every response says `Vary: Origin`, also to requests without one: a cache must not
//! show such a response to a page.

use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use purlin_traffic::model;

/// What of CORS holds for the requests of a rule, ready to use.
#[derive(Clone, Debug)]
pub struct Cors {
    /// None: any.
    origins: Option<Vec<Pattern>>,
    credentials: bool,
    methods: List,
    headers: List,
    expose: List,
    max_age: HeaderValue,
}

/// An allowed origin.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    https: bool,
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    Exact(Box<str>),
    /// `.example.com`, with anything before it.
    Suffix(Box<str>),
}

/// A list of names.
#[derive(Clone, Debug)]
enum List {
    None,
    Any,
    These(HeaderValue),
}

/// What becomes of a preflight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preflight {
    /// It may: the headers of its answer.
    Allowed(HeaderMap),
    /// Its origin is none of those that may.
    Refused,
}

impl Cors {
    /// Checks and prepares what the model says.
    pub fn compile(cors: &model::Cors) -> Result<Self, String> {
        let any = cors.origins.iter().any(|origin| **origin == *"*");
        let origins = cors.origins.iter().filter(|origin| ***origin != *"*").map(|origin| Pattern::parse(origin));
        let origins = origins.collect::<Result<_, _>>()?;
        Ok(Self {
            origins: (!any).then_some(origins),
            credentials: cors.credentials,
            methods: List::compile(&cors.methods)?,
            headers: List::compile(&cors.headers)?,
            expose: List::compile(&cors.expose)?,
            max_age: HeaderValue::from(cors.max_age.as_secs()),
        })
    }

    /// What becomes of a request where it is a preflight.
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Preflight> {
        let origin = headers.get(ORIGIN)?;
        let wanted = headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|_| *method == Method::OPTIONS)?;
        let Some(allowed) = self.allowed(origin) else { return Some(Preflight::Refused) };
        let mut answer = HeaderMap::new();
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let lists = [
            (ACCESS_CONTROL_ALLOW_METHODS, &self.methods, Some(wanted)),
            (ACCESS_CONTROL_ALLOW_HEADERS, &self.headers, headers.get(ACCESS_CONTROL_REQUEST_HEADERS)),
            (ACCESS_CONTROL_EXPOSE_HEADERS, &self.expose, None),
        ];
        for (name, list, wanted) in lists {
            if let Some(value) = list.for_request(wanted) {
                answer.insert(name, value);
            }
        }
        answer.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        answer.insert(VARY, HeaderValue::from_static(vary));
        Some(Preflight::Allowed(answer))
    }

    /// What `Access-Control-Allow-Origin` says to a request of this origin; None where it may not.
    pub fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match &self.origins {
            None if self.credentials => Some(origin.clone()),
            None => Some(HeaderValue::from_static("*")),
            Some(patterns) => {
                let asked = Pattern::parse(origin.to_str().ok()?).ok()?;
                patterns.iter().any(|pattern| pattern.takes(&asked)).then(|| origin.clone())
            }
        }
    }

    /// Puts the headers of a response right; `allowed` is what [`Self::allowed`] said of its request's origin.
    pub fn respond(&self, allowed: Option<HeaderValue>, headers: &mut HeaderMap) {
        let theirs = |name: &&HeaderName| name.as_str().starts_with("access-control-");
        let names: Vec<HeaderName> = headers.keys().filter(theirs).cloned().collect();
        for name in names {
            headers.remove(name);
        }
        headers.append(VARY, HeaderValue::from_static("Origin"));
        let Some(allowed) = allowed else { return };
        let exposed = match &self.expose {
            List::None => None,
            // With credentials a star is the name of a header.
            List::Any if self.credentials => names_of(headers),
            List::Any => Some(HeaderValue::from_static("*")),
            List::These(names) => Some(names.clone()),
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(exposed) = exposed {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

/// The names of all headers that a page could be shown.
fn names_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let names: Vec<&str> = headers.keys().filter(|name| **name != SET_COOKIE).map(HeaderName::as_str).collect();
    HeaderValue::try_from(names.join(", ")).ok()
}

impl List {
    fn compile(names: &[Arc<str>]) -> Result<Self, String> {
        if names.iter().any(|name| **name == *"*") {
            return Ok(Self::Any);
        }
        if names.is_empty() {
            return Ok(Self::None);
        }
        if let Some(bad) = names.iter().find(|name| name.is_empty() || !name.bytes().all(is_token)) {
            return Err(format!("CORS: {bad:?} is neither a method nor a header name"));
        }
        HeaderValue::try_from(names.join(", ")).map(Self::These).map_err(|_| "CORS: a list is too long".to_owned())
    }

    /// What a preflight is told that wants these.
    fn for_request(&self, wanted: Option<&HeaderValue>) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::These(names) => Some(names.clone()),
            Self::Any => {
                wanted.filter(|names| names.as_bytes().iter().all(|b| is_token(*b) || b", ".contains(b))).cloned()
            }
        }
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl Pattern {
    /// Reads `scheme://host[:port]`, the host perhaps with a star before it. A port that is not there is the scheme's.
    fn parse(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "CORS: {text:?} is not an origin: it must be `*`, or http or https, `://`, a host, and perhaps a port"
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        let https = match scheme {
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ => return Err(bad()),
        };
        let end = if rest.starts_with('[') {
            rest.find(']').map_or(rest.len(), |at| at + 1)
        } else {
            rest.find(':').unwrap_or(rest.len())
        };
        let (host, port) = rest.split_at_checked(end).ok_or_else(bad)?;
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => {
                if https {
                    443
                } else {
                    80
                }
            }
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().map_err(|_| bad())?,
            _ => return Err(bad()),
        };
        let host = host.to_ascii_lowercase();
        let plain = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
        let host = match host.strip_prefix('*') {
            Some("") => Host::Any,
            Some(suffix) if suffix.starts_with('.') && plain(suffix) => Host::Suffix(suffix.into()),
            None if !host.is_empty() && plain(&host) => Host::Exact(host.into()),
            _ => return Err(bad()),
        };
        Ok(Self { https, host, port })
    }

    fn takes(&self, asked: &Self) -> bool {
        // Read from a request, a pattern stands for itself only.
        let Host::Exact(host) = &asked.host else { return false };
        let by_host = match &self.host {
            Host::Any => true,
            Host::Exact(expected) => expected == host,
            Host::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
        };
        by_host && self.https == asked.https && self.port == asked.port
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn cors(origins: &[&str], credentials: bool, lists: [&[&str]; 3]) -> Cors {
        let list = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        let [methods, headers, expose] = lists.map(list);
        let max_age = Duration::from_secs(3600);
        Cors::compile(&model::Cors { origins: list(origins), credentials, methods, headers, expose, max_age }).unwrap()
    }

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[track_caller]
    fn check_origin(allowed: &[&str], origin: &'static str, expected: Option<&str>) {
        let got = cors(allowed, false, [&[]; 3]).allowed(&HeaderValue::from_static(origin));
        assert_eq!(got.as_ref().map(|v| v.to_str().unwrap()), expected, "{allowed:?} {origin:?}");
    }

    #[test]
    fn origins() {
        let same = |allowed: &[&str], origin| check_origin(allowed, origin, Some(origin));
        let none = |allowed: &[&str], origin| check_origin(allowed, origin, None);
        same(&["http://x", "https://www.foo.com"], "https://www.foo.com");
        same(&["https://Foo.com:443"], "https://foo.com");
        same(&["https://*.bar.com"], "https://a.www.bar.com");
        same(&["http://*"], "http://any.where");
        same(&["http://[::1]:8080"], "http://[::1]:8080");
        none(&["https://foo.com"], "http://foo.com");
        none(&["https://foo.com"], "https://foo.com:8443");
        none(&["https://foo.com"], "https://foo.com.evil.com");
        none(&["https://*.bar.com"], "https://bar.com");
        none(&["https://*.bar.com"], "https://evilbar.com");
        none(&["https://*.bar.com"], "https://*.bar.com");
        none(&["https://*"], "null");
        none(&[], "https://foo.com");
        check_origin(&["*"], "https://foo.com", Some("*"));
        check_origin(&["*"], "null", Some("*"));
        let echoed = cors(&["*"], true, [&[]; 3]).allowed(&HeaderValue::from_static("https://foo.com"));
        assert_eq!(echoed.unwrap(), "https://foo.com");
    }

    #[test]
    fn what_is_not_an_origin_is_told() {
        for bad in [
            "foo.com",
            "ftp://a",
            "https://",
            "https://a:x",
            "https://a:99999",
            "https://a*b",
            "https://*b",
            "https://a/b",
        ] {
            assert!(Pattern::parse(bad).unwrap_err().contains(bad), "{bad}");
        }
    }

    const ASKS: [(&str, &str); 3] = [
        ("origin", "https://foo.com"),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "x-a, x-b"),
    ];

    #[test]
    fn preflights() {
        let rule = cors(&["https://foo.com"], true, [&["GET", "PUT"], &["x-a"], &["x-c"]]);
        let Some(Preflight::Allowed(answer)) = rule.preflight(&Method::OPTIONS, &map(&ASKS)) else { panic!() };
        let expected = map(&[
            ("access-control-allow-origin", "https://foo.com"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "GET, PUT"),
            ("access-control-allow-headers", "x-a"),
            ("access-control-expose-headers", "x-c"),
            ("access-control-max-age", "3600"),
            ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        ]);
        assert_eq!(answer, expected);
        assert_eq!(rule.preflight(&Method::GET, &map(&ASKS)), None);
        assert_eq!(rule.preflight(&Method::OPTIONS, &map(&ASKS[..1])), None);
        assert_eq!(rule.preflight(&Method::OPTIONS, &map(&ASKS[1..])), None);
        let other = map(&[("origin", "https://bar.com"), ASKS[1]]);
        assert_eq!(rule.preflight(&Method::OPTIONS, &other), Some(Preflight::Refused));
        for credentials in [true, false] {
            let any = cors(&["*"], credentials, [&["*"]; 3]);
            let Some(Preflight::Allowed(answer)) = any.preflight(&Method::OPTIONS, &map(&ASKS)) else { panic!() };
            assert_eq!(answer["access-control-allow-methods"], "PUT");
            assert_eq!(answer["access-control-allow-headers"], "x-a, x-b");
            assert_eq!(answer.contains_key("access-control-allow-credentials"), credentials);
            let Some(Preflight::Allowed(answer)) = any.preflight(&Method::OPTIONS, &map(&ASKS[..2])) else { panic!() };
            assert!(!answer.contains_key("access-control-allow-headers"));
        }
    }

    #[test]
    fn responses() {
        let theirs =
            [("access-control-allow-origin", "*"), ("access-control-max-age", "1"), ("x-a", "1"), ("vary", "Accept")];
        let respond = |rule: &Cors, allowed: Option<&'static str>| {
            let mut headers = map(&theirs);
            rule.respond(allowed.map(HeaderValue::from_static), &mut headers);
            assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept", "Origin"]);
            headers
        };
        let got = respond(&cors(&["*"], true, [&[], &[], &["*"]]), Some("https://a"));
        assert_eq!(got["access-control-allow-origin"], "https://a");
        assert!(
            ["x-a, vary", "vary, x-a"].contains(&got["access-control-expose-headers"].to_str().unwrap()),
            "{got:?}"
        );
        assert_eq!(got["access-control-allow-credentials"], "true");
        assert!(!got.contains_key("access-control-max-age"));
        let got = respond(&cors(&["*"], false, [&[], &[], &["*"]]), Some("*"));
        assert_eq!(got["access-control-expose-headers"], "*");
        let got = respond(&cors(&["*"], false, [&[], &[], &["x-b"]]), None);
        assert!(!got.keys().any(|name| name.as_str().starts_with("access-control")), "{got:?}");
    }
}
