//! HTTPRoute: which requests go to which backends, and what is done to them on the way.

use kube::CustomResource;
use purlin_crd::bounds::{DurationText, HeaderName, Hostname, SectionName};
use purlin_crd::open_enum;
use purlin_crd::schema::{Rules, atomic, map_by, rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backend::service_has_port;
use crate::bounds::{PathValue, QueryValue};
use crate::header::{HttpHeaderMatch, ValueMatchType, exact};
use crate::http_filter::{HttpRouteFilter, http_filters};
use crate::refs::reference;
use crate::route::{ParentReference, RouteStatus, matches_total, parent_refs};

/// How many matches a rule has; it has one by default.
fn matches(rule: usize) -> String {
    format!("self[{rule}].matches.size()")
}

/// Which requests are served, and how.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "HTTPRoute",
    root = "HttpRoute",
    namespaced,
    status = "RouteStatus",
    schema = "disabled",
    derive = "Default",
    derive = "PartialEq"
)]
pub struct HttpRouteSpec {
    /// The hosts whose requests are served, each exact or with a wildcard for its first labels; the listener's own when
    /// there are none.
    #[schemars(with = "Vec<Hostname>", length(max = 16), transform = atomic)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// The Gateways or listeners that the route attaches to.
    #[schemars(transform = parent_refs)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// What is done with requests; of all rules that match, the most specific match decides.
    #[schemars(length(min = 1, max = 16), transform = atomic, transform = matches_total(matches))]
    pub rules: Vec<HttpRouteRule>,
}

impl Default for HttpRouteSpec {
    fn default() -> Self {
        HttpRouteSpec { hostnames: Vec::new(), parent_refs: Vec::new(), rules: vec![HttpRouteRule::default()] }
    }
}

const RULE_RULES: Rules = &[
    (
        "(has(self.backendRefs) && size(self.backendRefs) > 0) ? \
         (!has(self.filters) || self.filters.all(f, !has(f.requestRedirect))): true",
        "RequestRedirect filter must not be used together with backendRefs",
    ),
    (
        "(has(self.filters) && self.filters.exists_one(f, has(f.requestRedirect) && has(f.requestRedirect.path) && \
         f.requestRedirect.path.type == 'ReplacePrefixMatch' && has(f.requestRedirect.path.replacePrefixMatch))) ? \
         ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? \
         false : true) : true",
        "When using RequestRedirect filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
    ),
    (
        "(has(self.filters) && self.filters.exists_one(f, has(f.urlRewrite) && has(f.urlRewrite.path) && \
         f.urlRewrite.path.type == 'ReplacePrefixMatch' && has(f.urlRewrite.path.replacePrefixMatch))) ? \
         ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? \
         false : true) : true",
        "When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
    ),
    (
        "(has(self.backendRefs) && self.backendRefs.exists_one(b, (has(b.filters) && b.filters.exists_one(f, \
         has(f.requestRedirect) && has(f.requestRedirect.path) && f.requestRedirect.path.type == 'ReplacePrefixMatch' \
         && has(f.requestRedirect.path.replacePrefixMatch))) )) ? \
         ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? \
         false : true) : true",
        "Within backendRefs, when using RequestRedirect filter with path.replacePrefixMatch, exactly one PathPrefix \
         match must be specified",
    ),
    (
        "(has(self.backendRefs) && self.backendRefs.exists_one(b, (has(b.filters) && b.filters.exists_one(f, \
         has(f.urlRewrite) && has(f.urlRewrite.path) && f.urlRewrite.path.type == 'ReplacePrefixMatch' \
         && has(f.urlRewrite.path.replacePrefixMatch))) )) ? \
         ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? \
         false : true) : true",
        "Within backendRefs, When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix match \
         must be specified",
    ),
];

/// Requests that match, the filters they pass, and the backends they go to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(RULE_RULES))]
pub struct HttpRouteRule {
    /// The backends, each with its share of the requests.
    #[schemars(length(max = 16), transform = atomic)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<HttpBackendRef>,
    /// What is done to every request of the rule and to its response.
    #[schemars(transform = http_filters)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HttpRouteFilter>,
    /// Which requests the rule is for; one match is enough; every request when there are none.
    #[schemars(length(max = 64), transform = atomic)]
    pub matches: Vec<HttpRouteMatch>,
    /// The rule's name, unique in the route.
    #[schemars(with = "Option<SectionName>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long a request may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<HttpRouteTimeouts>,
}

impl Default for HttpRouteRule {
    fn default() -> Self {
        HttpRouteRule {
            backend_refs: Vec::new(),
            filters: Vec::new(),
            matches: vec![HttpRouteMatch::default()],
            name: None,
            timeouts: None,
        }
    }
}

/// What a request has to have; all of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteMatch {
    /// Headers that have to be there with these values.
    #[schemars(length(max = 16), transform = map_by("name"))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpHeaderMatch>,
    /// The method; any when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
    /// The path; any when absent.
    pub path: HttpPathMatch,
    /// Query parameters that have to be there with these values.
    #[schemars(length(max = 16), transform = map_by("name"))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query_params: Vec<HttpQueryParamMatch>,
}

const PATH_RULES: Rules = &[
    (
        "(self.type in ['Exact','PathPrefix']) ? self.value.startsWith('/') : true",
        "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
    ),
    (
        "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('//') : true",
        "must not contain '//' when type one of ['Exact', 'PathPrefix']",
    ),
    (
        "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('/./') : true",
        "must not contain '/./' when type one of ['Exact', 'PathPrefix']",
    ),
    (
        "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('/../') : true",
        "must not contain '/../' when type one of ['Exact', 'PathPrefix']",
    ),
    (
        "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('%2f') : true",
        "must not contain '%2f' when type one of ['Exact', 'PathPrefix']",
    ),
    (
        "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('%2F') : true",
        "must not contain '%2F' when type one of ['Exact', 'PathPrefix']",
    ),
    (
        "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('#') : true",
        "must not contain '#' when type one of ['Exact', 'PathPrefix']",
    ),
    (
        "(self.type in ['Exact','PathPrefix']) ? !self.value.endsWith('/..') : true",
        "must not end with '/..' when type one of ['Exact', 'PathPrefix']",
    ),
    (
        "(self.type in ['Exact','PathPrefix']) ? !self.value.endsWith('/.') : true",
        "must not end with '/.' when type one of ['Exact', 'PathPrefix']",
    ),
    (
        "self.type in ['Exact','PathPrefix'] || self.type == 'RegularExpression'",
        "type must be one of ['Exact', 'PathPrefix', 'RegularExpression']",
    ),
    (
        r#"(self.type in ['Exact','PathPrefix']) ? self.value.matches(r"""^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$""") : true"#,
        r"must only contain valid characters (matching ^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$) for types ['Exact', 'PathPrefix']",
    ),
];

/// How a request's path is compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = rules(PATH_RULES))]
pub struct HttpPathMatch {
    /// Exact, PathPrefix (whole segments), or RegularExpression.
    #[serde(rename = "type")]
    pub type_: PathMatchType,
    /// What the path is compared with.
    #[schemars(with = "PathValue")]
    pub value: String,
}

impl Default for HttpPathMatch {
    fn default() -> Self {
        HttpPathMatch { type_: PathMatchType::PathPrefix, value: "/".to_owned() }
    }
}

open_enum! {
    /// How a path is compared.
    pub enum PathMatchType {
        Exact = "Exact",
        PathPrefix = "PathPrefix",
        RegularExpression = "RegularExpression",
    }
}

open_enum! {
    /// A request's method.
    pub enum HttpMethod {
        Get = "GET",
        Head = "HEAD",
        Post = "POST",
        Put = "PUT",
        Delete = "DELETE",
        Connect = "CONNECT",
        Options = "OPTIONS",
        Trace = "TRACE",
        Patch = "PATCH",
    }
}

/// A query parameter that has to be there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpQueryParamMatch {
    /// The parameter's name, exactly; of entries with the same name the first counts.
    #[schemars(with = "HeaderName")]
    pub name: String,
    /// Exact or RegularExpression.
    #[serde(rename = "type", default = "exact")]
    pub type_: ValueMatchType,
    /// What the parameter's value is compared with.
    #[schemars(with = "QueryValue")]
    pub value: String,
}

reference! {
    /// A backend with its share of the rule's requests.
    #[schemars(transform = service_has_port)]
    pub struct HttpBackendRef to "backend" {
        /// What is done to the requests of this backend and to their responses.
        #[schemars(transform = http_filters)]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub filters: Vec<HttpRouteFilter>,
        backend,
        weight,
    }
}

const TIMEOUT_RULES: Rules = &[(
    "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && \
     duration(self.backendRequest) > duration(self.request))",
    "backendRequest timeout cannot be longer than request timeout",
)];

/// How long a request may take, as durations like 10s or 1h30m; 0s is without limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(TIMEOUT_RULES))]
pub struct HttpRouteTimeouts {
    /// From the Gateway's request to a backend to the backend's response, for each attempt.
    #[schemars(with = "Option<DurationText>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_request: Option<String>,
    /// From the client's request to the response, over all attempts.
    #[schemars(with = "Option<DurationText>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}
