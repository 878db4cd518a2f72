//! A map by hostname: exact, then the longest suffix, then the catch-all.

use std::collections::HashMap;
use std::sync::Arc;

use purlin_traffic::model::Hostname;

#[derive(Debug)]
pub(crate) struct HostMap<T> {
    exact: HashMap<Arc<str>, T>,
    /// Keys begin with a dot.
    suffix: HashMap<Arc<str>, T>,
    any: Option<T>,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), suffix: HashMap::new(), any: None }
    }
}

impl<T> HostMap<T> {
    /// Adds an entry; the first one of a hostname stays. False when it was there already.
    pub(crate) fn add(&mut self, hostname: Option<&Hostname>, value: T) -> bool {
        let (map, key) = match hostname {
            None => {
                let vacant = self.any.is_none();
                self.any.get_or_insert(value);
                return vacant;
            }
            Some(Hostname::Exact(name)) => (&mut self.exact, name),
            Some(Hostname::Suffix(name)) => (&mut self.suffix, name),
        };
        let vacant = !map.contains_key(key);
        map.entry(Arc::clone(key)).or_insert(value);
        vacant
    }

    /// The entries for a host in lower case, the most specific first.
    pub(crate) fn all<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a T> {
        // Hosts are bounded in length, so are their dots.
        let dots = host.match_indices('.').map(|(at, _)| at).filter(|at| *at > 0);
        let dots = dots.take(if self.suffix.is_empty() { 0 } else { usize::MAX });
        let suffixes = dots.filter_map(move |at| self.suffix.get(host.get(at..)?));
        self.exact.get(host).into_iter().chain(suffixes).chain(&self.any)
    }

    /// The most specific entry for a host in lower case.
    pub(crate) fn find<'a>(&'a self, host: &'a str) -> Option<&'a T> {
        self.all(host).next()
    }

    /// The catch-all.
    pub(crate) fn any(&self) -> Option<&T> {
        self.any.as_ref()
    }
}
