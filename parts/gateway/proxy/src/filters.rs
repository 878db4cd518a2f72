//! Filters of the Gateway API: header changes, rewrites and redirects (`HTTPRouteFilter`).

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use purlin_traffic::model::{HeaderChange, PathRewrite, Redirect, RequestFilter};

use crate::head::Target;

/// A [`HeaderChange`] with parsed names and values.
#[derive(Debug, Default)]
pub(crate) struct Change {
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
}

impl Change {
    pub(crate) fn compile(change: &HeaderChange) -> Result<Self, String> {
        let pairs = |list: &[(Arc<str>, Arc<str>)]| {
            list.iter().map(|(n, v)| Ok((name(n)?, value(v)?))).collect::<Result<Vec<_>, String>>()
        };
        let remove = change.remove.iter().map(|n| name(n)).collect::<Result<_, _>>()?;
        Ok(Self { set: pairs(&change.set)?, add: pairs(&change.add)?, remove })
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

fn name(text: &str) -> Result<HeaderName, String> {
    text.parse().map_err(|_| format!("{text:?} is not a header name"))
}

fn value(text: &str) -> Result<HeaderValue, String> {
    text.parse().map_err(|_| format!("{text:?} is not a header value"))
}

/// A [`RequestFilter`], ready to use.
#[derive(Debug)]
pub(crate) enum Filter {
    Headers(Change),
    Rewrite { authority: Option<HeaderValue>, path: Option<PathRewrite> },
}

impl Filter {
    pub(crate) fn compile(filter: &RequestFilter) -> Result<Self, String> {
        Ok(match filter {
            RequestFilter::Headers(change) => Self::Headers(Change::compile(change)?),
            RequestFilter::Rewrite { hostname, path } => {
                let authority = hostname.as_deref().map(value).transpose()?;
                Self::Rewrite { authority, path: path.clone() }
            }
        })
    }

    /// Changes a request that is about to be sent; `prefix` is the path prefix that matched.
    pub(crate) fn apply(&self, to: &mut Outgoing<'_>, prefix: &str) {
        match self {
            Self::Headers(change) => change.apply(to.headers),
            Self::Rewrite { authority, path } => {
                if let Some(authority) = authority {
                    to.authority = authority.clone();
                }
                if let Some(path) = path {
                    to.path = replace_path(&to.path, prefix, path);
                }
            }
        }
    }
}

/// What filters change of a request.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) headers: &'a mut HeaderMap,
    pub(crate) authority: HeaderValue,
    pub(crate) path: PathAndQuery,
}

/// The new path with the query kept; the old one where the new one is not a path.
fn replace_path(old: &PathAndQuery, prefix: &str, rewrite: &PathRewrite) -> PathAndQuery {
    let path = rewritten(old.path(), prefix, rewrite);
    let text = match old.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    PathAndQuery::try_from(text).unwrap_or_else(|_| old.clone())
}

/// `HTTPPathModifier`: the prefix ends between two elements, so exactly one slash joins the parts.
fn rewritten(path: &str, prefix: &str, rewrite: &PathRewrite) -> String {
    let new = match rewrite {
        PathRewrite::Full(full) => full.to_string(),
        PathRewrite::Prefix(replacement) => match path.strip_prefix(prefix).unwrap_or(path) {
            "" => replacement.to_string(),
            rest => format!("{}{rest}", replacement.trim_end_matches('/')),
        },
    };
    if new.starts_with('/') { new } else { format!("/{new}") }
}

/// Where a redirect leads: its status and `Location`.
pub(crate) fn redirect(
    redirect: &Redirect,
    target: &Target,
    https: bool,
    listener_port: u16,
    prefix: &str,
) -> Option<(StatusCode, HeaderValue)> {
    let scheme = redirect.scheme.as_deref().unwrap_or(if https { "https" } else { "http" });
    let well_known = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let by_scheme = if redirect.scheme.is_some() { well_known } else { None };
    let port = redirect.port.or(by_scheme).unwrap_or(listener_port);
    let host = redirect.hostname.as_deref().unwrap_or_else(|| target.host());
    let path = match &redirect.path {
        Some(rewrite) => replace_path(&target.path, prefix, rewrite),
        None => target.path.clone(),
    };
    let location = if Some(port) == well_known {
        format!("{scheme}://{host}{path}")
    } else {
        format!("{scheme}://{host}:{port}{path}")
    };
    Some((StatusCode::from_u16(redirect.status).ok()?, HeaderValue::try_from(location).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_prefix(path: &str, prefix: &str, replacement: &str, expected: &str) {
        assert_eq!(rewritten(path, prefix, &PathRewrite::Prefix(replacement.into())), expected);
    }

    /// The table of `replacePrefixMatch` in the specification, and the root prefix.
    #[test]
    fn prefixes() {
        check_prefix("/foo/bar", "/foo", "/xyz", "/xyz/bar");
        check_prefix("/foo/bar", "/foo", "/xyz/", "/xyz/bar");
        check_prefix("/foo", "/foo", "/xyz", "/xyz");
        check_prefix("/foo/", "/foo", "/xyz", "/xyz/");
        check_prefix("/foo/bar", "/foo", "", "/bar");
        check_prefix("/foo/", "/foo", "", "/");
        check_prefix("/foo", "/foo", "", "/");
        check_prefix("/foo/", "/foo", "/", "/");
        check_prefix("/foo", "/foo", "/", "/");
        check_prefix("/foo", "/foo", "/xyz/", "/xyz/");
        check_prefix("/bar", "", "/xyz", "/xyz/bar");
        check_prefix("/", "", "/xyz", "/xyz/");
    }

    fn to(scheme: Option<&str>, hostname: Option<&str>, port: Option<u16>, path: Option<PathRewrite>) -> Redirect {
        Redirect { scheme: scheme.map(Into::into), hostname: hostname.map(Into::into), path, port, status: 302 }
    }

    #[track_caller]
    fn check_redirect(to: Redirect, https: bool, listener_port: u16, expected: &str) {
        let request = http::Request::get("/foo/bar?q=1").header("host", "a.example:9999").body(()).unwrap();
        let target = crate::head::judge(&request.into_parts().0).unwrap();
        let (status, location) = redirect(&to, &target, https, listener_port, "/foo").unwrap();
        assert_eq!((status.as_u16(), location.to_str().unwrap()), (302, expected));
    }

    #[test]
    fn redirects() {
        check_redirect(to(None, None, None, None), false, 80, "http://a.example/foo/bar?q=1");
        check_redirect(to(None, None, None, None), false, 8080, "http://a.example:8080/foo/bar?q=1");
        check_redirect(to(None, None, None, None), true, 443, "https://a.example/foo/bar?q=1");
        check_redirect(to(Some("https"), None, None, None), false, 8080, "https://a.example/foo/bar?q=1");
        check_redirect(to(Some("http"), None, None, None), true, 8443, "http://a.example/foo/bar?q=1");
        check_redirect(to(Some("https"), None, Some(443), None), false, 80, "https://a.example/foo/bar?q=1");
        check_redirect(to(Some("https"), None, Some(8443), None), false, 80, "https://a.example:8443/foo/bar?q=1");
        check_redirect(to(None, None, Some(80), None), true, 443, "https://a.example:80/foo/bar?q=1");
        check_redirect(to(None, Some("b.example"), None, None), false, 80, "http://b.example/foo/bar?q=1");
        let full = Some(PathRewrite::Full("/new".into()));
        check_redirect(to(None, None, None, full), false, 80, "http://a.example/new?q=1");
        let prefix = Some(PathRewrite::Prefix("/new".into()));
        check_redirect(to(None, None, None, prefix), false, 80, "http://a.example/new/bar?q=1");
    }

    #[test]
    fn changes() {
        let pair = |n: &str, v: &str| (n.into(), v.into());
        let change = HeaderChange {
            set: vec![pair("a", "1")],
            add: vec![pair("b", "2"), pair("c", "3")],
            remove: vec!["c".into(), "a".into()],
        };
        let mut headers = HeaderMap::new();
        for (name, value) in [("a", "0"), ("b", "0"), ("c", "0")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        Change::compile(&change).unwrap().apply(&mut headers);
        let got: Vec<_> = ["a", "b", "c"].map(|n| headers.get_all(n).iter().cloned().collect::<Vec<_>>()).into();
        assert_eq!(got, [vec!["1"], vec!["0", "2"], vec!["3"]]);
        let bad = HeaderChange { set: vec![pair("a b", "1")], ..HeaderChange::default() };
        assert!(Change::compile(&bad).unwrap_err().contains("\"a b\""));
    }
}
