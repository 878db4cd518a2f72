//! HTTP: hosts, rules in order of precedence, what they do (HTTPRoute, GRPCRoute).

use std::sync::Arc;
use std::time::Duration;

use super::{ClusterName, Hostname, RouteName, RulePolicy};

/// The rules of one hostname on one listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// None accepts every host.
    pub hostname: Option<Hostname>,
    /// In order of precedence: the first whose match holds serves the request.
    pub rules: Vec<Arc<Rule>>,
}

/// One match of one route rule, and what is done then.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The route it comes from: an HTTPRoute or a GRPCRoute.
    pub route: RouteName,
    /// Index of the rule in the route, for logs and metrics.
    pub index: u32,
    /// When the rule applies.
    pub matches: Match,
    /// Done to the request, in order, before it is sent.
    pub request_filters: Vec<RequestFilter>,
    /// Done to the response, in order.
    pub response_filters: Vec<HeaderChange>,
    /// Copies of the request.
    pub mirrors: Vec<Mirror>,
    /// What answers.
    pub action: Action,
    /// `timeouts.request`: the whole exchange; zero means none.
    pub request_timeout: Option<Duration>,
    /// `timeouts.backendRequest`: one attempt; zero means none.
    pub backend_timeout: Option<Duration>,
    /// What policies ask for.
    pub policy: Arc<RulePolicy>,
}

impl Rule {
    /// All requests of a path, without filters, timeouts and policies.
    pub fn new(route: RouteName, path: PathMatch, action: Action) -> Self {
        Self {
            route,
            index: 0,
            matches: Match { path, method: None, headers: Vec::new(), query: Vec::new() },
            request_filters: Vec::new(),
            response_filters: Vec::new(),
            mirrors: Vec::new(),
            action,
            request_timeout: None,
            backend_timeout: None,
            policy: Arc::default(),
        }
    }
}

/// All conditions of one `HTTPRouteMatch`; each must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// The path.
    pub path: PathMatch,
    /// Upper case, as HTTPRoute has it.
    pub method: Option<Arc<str>>,
    /// Header names in lower case.
    pub headers: Vec<(Arc<str>, ValueMatch)>,
    /// Query parameters, names as they are.
    pub query: Vec<(Arc<str>, ValueMatch)>,
}

/// `HTTPPathMatch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path, case-sensitive.
    Exact(Arc<str>),
    /// Whole elements; without a trailing slash, `""` for `/`.
    Prefix(Arc<str>),
    /// A regular expression (RE2 syntax) that the whole path must match.
    Regex(Arc<str>),
}

/// `HTTPHeaderMatch` and `HTTPQueryParamMatch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMatch {
    /// Equal.
    Exact(Arc<str>),
    /// A regular expression (RE2 syntax) that the whole value must match.
    Regex(Arc<str>),
}

/// What is done to a request before it is sent.
#[derive(Clone, Debug, PartialEq)]
pub enum RequestFilter {
    /// `RequestHeaderModifier`.
    Headers(HeaderChange),
    /// `URLRewrite`.
    Rewrite {
        /// The new Host.
        hostname: Option<Arc<str>>,
        /// The new path.
        path: Option<PathRewrite>,
    },
}

/// `HTTPHeaderFilter`: remove, then set, then add. Names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub struct HeaderChange {
    pub set: Vec<(Arc<str>, Arc<str>)>,
    pub add: Vec<(Arc<str>, Arc<str>)>,
    pub remove: Vec<Arc<str>>,
}

/// `HTTPPathModifier`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// `ReplaceFullPath`.
    Full(Arc<str>),
    /// `ReplacePrefixMatch`: the prefix that matched, whole elements.
    Prefix(Arc<str>),
}

/// What answers a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send it to one of these by weight. All weights zero, or no backend: 500.
    Forward(Vec<Backend>),
    /// `RequestRedirect`.
    Redirect(Redirect),
}

/// `HTTPRequestRedirectFilter`; what is None stays as requested.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub struct Redirect {
    pub scheme: Option<Arc<str>>,
    pub hostname: Option<Arc<str>>,
    pub path: Option<PathRewrite>,
    pub port: Option<u16>,
    pub status: u16,
}

/// One of a rule's backends.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Its share of the requests.
    pub weight: u32,
    /// None is a reference that did not resolve: its share is answered with 500.
    pub cluster: Option<ClusterName>,
    /// `backendRefs[].filters`, request side.
    pub request_filters: Vec<RequestFilter>,
    /// `backendRefs[].filters`, response side.
    pub response_filters: Vec<HeaderChange>,
    /// `backendRefs[].filters`, copies.
    pub mirrors: Vec<Mirror>,
}

impl Backend {
    /// A cluster, without filters.
    pub fn new(weight: u32, cluster: Option<ClusterName>) -> Self {
        let (request_filters, response_filters, mirrors) = (Vec::new(), Vec::new(), Vec::new());
        Self { weight, cluster, request_filters, response_filters, mirrors }
    }
}

/// `RequestMirror`: a copy of the request is sent to another backend too, and its answer is not waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// None is a reference that did not resolve: nothing is sent.
    pub cluster: Option<ClusterName>,
    /// The share of requests that is copied: numerator and denominator.
    pub fraction: (u32, u32),
}
