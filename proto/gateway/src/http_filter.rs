//! The filters of an HTTPRoute: what is done to a request or its response on the way.
//!
//! A filter names its type and carries the settings of that type in the field of the same name; the CEL rules hold the
//! two together.

use purlin_crd::bounds::{HeaderName, PortNumber, Positive, PreciseHostname};
use purlin_crd::open_enum;
use purlin_crd::schema::{Rules, atomic, rules, set};
use schemars::transform::Transform;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::bounds::{CorsOrigin, PathValue, RedirectStatus};
use crate::filter::{at_most_once, settings_of_type};
use crate::header::HttpHeaderFilter;
use crate::mirror::HttpRequestMirrorFilter;
use crate::refs::LocalObjectReference;

const NO_REWRITE_OF_REDIRECTS: Rules = &[(
    "!(self.exists(f, f.type == 'RequestRedirect') && self.exists(f, f.type == 'URLRewrite'))",
    "May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, but not both",
)];

const NOT_REPEATED: Rules =
    at_most_once!["CORS", "RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite"];

/// The list of filters of a rule or a backend.
pub(crate) fn http_filters(schema: &mut Schema) {
    schema.insert("maxItems".into(), 16.into());
    atomic(schema);
    rules(NO_REWRITE_OF_REDIRECTS).transform(schema);
    rules(NOT_REPEATED).transform(schema);
}

const FILTER_RULES: Rules = settings_of_type![
    "cors" for "CORS",
    "requestHeaderModifier" for "RequestHeaderModifier",
    "responseHeaderModifier" for "ResponseHeaderModifier",
    "requestMirror" for "RequestMirror",
    "requestRedirect" for "RequestRedirect",
    "urlRewrite" for "URLRewrite",
    "extensionRef" for "ExtensionRef",
];

/// One step that a request or its response passes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(FILTER_RULES))]
pub struct HttpRouteFilter {
    /// For CORS: which other origins' pages may use the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<HttpCorsFilter>,
    /// For ExtensionRef: a filter of the controller's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalObjectReference>,
    /// For RequestHeaderModifier: what changes in the request's headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HttpHeaderFilter>,
    /// For RequestMirror: where a copy of the request goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_mirror: Option<HttpRequestMirrorFilter>,
    /// For RequestRedirect: where the client is sent to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_redirect: Option<HttpRequestRedirectFilter>,
    /// For ResponseHeaderModifier: what changes in the response's headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HttpHeaderFilter>,
    /// What the filter does; its settings stand in the field of that name.
    #[serde(rename = "type")]
    pub type_: HttpRouteFilterType,
    /// For URLRewrite: what changes in the request's host and path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_rewrite: Option<HttpUrlRewriteFilter>,
}

open_enum! {
    /// What a filter does.
    pub enum HttpRouteFilterType {
        RequestHeaderModifier = "RequestHeaderModifier",
        ResponseHeaderModifier = "ResponseHeaderModifier",
        RequestMirror = "RequestMirror",
        RequestRedirect = "RequestRedirect",
        UrlRewrite = "URLRewrite",
        ExtensionRef = "ExtensionRef",
        Cors = "CORS",
    }
}

fn found() -> u16 {
    302
}

/// The answer that sends a client elsewhere; what is absent stays as in the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequestRedirectFilter {
    /// The host in the answer's Location.
    #[schemars(with = "Option<PreciseHostname>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// How the path in Location is made from the request's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<HttpPathModifier>,
    /// The port in Location; when absent, that of the scheme where one is given, else the listener's.
    #[schemars(with = "Option<PortNumber>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The scheme in Location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<RedirectScheme>,
    /// The answer's status.
    #[schemars(with = "RedirectStatus")]
    #[serde(default = "found")]
    pub status_code: u16,
}

open_enum! {
    /// A redirect's scheme.
    pub enum RedirectScheme {
        Http = "http",
        Https = "https",
    }
}

const PATH_MODIFIER_RULES: Rules = &[
    (
        "self.type == 'ReplaceFullPath' ? has(self.replaceFullPath) : true",
        "replaceFullPath must be specified when type is set to 'ReplaceFullPath'",
    ),
    (
        "has(self.replaceFullPath) ? self.type == 'ReplaceFullPath' : true",
        "type must be 'ReplaceFullPath' when replaceFullPath is set",
    ),
    (
        "self.type == 'ReplacePrefixMatch' ? has(self.replacePrefixMatch) : true",
        "replacePrefixMatch must be specified when type is set to 'ReplacePrefixMatch'",
    ),
    (
        "has(self.replacePrefixMatch) ? self.type == 'ReplacePrefixMatch' : true",
        "type must be 'ReplacePrefixMatch' when replacePrefixMatch is set",
    ),
];

/// How a path is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(PATH_MODIFIER_RULES))]
pub struct HttpPathModifier {
    /// For ReplaceFullPath: the new path.
    #[schemars(with = "Option<PathValue>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace_full_path: Option<String>,
    /// For ReplacePrefixMatch: what stands in place of the prefix that the rule matched.
    #[schemars(with = "Option<PathValue>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace_prefix_match: Option<String>,
    /// ReplaceFullPath or ReplacePrefixMatch.
    #[serde(rename = "type")]
    pub type_: PathModifierType,
}

open_enum! {
    /// How a path is changed.
    pub enum PathModifierType {
        ReplaceFullPath = "ReplaceFullPath",
        ReplacePrefixMatch = "ReplacePrefixMatch",
    }
}

/// Changes to a request on its way to the backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpUrlRewriteFilter {
    /// The host that the backend sees.
    #[schemars(with = "Option<PreciseHostname>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// How the path that the backend sees is made from the request's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<HttpPathModifier>,
}

const ORIGIN_RULES: Rules =
    &[("!('*' in self && self.size() > 1)", "AllowOrigins cannot contain '*' alongside other origins")];
const METHOD_RULES: Rules =
    &[("!('*' in self && self.size() > 1)", "AllowMethods cannot contain '*' alongside other methods")];
// The message says "methods", as the specification's does.
const HEADER_RULES: Rules =
    &[("!('*' in self && self.size() > 1)", "AllowHeaders cannot contain '*' alongside other methods")];

fn five() -> i64 {
    5
}

/// Which other origins' pages may use the route (the Fetch standard's CORS protocol).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpCorsFilter {
    /// Whether pages may send cookies and credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_credentials: Option<bool>,
    /// The request headers that pages may set; `*` alone is any.
    #[schemars(with = "Vec<HeaderName>", length(max = 64), transform = set, transform = rules(HEADER_RULES))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_headers: Vec<String>,
    /// The methods that pages may use; `*` alone is any.
    #[schemars(length(max = 9), transform = set, transform = rules(METHOD_RULES))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_methods: Vec<CorsMethod>,
    /// The origins of pages, as scheme://host[:port], the host perhaps with a wildcard; `*` alone is any.
    #[schemars(with = "Vec<CorsOrigin>", length(max = 64), transform = set, transform = rules(ORIGIN_RULES))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_origins: Vec<String>,
    /// The response headers that pages may read.
    #[schemars(with = "Vec<HeaderName>", length(max = 64), transform = set)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose_headers: Vec<String>,
    /// For how many seconds a browser may keep the answer to a preflight request.
    #[schemars(with = "Positive")]
    #[serde(default = "five")]
    pub max_age: i64,
}

open_enum! {
    /// A method that pages may use.
    pub enum CorsMethod {
        Get = "GET",
        Head = "HEAD",
        Post = "POST",
        Put = "PUT",
        Delete = "DELETE",
        Connect = "CONNECT",
        Options = "OPTIONS",
        Trace = "TRACE",
        Patch = "PATCH",
        Any = "*",
    }
}
