//! Rules of a GRPCRoute: a call is a request for `/service/method`, so its matches are matches of paths, and all else is
//! as in an HTTPRoute.

use purlin_gateway_api::{
    GrpcMethodMatch, GrpcRoute, GrpcRouteFilter, GrpcRouteFilterType, GrpcRouteMatch, GrpcRouteRule, HttpBackendRef,
    HttpRouteFilter, HttpRouteFilterType, HttpRouteRule, ValueMatchType,
};

use crate::compiled::References;
use crate::listeners::Refusal;
use crate::model::{Match, PathMatch, RouteName};
use crate::precedence::{Candidate, MatchRank};
use crate::rules::{self, Matches};

/// Compiles all rules; those that are refused are said by their index.
pub(crate) fn compile(
    name: &RouteName,
    route: &GrpcRoute,
    references: &mut References<'_>,
) -> (Vec<Candidate>, Vec<(usize, Refusal)>) {
    let created = route.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let specs = route.spec.rules.iter().enumerate().map(|(index, spec)| {
        let matches = compile_matches(&format!("rules[{index}]"), spec);
        (matches, std::borrow::Cow::Owned(as_http(spec)))
    });
    rules::compile_all(name, created, specs, references)
}

/// The rule without its matches.
fn as_http(rule: &GrpcRouteRule) -> HttpRouteRule {
    let filters = |filters: &[GrpcRouteFilter]| filters.iter().map(filter_as_http).collect();
    let backend_refs = rule.backend_refs.iter().map(|backend| HttpBackendRef {
        filters: filters(&backend.filters),
        group: backend.group.clone(),
        kind: backend.kind.clone(),
        name: backend.name.clone(),
        namespace: backend.namespace.clone(),
        port: backend.port,
        weight: backend.weight,
    });
    HttpRouteRule {
        backend_refs: backend_refs.collect(),
        filters: filters(&rule.filters),
        matches: Vec::new(),
        name: None,
        timeouts: None,
    }
}

fn filter_as_http(filter: &GrpcRouteFilter) -> HttpRouteFilter {
    HttpRouteFilter {
        cors: None,
        extension_ref: filter.extension_ref.clone(),
        request_header_modifier: filter.request_header_modifier.clone(),
        request_mirror: filter.request_mirror.clone(),
        request_redirect: None,
        response_header_modifier: filter.response_header_modifier.clone(),
        type_: match &filter.type_ {
            GrpcRouteFilterType::RequestHeaderModifier => HttpRouteFilterType::RequestHeaderModifier,
            GrpcRouteFilterType::ResponseHeaderModifier => HttpRouteFilterType::ResponseHeaderModifier,
            GrpcRouteFilterType::RequestMirror => HttpRouteFilterType::RequestMirror,
            GrpcRouteFilterType::ExtensionRef => HttpRouteFilterType::ExtensionRef,
            GrpcRouteFilterType::Other(other) => HttpRouteFilterType::Other(other.clone()),
        },
        url_rewrite: None,
    }
}

fn compile_matches(at: &str, rule: &GrpcRouteRule) -> Matches {
    let everything = [GrpcRouteMatch::default()];
    let specs = if rule.matches.is_empty() { &everything[..] } else { &rule.matches[..] };
    let mut matches = Matches::default();
    for (i, spec) in specs.iter().enumerate() {
        let mut wrong = Vec::new();
        let at = format!("{at}.matches[{i}]");
        let headers = rules::compile_headers(&at, &spec.headers, &mut wrong);
        match compile_method(&at, spec.method.as_ref()) {
            Ok((path, method_rank)) => {
                let rank = MatchRank::grpc(method_rank, headers.len());
                matches.good.push((Match { path, method: None, headers, query: Vec::new() }, rank));
            }
            Err(message) => wrong.push(message),
        }
        matches.refuse(wrong);
    }
    matches
}

/// How precisely a call is named: what kind of match it is, and the lengths of service and method.
pub(crate) type MethodRank = (u32, usize, usize);

/// Exact names come first, then regular expressions, then any call.
fn compile_method(at: &str, spec: Option<&GrpcMethodMatch>) -> Result<(PathMatch, MethodRank), String> {
    let given = |name: &Option<String>| name.as_deref().filter(|n| !n.is_empty()).map(str::to_owned);
    let (service, method) = spec.map_or((None, None), |spec| (given(&spec.service), given(&spec.method)));
    let length = |name: &Option<String>| name.as_ref().map_or(0, String::len);
    let lengths = (length(&service), length(&method));
    let at = format!("{at}.method");
    match (spec.map(|spec| &spec.type_), service, method) {
        (Some(ValueMatchType::Other(other)), ..) => Err(format!("{at}.type: {other} is not supported")),
        (None, ..) | (_, None, None) => Ok((PathMatch::Prefix("".into()), (2, 0, 0))),
        (Some(ValueMatchType::Exact), service, method) => {
            for name in service.iter().chain(&method) {
                if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.') {
                    return Err(format!("{at}: {name:?} is not the name of a service or method"));
                }
            }
            let path = match (service, method) {
                (Some(service), Some(method)) => PathMatch::Exact(format!("/{service}/{method}").into()),
                (Some(service), None) => PathMatch::Prefix(format!("/{service}").into()),
                (None, method) => {
                    let method = method.unwrap_or_default().replace('.', "\\.");
                    PathMatch::Regex(format!("/[^/]+/{method}").into())
                }
            };
            Ok((path, (0, lengths.0, lengths.1)))
        }
        (Some(ValueMatchType::RegularExpression), service, method) => {
            let part = |field: &str, pattern: Option<String>| -> Result<String, String> {
                let Some(pattern) = pattern else { return Ok("[^/]+".to_owned()) };
                rules::check_regex(&format!("{at}.{field}"), &pattern)?;
                Ok(format!("(?:{pattern})"))
            };
            let pattern = format!("/{}/{}", part("service", service)?, part("method", method)?);
            rules::check_regex(&at, &pattern)?;
            Ok((PathMatch::Regex(pattern.into()), (1, lengths.0, lengths.1)))
        }
    }
}
