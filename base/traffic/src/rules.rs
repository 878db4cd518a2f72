//! Rules of an HTTPRoute: from its spec to [`Rule`]s, one for each match, and what of the spec is refused. What follows
//! a match is the same for a GRPCRoute.
//!
//! A rule that asks for something that is not built is refused. Its matches stay, as far as they are understood, and
//! answer 500, so that a request does not slip to a wider rule that lacks what its own rule asks for. Only a path that
//! cannot be understood says nothing of which requests are meant: that match is dropped.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use purlin_gateway_api::{
    BackendObjectReference, HttpBackendRef, HttpHeaderMatch, HttpMethod, HttpPathMatch, HttpRoute, HttpRouteMatch,
    HttpRouteRule, PathMatchType, ValueMatchType,
};
use regex::RegexBuilder;

use crate::compiled::References;
use crate::filters::{self, Filters};
use crate::hostname;
use crate::listeners::Refusal;
use crate::model::{Action, Backend, Match, PathMatch, RouteName, Rule, RulePolicy, ValueMatch};
use crate::precedence::{Candidate, MatchRank};
use crate::{duration, reasons};

/// The bound of a compiled regular expression, in bytes.
pub const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// The matches of a rule as far as they are understood, and what is wrong with the first of the others.
#[derive(Default)]
pub(crate) struct Matches {
    pub good: Vec<(Match, MatchRank)>,
    pub refusal: Option<Refusal>,
}

impl Matches {
    /// Takes what is wrong with a match.
    pub(crate) fn refuse(&mut self, wrong: Vec<String>) {
        let first = wrong.into_iter().next().map(|message| (reasons::UNSUPPORTED_VALUE, message));
        self.refusal = self.refusal.take().or(first);
    }
}

/// Compiles all rules of an HTTPRoute; those that are refused are said by their index.
pub(crate) fn compile(
    name: &RouteName,
    route: &HttpRoute,
    references: &mut References<'_>,
) -> (Vec<Candidate>, Vec<(usize, Refusal)>) {
    let created = route.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let specs = route.spec.rules.iter().enumerate();
    let specs = specs.map(|(index, spec)| (compile_matches(&format!("rules[{index}]"), spec), Cow::Borrowed(spec)));
    compile_all(name, created, specs, references)
}

/// Compiles rules whose matches are compiled.
pub(crate) fn compile_all<'s>(
    name: &RouteName,
    created: Option<Timestamp>,
    specs: impl Iterator<Item = (Matches, Cow<'s, HttpRouteRule>)>,
    references: &mut References<'_>,
) -> (Vec<Candidate>, Vec<(usize, Refusal)>) {
    let (mut candidates, mut refused) = (Vec::new(), Vec::new());
    for (index, (matches, spec)) in specs.enumerate() {
        let at = format!("rules[{index}]");
        let (answer, refusal) = match (matches.refusal, compile_answer(&at, &spec, &matches.good, references)) {
            (None, Ok(answer)) => (answer, None),
            (Some(refusal), _) | (None, Err(refusal)) => (Answer::refused(), Some(refusal)),
        };
        refused.extend(refusal.map(|refusal| (index, refusal)));
        let policy = Arc::new(RulePolicy { cors: answer.filters.cors.clone(), ..RulePolicy::default() });
        for (matches, rank) in matches.good {
            let position = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
            let rule = Rule {
                route: name.clone(),
                index: u32::try_from(index).unwrap_or(u32::MAX),
                matches,
                request_filters: answer.filters.request.clone(),
                response_filters: answer.filters.response.clone(),
                mirrors: answer.filters.mirrors.clone(),
                action: answer.action.clone(),
                request_timeout: answer.request_timeout,
                backend_timeout: answer.backend_timeout,
                policy: Arc::clone(&policy),
            };
            candidates.push(Candidate { host: hostname::rank(None), rank, created, position, rule: Arc::new(rule) });
        }
    }
    (candidates, refused)
}

/// What a rule does with the requests that it matches.
struct Answer {
    filters: Filters,
    action: Action,
    request_timeout: Option<std::time::Duration>,
    backend_timeout: Option<std::time::Duration>,
}

impl Answer {
    /// No backend: 500.
    fn refused() -> Self {
        let (request_timeout, backend_timeout) = (None, None);
        Answer { filters: Filters::default(), action: Action::Forward(Vec::new()), request_timeout, backend_timeout }
    }
}

fn compile_answer(
    at: &str,
    spec: &HttpRouteRule,
    matches: &[(Match, MatchRank)],
    references: &mut References<'_>,
) -> Result<Answer, Refusal> {
    // All references first: what does not resolve is said even of a rule that is refused.
    let clusters: Vec<_> = spec.backend_refs.iter().map(|backend| references.resolve(reference(backend))).collect();
    let mut filters = filters::compile(&format!("{at}.filters"), &spec.filters, references)?;
    let mut backends = Vec::with_capacity(clusters.len());
    for (i, (reference, cluster)) in spec.backend_refs.iter().zip(clusters).enumerate() {
        let at = format!("{at}.backendRefs[{i}].filters");
        let filters = filters::compile(&at, &reference.filters, references)?;
        if filters.redirect.is_some() {
            return Err((reasons::UNSUPPORTED_VALUE, format!("{at}: RequestRedirect is not supported for a backend")));
        }
        if filters.cors.is_some() {
            return Err((reasons::UNSUPPORTED_VALUE, format!("{at}: CORS is not supported for a backend")));
        }
        check_prefix_replacement(&at, &filters, matches)?;
        backends.push(Backend {
            weight: u32::try_from(reference.weight).unwrap_or(0),
            cluster,
            request_filters: filters.request,
            response_filters: filters.response,
            mirrors: filters.mirrors,
        });
    }
    check_prefix_replacement(&format!("{at}.filters"), &filters, matches)?;
    let action = match filters.redirect.take() {
        Some(_) if !backends.is_empty() => {
            let message = format!("{at}: RequestRedirect cannot be combined with backendRefs");
            return Err((reasons::INCOMPATIBLE_FILTERS, message));
        }
        Some(redirect) => Action::Redirect(redirect),
        None => Action::Forward(backends),
    };
    let timeouts = spec.timeouts.as_ref();
    let timeout = |field: &str, text: Option<&String>| match text.map(|t| (t, duration::parse(t))) {
        None => Ok(None),
        Some((_, Some(duration))) => Ok(Some(duration)),
        Some((text, None)) => {
            Err((reasons::UNSUPPORTED_VALUE, format!("{at}.timeouts.{field}: {text:?} is not a duration")))
        }
    };
    Ok(Answer {
        action,
        request_timeout: timeout("request", timeouts.and_then(|t| t.request.as_ref()))?,
        backend_timeout: timeout("backendRequest", timeouts.and_then(|t| t.backend_request.as_ref()))?,
        filters,
    })
}

fn reference(backend: &HttpBackendRef) -> BackendObjectReference {
    BackendObjectReference {
        group: backend.group.clone(),
        kind: backend.kind.clone(),
        name: backend.name.clone(),
        namespace: backend.namespace.clone(),
        port: backend.port,
    }
}

fn check_prefix_replacement(at: &str, filters: &Filters, matches: &[(Match, MatchRank)]) -> Result<(), Refusal> {
    let all_prefixes = matches.iter().all(|(m, _)| matches!(m.path, PathMatch::Prefix(_)));
    if filters.replaces_prefix() && !all_prefixes {
        let message = format!("{at}: ReplacePrefixMatch needs matches with a path of type PathPrefix");
        return Err((reasons::UNSUPPORTED_VALUE, message));
    }
    Ok(())
}

fn compile_matches(at: &str, spec: &HttpRouteRule) -> Matches {
    let everything = [HttpRouteMatch::default()];
    let specs = if spec.matches.is_empty() { &everything[..] } else { &spec.matches[..] };
    let mut matches = Matches::default();
    for (i, spec) in specs.iter().enumerate() {
        let mut wrong = Vec::new();
        let compiled = compile_match(&format!("{at}.matches[{i}]"), spec, &mut wrong);
        matches.good.extend(compiled.map(|m| {
            let rank = MatchRank::http(&m);
            (m, rank)
        }));
        matches.refuse(wrong);
    }
    matches
}

/// A match without the conditions that we do not understand: its rule is refused then, so that what would have met
/// them does not slip to a wider rule. None where that cannot be said even of the path.
fn compile_match(at: &str, spec: &HttpRouteMatch, wrong: &mut Vec<String>) -> Option<Match> {
    if let Some(method @ (HttpMethod::Connect | HttpMethod::Other(_))) = &spec.method {
        wrong.push(format!("{at}.method: {method} is not supported"));
    }
    let method = spec.method.as_ref().map(|m| m.as_str().into());
    let headers = compile_headers(at, &spec.headers, wrong);
    let mut names = HashSet::new();
    let mut query = Vec::with_capacity(spec.query_params.len());
    for param in &spec.query_params {
        let at = format!("{at}.queryParams: {}", param.name);
        let value = compile_value(&at, &param.type_, &param.value).map_err(|message| wrong.push(message)).ok();
        if names.insert(&param.name)
            && let Some(value) = value
        {
            query.push((param.name.as_str().into(), value));
        }
    }
    let path = compile_path(at, &spec.path).map_err(|message| wrong.push(message)).ok()?;
    Some(Match { path, method, headers, query })
}

/// The conditions on headers that we understand. Of equivalent names only the first counts.
pub(crate) fn compile_headers(
    at: &str,
    specs: &[HttpHeaderMatch],
    wrong: &mut Vec<String>,
) -> Vec<(Arc<str>, ValueMatch)> {
    let mut names = HashSet::new();
    let mut headers = Vec::with_capacity(specs.len());
    for header in specs {
        let name = header.name.to_ascii_lowercase();
        let value = compile_value(&format!("{at}.headers: {name}"), &header.type_, &header.value);
        let value = value.map_err(|message| wrong.push(message)).ok();
        if names.insert(name.clone())
            && let Some(value) = value
        {
            headers.push((name.into(), value));
        }
    }
    headers
}

fn compile_path(at: &str, path: &HttpPathMatch) -> Result<PathMatch, String> {
    let value = path.value.as_str();
    let at = format!("{at}.path");
    match &path.type_ {
        PathMatchType::RegularExpression => {
            check_regex(&at, value)?;
            Ok(PathMatch::Regex(value.into()))
        }
        PathMatchType::Other(other) => Err(format!("{at}.type: {other} is not supported")),
        PathMatchType::Exact | PathMatchType::PathPrefix if !value.starts_with('/') => {
            Err(format!("{at}.value: {value:?} does not start with /"))
        }
        PathMatchType::Exact => Ok(PathMatch::Exact(value.into())),
        PathMatchType::PathPrefix => Ok(PathMatch::Prefix(value.strip_suffix('/').unwrap_or(value).into())),
    }
}

fn compile_value(at: &str, kind: &ValueMatchType, value: &str) -> Result<ValueMatch, String> {
    match kind {
        ValueMatchType::Exact => Ok(ValueMatch::Exact(value.into())),
        ValueMatchType::RegularExpression => {
            check_regex(at, value)?;
            Ok(ValueMatch::Regex(value.into()))
        }
        ValueMatchType::Other(other) => Err(format!("{at}: type {other} is not supported")),
    }
}

/// Whether an expression is one that a data plane takes.
pub(crate) fn check_regex(at: &str, pattern: &str) -> Result<(), String> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(REGEX_SIZE_LIMIT).build();
    // By itself first: `a)|(b` is only an expression inside of the parentheses.
    let compiled = build(pattern).and_then(|_| build(&format!("^(?:{pattern})$")));
    compiled.map(drop).map_err(|error| {
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("{at}: {pattern:?} is not a regular expression that is supported: {last}")
    })
}
