//! Hostnames of listeners and routes: how two of them intersect, and which is the more specific.
//!
//! A wildcard stands for one or more labels: `*.example.com` covers `a.example.com` and `a.b.example.com`, not
//! `example.com`.

use std::cmp::Reverse;

use crate::model::Hostname;

impl Hostname {
    /// Reads `foo.example.com` or `*.example.com`.
    pub fn parse(text: &str) -> Hostname {
        let text = text.to_ascii_lowercase();
        match text.strip_prefix('*') {
            Some(suffix) => Hostname::Suffix(suffix.into()),
            None => Hostname::Exact(text.into()),
        }
    }

    /// Whether every host that `other` stands for is one that `self` stands for.
    pub(crate) fn covers(&self, other: &Hostname) -> bool {
        match (self, other) {
            (Hostname::Exact(a), Hostname::Exact(b)) => a == b,
            (Hostname::Exact(_), Hostname::Suffix(_)) => false,
            (Hostname::Suffix(a), Hostname::Exact(b)) => b.len() > a.len() && b.ends_with(&**a),
            (Hostname::Suffix(a), Hostname::Suffix(b)) => b.ends_with(&**a),
        }
    }
}

/// The hosts that both stand for; None when there are none. Hostnames are nested or disjoint, so it is one of the two.
pub(crate) fn intersect<'a>(a: &'a Hostname, b: &'a Hostname) -> Option<&'a Hostname> {
    if a.covers(b) {
        Some(b)
    } else if b.covers(a) {
        Some(a)
    } else {
        None
    }
}

/// Sorts the most specific first: exact names, then wildcards with the longest first, then "any host".
pub(crate) fn specificity(hostname: Option<&Hostname>) -> (u8, Reverse<usize>, &str) {
    match hostname {
        Some(Hostname::Exact(name)) => (0, Reverse(name.len()), name),
        Some(Hostname::Suffix(suffix)) => (1, Reverse(suffix.len()), suffix),
        None => (2, Reverse(0), ""),
    }
}

/// The part of [`specificity`] that tells apart hostnames which stand for the same host.
pub(crate) fn rank(hostname: Option<&Hostname>) -> (u8, Reverse<usize>) {
    let (kind, length, _) = specificity(hostname);
    (kind, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listener: &str, route: &str, expected: Option<&str>) {
        let (listener, route) = (Hostname::parse(listener), Hostname::parse(route));
        let expected = expected.map(Hostname::parse);
        assert_eq!(intersect(&listener, &route), expected.as_ref());
        assert_eq!(intersect(&route, &listener), expected.as_ref());
    }

    #[test]
    fn hostnames_intersect_as_the_specification_says() {
        check("test.example.com", "test.example.com", Some("test.example.com"));
        check("test.example.com", "TEST.example.com", Some("test.example.com"));
        check("test.example.com", "*.example.com", Some("test.example.com"));
        check("*.example.com", "test.example.com", Some("test.example.com"));
        check("*.example.com", "foo.test.example.com", Some("foo.test.example.com"));
        check("*.example.com", "*.example.com", Some("*.example.com"));
        check("*.example.com", "*.test.example.com", Some("*.test.example.com"));
        check("*.example.com", "example.com", None);
        check("*.example.com", "test.example.net", None);
        check("*.example.com", "badexample.com", None);
        check("*.test.example.com", "*.other.example.com", None);
        check("test.example.com", "test.example.net", None);
        check("a.example.com", "*.a.example.com", None);
    }

    #[test]
    fn the_most_specific_comes_first() {
        let names = ["a.b", "long.example.com", "*.example.com", "*.com"].map(Hostname::parse);
        let mut sorted: Vec<_> = [Some(&names[3]), None, Some(&names[0]), Some(&names[2]), Some(&names[1])].into();
        sorted.sort_by_key(|h| specificity(*h));
        assert_eq!(sorted, [Some(&names[1]), Some(&names[0]), Some(&names[2]), Some(&names[3]), None]);
    }
}
