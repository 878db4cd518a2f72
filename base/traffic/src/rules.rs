//! Rules of an HTTPRoute: from its spec to [`Rule`]s, one for each match, and what of the spec is refused.
//!
//! A rule that asks for something that is not built is refused. Its matches stay, as far as they are understood, and
//! answer 500, so that a request does not slip to a wider rule that lacks what its own rule asks for. Only a path that
//! cannot be understood says nothing of which requests are meant: that match is dropped.

use std::collections::HashSet;
use std::sync::Arc;

use purlin_gateway_api::{
    HttpMethod, HttpPathMatch, HttpRoute, HttpRouteMatch, HttpRouteRule, PathMatchType, ValueMatchType,
};
use regex::RegexBuilder;

use crate::backends::{Backends, RefProblem};
use crate::filters::{self, Filters};
use crate::hostname;
use crate::listeners::Refusal;
use crate::model::{
    Action, Backend, ClusterName, Hostname, Match, ObjectName, PathMatch, RouteKind, RouteName, Rule, ValueMatch,
};
use crate::precedence::Candidate;
use crate::{duration, reasons};

/// The bound of a compiled regular expression, in bytes.
pub const REGEX_SIZE_LIMIT: usize = 1 << 20;

type Resolved = Result<ClusterName, RefProblem>;

/// An HTTPRoute, compiled: independent of the listeners that it attaches to.
#[derive(Debug)]
pub(crate) struct CompiledRoute {
    /// What it was compiled from.
    route: Arc<HttpRoute>,
    /// `backendRefs` of each rule.
    backends: Vec<Vec<Resolved>>,
    pub hostnames: Vec<Hostname>,
    /// In the order of the route.
    pub candidates: Vec<Candidate>,
    /// Rules that are refused: index and why.
    pub refused: Vec<(usize, Refusal)>,
}

impl CompiledRoute {
    /// Compiles, or takes what is already there while route and backends are the same.
    pub(crate) fn new(
        name: &ObjectName,
        route: &Arc<HttpRoute>,
        backends: &Backends<'_>,
        previous: Option<&Arc<CompiledRoute>>,
    ) -> Arc<CompiledRoute> {
        let resolve = |rule: &HttpRouteRule| -> Vec<Resolved> {
            rule.backend_refs.iter().map(|reference| backends.resolve(&name.namespace, reference)).collect()
        };
        let resolved: Vec<Vec<Resolved>> = route.spec.rules.iter().map(resolve).collect();
        if let Some(previous) = previous
            && previous.backends == resolved
            && is_same(&previous.route, route)
        {
            return Arc::clone(previous);
        }
        Arc::new(compile(name, route, resolved))
    }

    /// Why no rule of the route can be served.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.refused.first().filter(|_| self.refused.len() == self.rules()).map(|(_, refusal)| refusal)
    }

    /// How many rules it has.
    pub(crate) fn rules(&self) -> usize {
        self.route.spec.rules.len()
    }

    /// References that do not resolve, each said once.
    pub(crate) fn ref_problems(&self) -> Vec<&RefProblem> {
        let mut said = HashSet::new();
        let problems = self.backends.iter().flatten().filter_map(|r| r.as_ref().err());
        problems.filter(|p| said.insert(&p.message)).collect()
    }

    /// The ports of Services that it sends to.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = &ClusterName> {
        self.backends.iter().flatten().filter_map(|r| r.as_ref().ok())
    }
}

fn is_same(a: &Arc<HttpRoute>, b: &Arc<HttpRoute>) -> bool {
    Arc::ptr_eq(a, b) || (a.metadata.creation_timestamp == b.metadata.creation_timestamp && a.spec == b.spec)
}

fn compile(name: &ObjectName, route: &Arc<HttpRoute>, backends: Vec<Vec<Resolved>>) -> CompiledRoute {
    let created = route.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let (mut candidates, mut refused) = (Vec::new(), Vec::new());
    for (index, (rule, resolved)) in route.spec.rules.iter().zip(&backends).enumerate() {
        let (rules, refusal) = compile_rule(name, index, rule, resolved);
        refused.extend(refusal.map(|refusal| (index, refusal)));
        for rule in rules {
            let position = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
            let host = hostname::rank(None);
            candidates.push(Candidate { host, created, position, rule: Arc::new(rule) });
        }
    }
    let hostnames = route.spec.hostnames.iter().map(|h| Hostname::parse(h)).collect();
    CompiledRoute { route: Arc::clone(route), backends, hostnames, candidates, refused }
}

/// The rules of a rule, one for each match, and why it is refused.
fn compile_rule(
    name: &ObjectName,
    index: usize,
    spec: &HttpRouteRule,
    backends: &[Resolved],
) -> (Vec<Rule>, Option<Refusal>) {
    let at = format!("rules[{index}]");
    let (matches, bad_match) = compile_matches(&at, spec);
    let (answer, refusal) = match (bad_match, compile_answer(&at, spec, &matches, backends)) {
        (None, Ok(answer)) => (answer, None),
        (Some(refusal), _) | (None, Err(refusal)) => (Answer::refused(), Some(refusal)),
    };
    let policy = Arc::default();
    let rule = |matches| Rule {
        route: RouteName { kind: RouteKind::HttpRoute, object: name.clone() },
        index: u32::try_from(index).unwrap_or(u32::MAX),
        matches,
        request_filters: answer.filters.request.clone(),
        response_filters: answer.filters.response.clone(),
        mirrors: Vec::new(),
        action: answer.action.clone(),
        request_timeout: answer.request_timeout,
        backend_timeout: answer.backend_timeout,
        policy: Arc::clone(&policy),
    };
    (matches.into_iter().map(rule).collect(), refusal)
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

fn compile_answer(at: &str, spec: &HttpRouteRule, matches: &[Match], resolved: &[Resolved]) -> Result<Answer, Refusal> {
    let mut filters = filters::compile(&format!("{at}.filters"), &spec.filters)?;
    let mut backends = Vec::with_capacity(resolved.len());
    for (i, (reference, resolved)) in spec.backend_refs.iter().zip(resolved).enumerate() {
        let at = format!("{at}.backendRefs[{i}].filters");
        let filters = filters::compile(&at, &reference.filters)?;
        if filters.redirect.is_some() {
            return Err((reasons::UNSUPPORTED_VALUE, format!("{at}: RequestRedirect is not supported for a backend")));
        }
        check_prefix_replacement(&at, &filters, matches)?;
        backends.push(Backend {
            weight: u32::try_from(reference.weight).unwrap_or(0),
            cluster: resolved.as_ref().ok().cloned(),
            request_filters: filters.request,
            response_filters: filters.response,
            mirrors: Vec::new(),
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

fn check_prefix_replacement(at: &str, filters: &Filters, matches: &[Match]) -> Result<(), Refusal> {
    let all_prefixes = matches.iter().all(|m| matches!(m.path, PathMatch::Prefix(_)));
    if filters.replaces_prefix() && !all_prefixes {
        let message = format!("{at}: ReplacePrefixMatch needs matches with a path of type PathPrefix");
        return Err((reasons::UNSUPPORTED_VALUE, message));
    }
    Ok(())
}

/// The matches as far as we understand them, and what is wrong with the first of the others.
fn compile_matches(at: &str, spec: &HttpRouteRule) -> (Vec<Match>, Option<Refusal>) {
    let everything = [HttpRouteMatch::default()];
    let specs = if spec.matches.is_empty() { &everything[..] } else { &spec.matches[..] };
    let (mut matches, mut refusal) = (Vec::with_capacity(specs.len()), None);
    for (i, spec) in specs.iter().enumerate() {
        let mut wrong = Vec::new();
        matches.extend(compile_match(&format!("{at}.matches[{i}]"), spec, &mut wrong));
        let first = wrong.into_iter().next().map(|message| (reasons::UNSUPPORTED_VALUE, message));
        refusal = refusal.or(first);
    }
    (matches, refusal)
}

/// A match without the conditions that we do not understand: its rule is refused then, so that what would have met
/// them does not slip to a wider rule. None where that cannot be said even of the path.
fn compile_match(at: &str, spec: &HttpRouteMatch, wrong: &mut Vec<String>) -> Option<Match> {
    if let Some(method @ (HttpMethod::Connect | HttpMethod::Other(_))) = &spec.method {
        wrong.push(format!("{at}.method: {method} is not supported"));
    }
    let method = spec.method.as_ref().map(|m| m.as_str().into());
    let mut understood = |value: Result<ValueMatch, String>| value.map_err(|message| wrong.push(message)).ok();
    // Of equivalent names only the first counts.
    let mut names = HashSet::new();
    let mut headers = Vec::with_capacity(spec.headers.len());
    for header in &spec.headers {
        let name = header.name.to_ascii_lowercase();
        let value = understood(compile_value(&format!("{at}.headers: {name}"), &header.type_, &header.value));
        if names.insert(name.clone())
            && let Some(value) = value
        {
            headers.push((name.into(), value));
        }
    }
    let mut names = HashSet::new();
    let mut query = Vec::with_capacity(spec.query_params.len());
    for param in &spec.query_params {
        let at = format!("{at}.queryParams: {}", param.name);
        let value = understood(compile_value(&at, &param.type_, &param.value));
        if names.insert(&param.name)
            && let Some(value) = value
        {
            query.push((param.name.as_str().into(), value));
        }
    }
    let path = compile_path(at, &spec.path).map_err(|message| wrong.push(message)).ok()?;
    Some(Match { path, method, headers, query })
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

fn check_regex(at: &str, pattern: &str) -> Result<(), String> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(REGEX_SIZE_LIMIT).build();
    // By itself first: `a)|(b` is only an expression inside of the parentheses.
    let compiled = build(pattern).and_then(|_| build(&format!("^(?:{pattern})$")));
    compiled.map(drop).map_err(|error| {
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("{at}: {pattern:?} is not a regular expression that is supported: {last}")
    })
}
