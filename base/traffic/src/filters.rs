//! Filters of a rule or backend: header changes, rewrite, redirect, mirrors, CORS; all others are refused by name.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use purlin_gateway_api::{
    CorsMethod, HttpCorsFilter, HttpHeader, HttpHeaderFilter, HttpPathModifier, HttpRequestMirrorFilter,
    HttpRequestRedirectFilter, HttpRouteFilter, HttpRouteFilterType, HttpUrlRewriteFilter, PathModifierType,
    RedirectScheme,
};

use crate::compiled::References;
use crate::listeners::Refusal;
use crate::model::{Cors, HeaderChange, Mirror, PathRewrite, Redirect, RequestFilter};
use crate::reasons;

/// Headers that frame a message or name its target: changing them would break what the proxy itself has to get right.
const NOT_OURS_TO_CHANGE: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The filters of one list.
#[derive(Default)]
pub(crate) struct Filters {
    pub request: Vec<RequestFilter>,
    pub response: Vec<HeaderChange>,
    pub mirrors: Vec<Mirror>,
    pub redirect: Option<Redirect>,
    pub cors: Option<Arc<Cors>>,
}

impl Filters {
    /// Whether one of them needs to know which prefix has matched.
    pub(crate) fn replaces_prefix(&self) -> bool {
        let redirect = self.redirect.iter().filter_map(|r| r.path.as_ref());
        let rewrite = self.request.iter().filter_map(|f| match f {
            RequestFilter::Rewrite { path, .. } => path.as_ref(),
            RequestFilter::Headers(_) => None,
        });
        redirect.chain(rewrite).any(|path| matches!(path, PathRewrite::Prefix(_)))
    }
}

/// Compiles the filters of `at`, for example `rules[0].filters`.
pub(crate) fn compile(
    at: &str,
    specs: &[HttpRouteFilter],
    references: &mut References<'_>,
) -> Result<Filters, Refusal> {
    let mut filters = Filters::default();
    let mut seen = HashSet::new();
    for (i, spec) in specs.iter().enumerate() {
        let at = format!("{at}[{i}]");
        if !seen.insert(&spec.type_) && spec.type_ != HttpRouteFilterType::RequestMirror {
            return Err((reasons::INCOMPATIBLE_FILTERS, format!("{at}: {} cannot be repeated", spec.type_)));
        }
        add(&mut filters, &at, spec, references).map_err(|message| (reasons::UNSUPPORTED_VALUE, message))?;
    }
    if seen.contains(&HttpRouteFilterType::UrlRewrite) && filters.redirect.is_some() {
        let message = format!("{at}: RequestRedirect cannot be combined with URLRewrite");
        return Err((reasons::INCOMPATIBLE_FILTERS, message));
    }
    Ok(filters)
}

fn add(filters: &mut Filters, at: &str, spec: &HttpRouteFilter, references: &mut References<'_>) -> Result<(), String> {
    match &spec.type_ {
        HttpRouteFilterType::RequestHeaderModifier => {
            let change = header_change(at, settings(at, spec, spec.request_header_modifier.as_ref())?)?;
            filters.request.push(RequestFilter::Headers(change));
        }
        HttpRouteFilterType::ResponseHeaderModifier => {
            let change = header_change(at, settings(at, spec, spec.response_header_modifier.as_ref())?)?;
            filters.response.push(change);
        }
        HttpRouteFilterType::UrlRewrite => {
            let HttpUrlRewriteFilter { hostname, path } = settings(at, spec, spec.url_rewrite.as_ref())?;
            let hostname = hostname.as_deref().map(Arc::from);
            let path = path.as_ref().map(|p| path_rewrite(at, p)).transpose()?;
            filters.request.push(RequestFilter::Rewrite { hostname, path });
        }
        HttpRouteFilterType::RequestRedirect => {
            filters.redirect = Some(redirect(at, settings(at, spec, spec.request_redirect.as_ref())?)?);
        }
        HttpRouteFilterType::RequestMirror => {
            let mirror = settings(at, spec, spec.request_mirror.as_ref())?;
            let cluster = references.resolve(mirror.backend_ref.clone());
            filters.mirrors.push(Mirror { cluster, fraction: fraction(at, mirror)? });
        }
        HttpRouteFilterType::Cors => {
            filters.cors = Some(Arc::new(cors(at, settings(at, spec, spec.cors.as_ref())?)?));
        }
        HttpRouteFilterType::ExtensionRef | HttpRouteFilterType::Other(_) => {
            return Err(format!("{at}: filter {} is not supported", spec.type_));
        }
    }
    Ok(())
}

fn settings<'a, T>(at: &str, spec: &HttpRouteFilter, settings: Option<&'a T>) -> Result<&'a T, String> {
    settings.ok_or_else(|| format!("{at}: filter {} has no settings", spec.type_))
}

/// The share of requests that is copied: all, where nothing else is said.
fn fraction(at: &str, spec: &HttpRequestMirrorFilter) -> Result<(u32, u32), String> {
    let (numerator, denominator) = match (spec.percent, &spec.fraction) {
        (None, None) => (1, 1),
        (Some(percent), None) => (i64::from(percent), 100),
        (None, Some(fraction)) => (fraction.numerator, fraction.denominator),
        (Some(_), Some(_)) => return Err(format!("{at}: percent and fraction cannot both be set")),
    };
    match (u32::try_from(numerator), u32::try_from(denominator)) {
        (Ok(numerator), Ok(denominator)) if numerator <= denominator && denominator > 0 => Ok((numerator, denominator)),
        _ => Err(format!("{at}: {numerator} of {denominator} is not a share of requests")),
    }
}

fn cors(at: &str, spec: &HttpCorsFilter) -> Result<Cors, String> {
    let names = |field: &str, names: &[String]| -> Result<Vec<Arc<str>>, String> {
        let name = |text: &String| match HeaderName::from_bytes(text.as_bytes()) {
            Ok(name) => Ok(Arc::from(name.as_str())),
            Err(_) => Err(format!("{at}.cors.{field}: {text:?} is not a header name")),
        };
        names.iter().map(name).collect()
    };
    if let Some(origin) = spec.allow_origins.iter().find(|o| !o.bytes().all(|b| b.is_ascii_graphic())) {
        return Err(format!("{at}.cors.allowOrigins: {origin:?} is not an origin"));
    }
    if let Some(CorsMethod::Other(method)) = spec.allow_methods.iter().find(|m| matches!(m, CorsMethod::Other(_))) {
        return Err(format!("{at}.cors.allowMethods: {method} is not supported"));
    }
    Ok(Cors {
        origins: spec.allow_origins.iter().map(|o| o.to_ascii_lowercase().into()).collect(),
        credentials: spec.allow_credentials.unwrap_or(false),
        methods: spec.allow_methods.iter().map(|m| m.as_str().into()).collect(),
        headers: names("allowHeaders", &spec.allow_headers)?,
        expose: names("exposeHeaders", &spec.expose_headers)?,
        max_age: Duration::from_secs(u64::try_from(spec.max_age).unwrap_or(0)),
    })
}

fn header_change(at: &str, spec: &HttpHeaderFilter) -> Result<HeaderChange, String> {
    let set = headers(at, &spec.set)?;
    let add = headers(at, &spec.add)?;
    let mut remove: Vec<Arc<str>> = Vec::with_capacity(spec.remove.len());
    for name in &spec.remove {
        let name = header_name(at, name)?;
        if !remove.contains(&name) {
            remove.push(name);
        }
    }
    let mut acted_on = HashSet::new();
    for name in set.iter().chain(&add).map(|(name, _)| name).chain(&remove) {
        if !acted_on.insert(name) {
            return Err(format!("{at}: more than one action for header {name}"));
        }
    }
    Ok(HeaderChange { set, add, remove })
}

/// Name and value.
type Header = (Arc<str>, Arc<str>);

/// Of equivalent names only the first counts.
fn headers(at: &str, specs: &[HttpHeader]) -> Result<Vec<Header>, String> {
    let mut headers: Vec<Header> = Vec::with_capacity(specs.len());
    for spec in specs {
        let name = header_name(at, &spec.name)?;
        if HeaderValue::from_str(&spec.value).is_err() {
            return Err(format!("{at}: the value for header {name} has characters that a header cannot carry"));
        }
        if !headers.iter().any(|(n, _)| *n == name) {
            headers.push((name, spec.value.as_str().into()));
        }
    }
    Ok(headers)
}

fn header_name(at: &str, text: &str) -> Result<Arc<str>, String> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("{at}: {text:?} is not a header name"))?;
    if NOT_OURS_TO_CHANGE.contains(&name.as_str()) {
        let hint = if name == "host" { "; use URLRewrite.hostname" } else { "" };
        return Err(format!("{at}: header {name} cannot be changed{hint}"));
    }
    Ok(name.as_str().into())
}

fn redirect(at: &str, spec: &HttpRequestRedirectFilter) -> Result<Redirect, String> {
    let (scheme, default_port) = match &spec.scheme {
        None => (None, None),
        Some(RedirectScheme::Http) => (Some("http"), Some(80)),
        Some(RedirectScheme::Https) => (Some("https"), Some(443)),
        Some(RedirectScheme::Other(other)) => return Err(format!("{at}.scheme: {other} is not supported")),
    };
    if !matches!(spec.status_code, 301 | 302 | 303 | 307 | 308) {
        return Err(format!("{at}.statusCode: {} is not supported", spec.status_code));
    }
    Ok(Redirect {
        scheme: scheme.map(Arc::from),
        hostname: spec.hostname.as_deref().map(Arc::from),
        path: spec.path.as_ref().map(|p| path_rewrite(at, p)).transpose()?,
        // A scheme without a port means the scheme's own port, not the listener's.
        port: spec.port.or(default_port),
        status: spec.status_code,
    })
}

fn path_rewrite(at: &str, spec: &HttpPathModifier) -> Result<PathRewrite, String> {
    let value = |value: &Option<String>| value.clone().ok_or_else(|| format!("{at}.path: {} has no value", spec.type_));
    match &spec.type_ {
        PathModifierType::ReplaceFullPath => {
            let path = value(&spec.replace_full_path)?;
            match path.starts_with('/') && is_path(&path) {
                true => Ok(PathRewrite::Full(path.into())),
                false => Err(format!("{at}.path.replaceFullPath: {path:?} is not an absolute path")),
            }
        }
        PathModifierType::ReplacePrefixMatch => {
            let path = value(&spec.replace_prefix_match)?;
            match (path.is_empty() || path.starts_with('/')) && is_path(&path) {
                true => Ok(PathRewrite::Prefix(path.strip_suffix('/').unwrap_or(&path).into())),
                false => Err(format!("{at}.path.replacePrefixMatch: {path:?} is not an absolute path")),
            }
        }
        PathModifierType::Other(other) => Err(format!("{at}.path.type: {other} is not supported")),
    }
}

/// The characters of a path (RFC 3986), each `%` with its two digits.
fn is_path(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => [bytes.next(), bytes.next()].iter().all(|b| b.is_some_and(|b| b.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    true
}
