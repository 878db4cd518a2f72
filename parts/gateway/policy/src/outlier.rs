//! Outlier ejection: endpoints that fail requests, or are much slower than the others, are left out for a while
//! ([`Outliers`]; after Envoy's outlier detection).
//!
//! Failures in a row are counted with each answer and eject at once. Latency is judged once an interval, from the mean of
//! each endpoint that has had enough requests against the median of them. An endpoint comes back when its time is over,
//! and is left out longer each time; each interval that it behaves forgives one.
//! Never are all of a cluster's endpoints left out this way, nor more than `max_percent`, but one may be if there are
//! others.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use purlin_traffic::model::Outliers;

use crate::{Candidate, EndpointState, Micros, Out};

/// Answers of an interval, below which an endpoint's latency is not judged.
const ENOUGH: u32 = 5;

/// What is remembered of an endpoint's failures, and of its latency in this interval.
#[derive(Debug, Default)]
pub struct OutlierState {
    errors: AtomicU32,
    gateway_errors: AtomicU32,
    /// How often it was left out, less the intervals that it behaved.
    times: AtomicU32,
    until: AtomicU64,
    latency_sum: AtomicU64,
    latency_count: AtomicU32,
}

/// How a request to an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer that is no 5xx.
    Good,
    /// With an error of the application: a 5xx.
    Error,
    /// With 502, 503, 504, or without an answer.
    GatewayError,
}

impl Outcome {
    /// What a status says.
    pub fn of_status(status: u16) -> Self {
        match status {
            502..=504 => Self::GatewayError,
            500.. => Self::Error,
            _ => Self::Good,
        }
    }

    /// What a gRPC status says that came in the head, without a body.
    pub fn of_grpc(status: u32) -> Self {
        match status {
            // DEADLINE_EXCEEDED, UNAVAILABLE.
            4 | 14 => Self::GatewayError,
            // UNKNOWN, INTERNAL, DATA_LOSS.
            2 | 13 | 15 => Self::Error,
            _ => Self::Good,
        }
    }
}

impl OutlierState {
    /// Counts how a request ended; true where there were too many failures in a row.
    pub fn ended(&self, settings: &Outliers, outcome: Outcome) -> bool {
        let reset = |count: &AtomicU32| {
            // Almost always it is zero: a load does not take the line from other workers.
            if count.load(Ordering::Relaxed) != 0 {
                count.store(0, Ordering::Relaxed);
            }
        };
        let reached = |count: &AtomicU32, limit: Option<u32>| {
            let now = count.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            limit.is_some_and(|limit| now >= limit.max(1))
        };
        match outcome {
            Outcome::Good => {
                reset(&self.errors);
                reset(&self.gateway_errors);
                false
            }
            Outcome::Error => {
                reset(&self.gateway_errors);
                reached(&self.errors, settings.consecutive_errors)
            }
            Outcome::GatewayError => {
                let gateway = reached(&self.gateway_errors, settings.consecutive_gateway_errors);
                reached(&self.errors, settings.consecutive_errors) || gateway
            }
        }
    }

    /// An answer's head took this long.
    pub fn took(&self, took: Duration) {
        self.latency_sum.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX / 2), Ordering::Relaxed);
        self.latency_count.fetch_add(1, Ordering::Relaxed);
    }

    fn forget_failures(&self) {
        self.errors.store(0, Ordering::Relaxed);
        self.gateway_errors.store(0, Ordering::Relaxed);
    }

    /// The mean latency of the interval that ends now, where there was enough of it.
    fn mean(&self) -> Option<f64> {
        let (sum, count) = (self.latency_sum.swap(0, Ordering::Relaxed), self.latency_count.swap(0, Ordering::Relaxed));
        (count >= ENOUGH).then(|| sum as f64 / f64::from(count))
    }
}

/// Leaves an endpoint out, unless too many are; says for how long.
pub fn eject(all: &[impl Candidate], endpoint: &EndpointState, settings: &Outliers, now: Micros) -> Option<Duration> {
    let out = all.iter().filter(|other| other.state().is(Out::Ejected)).count();
    let percent = all.len().saturating_mul(settings.max_percent.min(100) as usize) / 100;
    // Two workers may pass this at once; the second look below takes one of them back.
    let most = percent.max(1).min(all.len().saturating_sub(1));
    if out >= most || !endpoint.leave_out(Out::Ejected) {
        return None;
    }
    if all.iter().filter(|other| other.state().is(Out::Ejected)).count() > most {
        endpoint.take_back(Out::Ejected, now);
        return None;
    }
    let times = endpoint.outlier.times.fetch_add(1, Ordering::Relaxed).saturating_add(1);
    let time = settings.base_ejection.saturating_mul(times).min(settings.max_ejection.max(settings.base_ejection));
    let until = now.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    endpoint.outlier.until.store(until, Ordering::Relaxed);
    Some(time)
}

/// What changed at the end of an interval, by index.
#[derive(Debug, Default, PartialEq)]
pub struct Review {
    /// Takes requests again.
    pub returned: Vec<usize>,
    /// Was so many times slower than the others, and is left out for so long.
    pub ejected: Vec<(usize, f64, Duration)>,
}

/// Ends an interval: takes back those whose time is over, and leaves out those that are too slow.
pub fn review(all: &[impl Candidate], settings: &Outliers, now: Micros) -> Review {
    let mut review = Review::default();
    let mut means = Vec::new();
    for (at, state) in all.iter().map(Candidate::state).enumerate() {
        let outlier = &state.outlier;
        let mean = outlier.mean();
        if state.is(Out::Ejected) {
            if outlier.until.load(Ordering::Relaxed) <= now {
                outlier.forget_failures();
                state.take_back(Out::Ejected, now);
                review.returned.push(at);
            }
            continue;
        }
        means.extend(mean.map(|mean| (at, mean)));
    }
    means.sort_by(|a, b| a.1.total_cmp(&b.1));
    // Of two the faster one is what is usual.
    let usual = means.len().checked_sub(1).and_then(|last| means.get(last / 2)).map(|(_, mean)| *mean);
    if let (Some(factor), Some(usual)) = (settings.slow_factor, usual.filter(|usual| *usual > 0.0)) {
        for (at, mean) in means.iter().rev().filter(|(_, mean)| *mean > usual * factor) {
            let Some(endpoint) = all.get(*at) else { continue };
            if let Some(time) = eject(all, endpoint.state(), settings, now) {
                review.ejected.push((*at, mean / usual, time));
            }
        }
    }
    let behaved =
        |at: usize| !review.ejected.iter().any(|(ejected, ..)| *ejected == at) && !review.returned.contains(&at);
    for state in all.iter().map(Candidate::state).enumerate().filter(|(at, _)| behaved(*at)).map(|(_, state)| state) {
        if !state.is(Out::Ejected) {
            let fewer = |times: u32| times.checked_sub(1);
            // At zero it stays.
            let _ = state.outlier.times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        }
    }
    review
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    fn settings() -> Outliers {
        Outliers {
            consecutive_errors: Some(5),
            consecutive_gateway_errors: Some(3),
            slow_factor: Some(4.0),
            interval: Duration::from_secs(1),
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(70),
            max_percent: 50,
        }
    }

    fn endpoints(n: usize) -> Vec<EndpointState> {
        (0..n).map(|n| EndpointState::new(&n.to_string(), 0)).collect()
    }

    /// How many of the outcomes it takes until the endpoint is to be left out.
    #[track_caller]
    fn check(outcomes: &[Outcome], expected: Option<usize>) {
        let (state, settings) = (OutlierState::default(), settings());
        let at = outcomes.iter().position(|outcome| state.ended(&settings, *outcome));
        assert_eq!(at.map(|at| at + 1), expected, "{outcomes:?}");
    }

    #[test]
    fn failures_in_a_row() {
        use Outcome::{Error, GatewayError, Good};
        check(&[Error; 9], Some(5));
        check(&[GatewayError; 9], Some(3));
        check(&[Error, Error, Error, Error, Good, Error], None);
        check(&[GatewayError, GatewayError, Error, GatewayError, GatewayError], Some(5));
        check(&[GatewayError, GatewayError, Good, GatewayError, GatewayError], None);
        check(&[Error, Error, GatewayError, Error, GatewayError], Some(5));
    }

    #[test]
    fn never_all_and_never_too_many() {
        for (n, percent, expected) in [(1, 100, 0), (2, 10, 1), (3, 100, 2), (4, 50, 2), (10, 30, 3), (10, 0, 1)] {
            let (all, settings) = (endpoints(n), Outliers { max_percent: percent, ..settings() });
            let out = all.iter().filter(|endpoint| eject(&all, endpoint, &settings, 0).is_some()).count();
            assert_eq!(out, expected, "{n} endpoints, {percent} %");
            assert_eq!(all.iter().filter(|e| !e.is_in()).count(), expected);
        }
    }

    #[test]
    fn longer_each_time_and_forgiven() {
        let (all, settings) = (endpoints(2), settings());
        let mut now = 0;
        for seconds in [30, 60, 70, 70] {
            assert_eq!(eject(&all, &all[0], &settings, now), Some(Duration::from_secs(seconds)));
            assert_eq!(eject(&all, &all[0], &settings, now), None, "it is out");
            now += (seconds - 1) * SECOND;
            assert!(review(&all, &settings, now).returned.is_empty());
            now += SECOND;
            assert_eq!(review(&all, &settings, now).returned, [0]);
        }
        for _ in 0..3 {
            review(&all, &settings, now);
        }
        assert_eq!(eject(&all, &all[0], &settings, now), Some(Duration::from_secs(60)));
    }

    #[test]
    fn slow_ones() {
        let (all, settings) = (endpoints(3), settings());
        let took =
            |at: usize, count: u32, ms: u64| (0..count).for_each(|_| all[at].outlier.took(Duration::from_millis(ms)));
        took(0, 10, 10);
        took(1, 10, 12);
        took(2, 4, 500);
        assert_eq!(review(&all, &settings, 0), Review::default(), "too few to judge");
        took(0, 10, 10);
        took(1, 10, 12);
        took(2, 5, 480);
        let ejected = review(&all, &settings, 0).ejected;
        assert_eq!(ejected, [(2, 40.0, Duration::from_secs(30))]);
        // The interval is over: nothing of it is left.
        assert_eq!(review(&all, &settings, SECOND), Review::default());
        let two = endpoints(2);
        (0..5).for_each(|_| two[0].outlier.took(Duration::from_millis(10)));
        (0..5).for_each(|_| two[1].outlier.took(Duration::from_millis(500)));
        assert_eq!(review(&two, &settings, 0).ejected.len(), 1);
    }
}
