//! The rules of one host: found by path, then checked in full.
//!
//! Rules come in order of precedence. They are indexed by exact path and by prefix, each list in that order; what
//! cannot be indexed (regular expressions) is in a list of its own. The first match of each list that the path leads
//! to is a candidate, the earliest candidate wins: so 1,000 routes cost a few look-ups.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, Method};
use purlin_traffic::model::{PathMatch, Redirect};
use regex::Regex;

use super::{Cluster, RuleId};
use crate::filters::{Change, Filter};
use crate::metrics::RouteMetrics;
use crate::mirror::Mirror;
use crate::policy::Plan;

/// A rule, ready to use.
#[derive(Debug)]
pub(crate) struct Rule {
    /// `namespace/name/index` of the route's rule.
    pub(crate) label: Arc<str>,
    pub(crate) path: PathTest,
    pub(crate) method: Option<Method>,
    pub(crate) headers: Vec<(HeaderName, Test)>,
    pub(crate) query: Vec<(Arc<str>, Test)>,
    pub(crate) request_filters: Vec<Filter>,
    pub(crate) response_filters: Vec<Change>,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) act: Act,
    /// None: no limit.
    pub(crate) request_timeout: Option<Duration>,
    /// `Some(None)`: no limit; None: the platform's default.
    pub(crate) backend_timeout: Option<Option<Duration>>,
    /// None: no policy asks for anything.
    pub(crate) policy: Option<Box<Plan>>,
    pub(crate) metrics: Arc<RouteMetrics>,
}

#[derive(Debug)]
pub(crate) enum PathTest {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    Regex(Regex),
    /// The rule's match did not compile: it takes no request.
    Never,
}

/// Equality or a regular expression over the whole value.
#[derive(Debug)]
pub(crate) enum Test {
    Exact(Arc<str>),
    Regex(Regex),
    /// Did not compile: holds never.
    Never,
}

/// What a rule does.
#[derive(Debug)]
pub(crate) enum Act {
    /// One of these, by weight; the sum of all weights.
    Forward(Vec<Share>, u64),
    Redirect(Redirect),
    /// The rule did not compile: 500.
    Broken,
}

/// A backend and its part of the requests.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) weight: u32,
    /// None: 500.
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) request_filters: Vec<Filter>,
    pub(crate) response_filters: Vec<Change>,
    pub(crate) mirrors: Vec<Mirror>,
}

impl Rule {
    pub(crate) fn shares(&self) -> &[Share] {
        match &self.act {
            Act::Forward(shares, _) => shares,
            Act::Redirect(_) | Act::Broken => &[],
        }
    }

    /// All that its requests may be sent to, copies included.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = &Cluster> {
        let mirrors = self.mirrors.iter().chain(self.shares().iter().flat_map(|share| &share.mirrors));
        let copies = mirrors.map(|mirror| &*mirror.cluster);
        self.shares().iter().filter_map(|share| share.cluster.as_deref()).chain(copies)
    }

    /// The prefix that matched, for rewrites.
    pub(crate) fn prefix(&self) -> &str {
        match &self.path {
            PathTest::Prefix(prefix) => prefix,
            PathTest::Exact(path) => path,
            PathTest::Regex(_) | PathTest::Never => "",
        }
    }

    /// All but the path.
    fn holds(&self, head: &Parts, query: Option<&str>) -> bool {
        self.method.as_ref().is_none_or(|method| *method == head.method)
            && self.headers.iter().all(|(name, test)| header(head, name).is_some_and(|value| test.holds(&value)))
            && self.query.iter().all(|(name, test)| parameter(query, name).is_some_and(|value| test.holds(&value)))
    }
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Exact(expected) => **expected == *value,
            Self::Regex(regex) => regex.is_match(value),
            Self::Never => false,
        }
    }
}

/// The value of a header; one that stands on several lines is their list (RFC 9110, section 5.3).
fn header<'a>(head: &'a Parts, name: &HeaderName) -> Option<std::borrow::Cow<'a, str>> {
    let mut lines = head.headers.get_all(name).iter().map(|line| str::from_utf8(line.as_bytes()));
    let first = lines.next()?.ok()?;
    let mut rest = lines.peekable();
    if rest.peek().is_none() {
        return Some(first.into());
    }
    let mut list = first.to_owned();
    for line in rest {
        list.push(',');
        list.push_str(line.ok()?);
    }
    Some(list.into())
}

/// The first value of a query parameter, decoded.
pub(crate) fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<std::borrow::Cow<'a, str>> {
    let decode = |text: &'a str| {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8().ok()?;
        Some(if text.contains('+') { decode_form(text)?.into() } else { decoded })
    };
    let pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.into_iter().find(|(key, _)| decode(key).is_some_and(|key| key == name))?;
    decode(value)
}

/// As a form is decoded: a plus is a space.
fn decode_form(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(|s| s.into_owned())
}

/// The rules of one host, indexed.
#[derive(Debug, Default)]
pub(crate) struct HostRules {
    exact: HashMap<Arc<str>, Vec<RuleId>>,
    prefix: HashMap<Arc<str>, Vec<RuleId>>,
    /// Slashes of the longest prefix: longer starts of a path need no look-up.
    deepest: usize,
    regex: Vec<RuleId>,
}

impl HostRules {
    /// Adds a rule behind those added before.
    pub(crate) fn add(&mut self, path: &PathMatch, id: RuleId) {
        match path {
            PathMatch::Exact(path) => self.exact.entry(Arc::clone(path)).or_default().push(id),
            PathMatch::Prefix(prefix) => {
                self.deepest = self.deepest.max(prefix.matches('/').count());
                self.prefix.entry(Arc::clone(prefix)).or_default().push(id);
            }
            PathMatch::Regex(_) => self.regex.push(id),
        }
    }

    /// The rule that serves a request. Ids rise in order of precedence.
    pub(crate) fn find(&self, rules: &[Rule], head: &Parts, path: &str, query: Option<&str>) -> Option<RuleId> {
        let mut best: Option<RuleId> = None;
        let mut consider = |list: &[RuleId]| {
            let first = list.iter().take_while(|id| best.is_none_or(|best| **id < best)).find(|id| {
                rules.get(**id as usize).is_some_and(|rule| {
                    let on_path = match &rule.path {
                        PathTest::Regex(regex) => regex.is_match(path),
                        PathTest::Exact(_) | PathTest::Prefix(_) => true,
                        PathTest::Never => false,
                    };
                    on_path && rule.holds(head, query)
                })
            });
            best = first.copied().or(best);
        };
        if let Some(list) = self.exact.get(path) {
            consider(list);
        }
        if !self.prefix.is_empty() && path.starts_with('/') {
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            for end in ends.take(self.deepest + 1) {
                if let Some(list) = path.get(..end).and_then(|start| self.prefix.get(start)) {
                    consider(list);
                }
            }
        }
        consider(&self.regex);
        best
    }
}
