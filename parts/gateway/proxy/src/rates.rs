//! Rate limits: which bucket a request takes from, and what the client is told.
//!
//! Counters belong to the process, not to a worker or a snapshot: they are found again by the limit's name, so that a
//! changed route, or a changed quota, begins no new count. A request of several limits takes from all or from none.
//! Clients are told by `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers) and, with 429, by
//! `Retry-After`.
//!
//! A global limit is counted in this process as well: without a store that proxies share, it is the store of its host.
//!
//! A limit with keys counts each combination of their values apart. What a request does not have counts as a value of its
//! own; of an IPv6 address the network (/64) counts, since a client has all the addresses of one.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::header::{COOKIE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use purlin_gateway_policy::{Decision, Quota, Table, Ticks, ticks};
use purlin_telemetry::metrics::{Counter, counter_while_held};
use purlin_traffic::model::{HashKey, RateLimit};
use tokio::time::Instant;

use crate::answer::{Failure, failure};
use crate::snapshot::parameter;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

impl Failure {
    pub(crate) const RATE_LIMITED: Self =
        failure(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "too many requests: try again later");
}

/// The counters of a limit.
#[derive(Debug)]
pub(crate) struct Counters {
    start: Instant,
    /// So that nobody can choose keys that meet in one place.
    secret: RandomState,
    buckets: Buckets,
    admitted: Counter,
    denied: Counter,
}

#[derive(Debug)]
enum Buckets {
    One(AtomicU64),
    ByKey(Table),
}

/// All counters there are, by the limit's name: what a snapshot leaves to the next one.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    before: HashMap<Arc<str>, Arc<Counters>>,
    now: HashMap<Arc<str>, Arc<Counters>>,
}

impl Registry {
    /// For the next snapshot: what it does not ask for is forgotten by the one after it.
    pub(crate) fn turn(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    fn counters(&mut self, limit: &RateLimit) -> Arc<Counters> {
        let by_key = !limit.keys.is_empty();
        let fits = |counters: &&Arc<Counters>| matches!(counters.buckets, Buckets::ByKey(_)) == by_key;
        let found = self.now.get(&limit.name).or_else(|| self.before.get(&limit.name)).filter(fits).cloned();
        let counters = found.unwrap_or_else(|| Arc::new(Counters::new(&limit.name, by_key)));
        self.now.insert(Arc::clone(&limit.name), Arc::clone(&counters));
        counters
    }
}

impl Counters {
    fn new(name: &str, by_key: bool) -> Self {
        let counted = |outcome| {
            let help = "Requests that a rate limit looked at, by limit and outcome.";
            counter_while_held(
                "purlin_gateway_rate_limit_requests_total",
                help,
                &[("limit", name), ("outcome", outcome)],
            )
        };
        let buckets = if by_key { Buckets::ByKey(Table::default()) } else { Buckets::One(AtomicU64::new(0)) };
        let secret = RandomState::new();
        Self { start: Instant::now(), secret, buckets, admitted: counted("admitted"), denied: counted("denied") }
    }

    fn bucket(&self, key: impl FnOnce(&RandomState) -> u64, now: Ticks) -> &AtomicU64 {
        match &self.buckets {
            Buckets::One(bucket) => bucket,
            Buckets::ByKey(table) => table.bucket(key(&self.secret), now),
        }
    }
}

/// The rate limits of a rule.
#[derive(Debug)]
pub(crate) struct Rates {
    limits: Vec<Limit>,
    /// `RateLimit-Policy`.
    told: HeaderValue,
}

#[derive(Debug)]
struct Limit {
    /// As clients are told.
    name: Box<str>,
    /// None: nothing may be asked.
    quota: Option<Quota>,
    window: Duration,
    keys: Vec<HashKey>,
    counters: Arc<Counters>,
}

/// What a client is told of its limits.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    policy: &'a HeaderValue,
    limit: &'a str,
    remaining: u32,
    reset: Duration,
    retry: bool,
}

impl Rates {
    /// None without a limit.
    pub(crate) fn compile(limits: &[Arc<RateLimit>], registry: &mut Registry) -> Result<Option<Self>, String> {
        let limits = limits.iter().map(|limit| Limit::compile(limit, registry)).collect::<Result<Vec<_>, _>>()?;
        let words = limits.iter().map(|limit| {
            let requests = limit.quota.map_or(0, |quota| quota.in_window(limit.window));
            format!("\"{}\";q={requests};w={}", limit.name, limit.window.as_secs().max(1))
        });
        let told = HeaderValue::try_from(words.collect::<Vec<_>>().join(", "));
        let told = told.map_err(|_| "too many rate limits".to_owned())?;
        Ok((!limits.is_empty()).then_some(Self { limits, told }))
    }

    /// Whether a request may go on; also what its client is told: of the limit that it was refused by, else of that which
    /// is nearest.
    pub(crate) fn admit(&self, head: &Parts, client: IpAddr) -> (bool, Told<'_>) {
        let mut nearest =
            Told { policy: &self.told, limit: "", remaining: u32::MAX, reset: Duration::ZERO, retry: false };
        let mut taken = Vec::new();
        for limit in &self.limits {
            let now = ticks(limit.counters.start.elapsed());
            let bucket = limit.counters.bucket(|secret| limit.key(secret, head, client), now);
            let decision =
                limit.quota.map_or(Decision::Denied { retry: limit.window }, |quota| quota.admit(bucket, now));
            match decision {
                Decision::Admitted { remaining, reset } => {
                    limit.counters.admitted.inc();
                    taken.extend(limit.quota.map(|quota| (quota, bucket)));
                    if remaining < nearest.remaining {
                        nearest = Told { limit: &limit.name, remaining, reset, ..nearest };
                    }
                }
                Decision::Denied { retry } => {
                    limit.counters.denied.inc();
                    taken.iter().for_each(|(quota, bucket)| quota.give_back(bucket));
                    return (false, Told { limit: &limit.name, remaining: 0, reset: retry, retry: true, ..nearest });
                }
            }
        }
        (true, nearest)
    }
}

impl Limit {
    fn compile(limit: &RateLimit, registry: &mut Registry) -> Result<Self, String> {
        if limit.keys.iter().any(|key| matches!(key, HashKey::Claim(_))) {
            return Err(format!("rate limit {}: keys from claims are not built", limit.name));
        }
        let name = limit.name.rsplit('/').next().unwrap_or_default();
        let plain = |c: &char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
        Ok(Self {
            name: name.chars().filter(plain).collect(),
            quota: Quota::new(limit.requests, limit.window, limit.burst),
            window: limit.window,
            keys: limit.keys.clone(),
            counters: registry.counters(limit),
        })
    }

    fn key(&self, secret: &RandomState, head: &Parts, client: IpAddr) -> u64 {
        let mut hasher = secret.build_hasher();
        for key in &self.keys {
            match key {
                HashKey::ClientAddress => match client.to_canonical() {
                    IpAddr::V4(at) => at.hash(&mut hasher),
                    IpAddr::V6(at) => (at.to_bits() >> 64).hash(&mut hasher),
                },
                HashKey::Header(name) => head.headers.get(&**name).map(HeaderValue::as_bytes).hash(&mut hasher),
                HashKey::Cookie(name, _) => cookie(&head.headers, name).hash(&mut hasher),
                HashKey::Query(name) => parameter(head.uri.query(), name).hash(&mut hasher),
                // Refused when it was compiled.
                HashKey::Claim(_) => {}
            }
        }
        hasher.finish()
    }
}

/// The first value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let crumbs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|b| *b == b';'));
    crumbs.map(<[u8]>::trim_ascii).find_map(|crumb| crumb.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

impl Told<'_> {
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        let seconds = self.reset.as_secs() + u64::from(self.reset.subsec_nanos() > 0);
        headers.insert(RATE_LIMIT_POLICY, self.policy.clone());
        if let Ok(value) = HeaderValue::try_from(format!("\"{}\";r={};t={seconds}", self.limit, self.remaining)) {
            headers.insert(RATE_LIMIT, value);
        }
        if self.retry {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use purlin_traffic::model::RateScope;

    use super::*;

    fn limit(name: &str, requests: u32, keys: &[HashKey]) -> Arc<RateLimit> {
        let window = Duration::from_secs(3600);
        let (keys, scope) = (keys.to_vec(), RateScope::Local);
        Arc::new(RateLimit { name: format!("ns/policy/{name}").into(), scope, requests, window, burst: requests, keys })
    }

    fn rates(limits: &[Arc<RateLimit>], registry: &mut Registry) -> Rates {
        registry.turn();
        Rates::compile(limits, registry).unwrap().unwrap()
    }

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(Request::get(uri), |request, (n, v)| request.header(*n, *v));
        request.body(()).unwrap().into_parts().0
    }

    /// Of each two requests, whether they count together.
    #[track_caller]
    fn check(key: HashKey, one: (&Parts, &str), other: (&Parts, &str), together: bool) {
        let rates = rates(&[limit("r", 1, &[key])], &mut Registry::default());
        let admit = |(head, client): (&Parts, &str)| rates.admit(head, client.parse().unwrap()).0;
        assert!(admit(one));
        assert_eq!(admit(other), !together);
    }

    #[test]
    fn keys() {
        let plain = head("/", &[]);
        let address = HashKey::ClientAddress;
        check(address.clone(), (&plain, "10.0.0.1"), (&plain, "::ffff:10.0.0.1"), true);
        check(address.clone(), (&plain, "10.0.0.1"), (&plain, "10.0.0.2"), false);
        check(address.clone(), (&plain, "fd00::1"), (&plain, "fd00::2"), true);
        check(address, (&plain, "fd00::1"), (&plain, "fd00:0:0:1::1"), false);
        let any = "10.0.0.1";
        let header = HashKey::Header("x-key".into());
        let of = |value| head("/", &[("x-key", value)]);
        check(header.clone(), (&of("a"), any), (&of("b"), any), false);
        check(header.clone(), (&of("a"), any), (&of("a"), "10.0.0.2"), true);
        check(header.clone(), (&of(""), any), (&plain, any), false);
        check(header, (&plain, any), (&plain, any), true);
        let cookie = HashKey::Cookie("id".into(), Duration::ZERO);
        let of = |value| head("/", &[("cookie", "a=1; xid=9"), ("cookie", value)]);
        check(cookie.clone(), (&of("b=2;id=3"), any), (&of("id=3"), any), true);
        check(cookie, (&of("id=4"), any), (&of("id=3"), any), false);
        check(HashKey::Query("q".into()), (&head("/?q=1", &[]), any), (&head("/?a&q=1", &[]), any), true);
        check(HashKey::Query("q".into()), (&head("/?q=1", &[]), any), (&head("/?q=2", &[]), any), false);
    }

    #[test]
    fn all_limits_or_none() {
        let mut registry = Registry::default();
        let both = rates(&[limit("wide", 3, &[]), limit("narrow", 1, &[HashKey::ClientAddress])], &mut registry);
        let (plain, client) = (head("/", &[]), "10.0.0.1".parse().unwrap());
        assert!(both.admit(&plain, client).0);
        for _ in 0..5 {
            let (admitted, told) = both.admit(&plain, client);
            assert!(!admitted);
            let mut headers = HeaderMap::new();
            told.put(&mut headers);
            assert_eq!(headers["retry-after"], "3600");
            assert_eq!(headers["ratelimit"], "\"narrow\";r=0;t=3600");
            assert_eq!(headers["ratelimit-policy"], "\"wide\";q=3;w=3600, \"narrow\";q=1;w=3600");
        }
        // What was denied by the second took nothing from the first; the next snapshot goes on counting.
        let wide = rates(&[limit("wide", 3, &[])], &mut registry);
        assert_eq!([(); 3].map(|()| wide.admit(&plain, client).0), [true, true, false]);
        let none = rates(&[limit("none", 0, &[])], &mut registry);
        assert!(!none.admit(&plain, client).0);
    }

    #[test]
    fn claims_are_refused() {
        let claim = HashKey::Claim(purlin_traffic::model::ClaimPath(["sub".into()].into()));
        let refused = Rates::compile(&[limit("r", 1, &[claim])], &mut Registry::default());
        assert!(refused.unwrap_err().contains("ns/policy/r"));
    }
}
