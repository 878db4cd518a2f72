//! Which rule serves a request when several match: the order of Gateway API, decided here once.
//!
//! Among the rules of one host those come first whose route names it most precisely. Then, of an HTTPRoute, exact path,
//! then regular expression (Gateway API leaves its place open), then the longest prefix; then a method match, the most
//! header matches, the most query matches. Of a GRPCRoute, exact names before regular expressions, the longest service,
//! the longest method, the most header matches. Then the oldest route, the first by `namespace/name`, and the first match
//! in the route.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use crate::model::{Match, ObjectName, PathMatch, Rule};

/// A rule with what decides its place besides its match.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// How precisely the route names the host; less is more precise. The same for all hosts until it is attached.
    pub host: HostRank,
    /// How precisely the match names the request.
    pub rank: MatchRank,
    /// When the route was created.
    pub created: Option<Timestamp>,
    /// The place of the match in the route, counted over all rules.
    pub position: u32,
    pub rule: Arc<Rule>,
}

/// See [`crate::hostname::specificity`]: hostnames that match the same host differ in these two.
pub(crate) type HostRank = (u8, Reverse<usize>);

/// Less is earlier.
pub(crate) fn compare(a: &Candidate, b: &Candidate) -> Ordering {
    (a.host.cmp(&b.host))
        .then_with(|| a.rank.cmp(&b.rank))
        .then_with(|| a.created.cmp(&b.created))
        .then_with(|| compare_names(&a.rule.route.object, &b.rule.route.object))
        .then_with(|| a.position.cmp(&b.position))
}

/// How precisely a match names a request; less is more precise. Only ranks of one kind of route are compared: rules of
/// HTTPRoutes and of GRPCRoutes never meet on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MatchRank([Reverse<u32>; 5]);

impl MatchRank {
    /// Of an HTTPRoute: the kind of the path match, its length, a method, header and query matches.
    pub(crate) fn http(m: &Match) -> Self {
        let (kind, length) = match &m.path {
            PathMatch::Exact(path) => (2, path.len()),
            PathMatch::Regex(pattern) => (1, pattern.len()),
            PathMatch::Prefix(prefix) => (0, prefix.len()),
        };
        MatchRank(
            [kind, cut(length), u32::from(m.method.is_some()), cut(m.headers.len()), cut(m.query.len())].map(Reverse),
        )
    }

    /// Of a GRPCRoute: exact names (0) before regular expressions (1) before all calls (2), the lengths of service and
    /// method, header matches.
    pub(crate) fn grpc((kind, service, method): (u32, usize, usize), headers: usize) -> Self {
        MatchRank([u32::MAX - kind, cut(service), cut(method), cut(headers), 0].map(Reverse))
    }
}

fn cut(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Alphabetical by the text `namespace/name`, in which `/` sorts after `-` and `.`.
pub(crate) fn compare_names(a: &ObjectName, b: &ObjectName) -> Ordering {
    match a.namespace == b.namespace {
        true => a.name.cmp(&b.name),
        false => text(a).cmp(text(b)),
    }
}

fn text(name: &ObjectName) -> impl Iterator<Item = u8> + '_ {
    name.namespace.bytes().chain([b'/']).chain(name.name.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Action, RouteKind, RouteName, ValueMatch};

    /// `PATH [METHOD] [h=N] [q=N] [@SECOND] [in NAMESPACE/NAME] [#POSITION]`; a path is `=/exact`, `~regex` or a prefix.
    fn candidate(text: &str) -> Candidate {
        let mut words = text.split(' ');
        let path = words.next().unwrap();
        let values = |n: &str| (0..n.parse().unwrap()).map(|_| ("x".into(), ValueMatch::Exact("y".into()))).collect();
        let mut matches = Match {
            path: match path.split_at(1) {
                ("=", exact) => PathMatch::Exact(exact.into()),
                ("~", regex) => PathMatch::Regex(regex.into()),
                _ => PathMatch::Prefix(path.trim_end_matches('/').into()),
            },
            method: None,
            headers: vec![],
            query: vec![],
        };
        let (mut created, mut position) = (None, 0);
        let mut route = ObjectName { namespace: "default".into(), name: "route".into() };
        for word in words {
            match word.split_at(1) {
                ("h", n) => matches.headers = values(&n[1..]),
                ("q", n) => matches.query = values(&n[1..]),
                ("@", second) => created = Some(Timestamp::from_second(second.parse().unwrap()).unwrap()),
                ("#", n) => position = n.parse().unwrap(),
                _ if word.contains('/') => {
                    let (namespace, name) = word.split_once('/').unwrap();
                    route = ObjectName { namespace: namespace.into(), name: name.into() };
                }
                _ => matches.method = Some(word.into()),
            }
        }
        let rule = Rule {
            route: RouteName { kind: RouteKind::HttpRoute, object: route },
            index: 0,
            matches,
            request_filters: vec![],
            response_filters: vec![],
            mirrors: vec![],
            action: Action::Forward(vec![]),
            request_timeout: None,
            backend_timeout: None,
            policy: Arc::default(),
        };
        Candidate {
            host: (2, Reverse(0)),
            rank: MatchRank::http(&rule.matches),
            created,
            position,
            rule: Arc::new(rule),
        }
    }

    /// Each comes before the next.
    #[track_caller]
    fn check(order: &[&str]) {
        for (i, first) in order.iter().enumerate() {
            for second in &order[i + 1..] {
                assert_eq!(compare(&candidate(first), &candidate(second)), Ordering::Less, "{first} < {second}");
                assert_eq!(compare(&candidate(second), &candidate(first)), Ordering::Greater, "{second} > {first}");
            }
            assert_eq!(compare(&candidate(first), &candidate(first)), Ordering::Equal, "{first}");
        }
    }

    #[test]
    fn order_of_matches() {
        check(&["=/a @9", "~/a.* GET @8", "/long/prefix @7", "/a GET @6", "/a h=2 @5", "/a h=1 q=3 @4", "/a h=1 q=1"]);
        check(&["/a GET", "/a h=16 q=16", "/a q=16", "/a"]);
        check(&["/ab", "/a/ GET", "/ GET", "/"]);
    }

    #[test]
    fn order_of_routes() {
        check(&["/a @1 z/z", "/a @2 a/a", "/a @3 #0", "/a @3 #1"]);
        check(&["/a @1 a-b/c", "/a @1 a/a", "/a @1 a/b", "/a @1 ab/a"]);
    }
}
