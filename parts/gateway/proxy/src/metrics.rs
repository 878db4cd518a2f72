//! Metric handles of the data plane, registered once and touched without a lock.

use std::sync::Arc;
use std::time::Duration;

use purlin_telemetry::metrics::{Counter, Gauge, Histogram, counter, counter_while_held, gauge, histogram_while_held};
use purlin_traffic::model::RouteName;

/// What is counted for the whole process.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
    malformed: [Counter; Malformed::LABELS.len()],
    pub(crate) accept_errors: Counter,
    pub(crate) connect_errors: Counter,
    pub(crate) pool_new: Counter,
    pub(crate) pool_reused: Counter,
    pub(crate) log_dropped: Counter,
    pub(crate) applies: Counter,
    pub(crate) policies: PolicyMetrics,
    /// Requests that no rule matched, or that were refused.
    pub(crate) unrouted: Arc<RouteMetrics>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let pool = |origin| {
            let help = "Upstream connections taken for a request, by where they came from.";
            counter("purlin_gateway_upstream_connections_total", help, &[("origin", origin)])
        };
        Self {
            connections: gauge("purlin_gateway_connections", "Downstream connections now open.", &[]),
            connections_refused: counter(
                "purlin_gateway_connections_refused_total",
                "Connections closed at once because their listener's settings allow no more.",
                &[],
            ),
            malformed: Malformed::LABELS.map(|reason| {
                let help = "Requests refused, and connections ended, for what came or did not come in time, by reason.";
                counter("purlin_gateway_malformed_requests_total", help, &[("reason", reason)])
            }),
            accept_errors: counter(
                "purlin_gateway_accept_errors_total",
                "Attempts to accept a connection that failed, as when descriptors run out.",
                &[],
            ),
            connect_errors: counter(
                "purlin_gateway_upstream_connect_errors_total",
                "Endpoints that could not be connected to.",
                &[],
            ),
            pool_new: pool("new"),
            pool_reused: pool("pool"),
            log_dropped: counter(
                "purlin_gateway_access_log_dropped_total",
                "Access log lines dropped because the writer was behind.",
                &[],
            ),
            applies: counter("purlin_gateway_snapshots_total", "Configurations applied.", &[]),
            policies: PolicyMetrics::new(),
            unrouted: Arc::new(RouteMetrics::new(None)),
        }
    }
}

/// What policies did to requests.
#[derive(Clone, Debug)]
pub(crate) struct PolicyMetrics {
    pub(crate) preflights: Counter,
    pub(crate) preflights_refused: Counter,
    pub(crate) too_large: Counter,
    pub(crate) faults_delayed: Counter,
    pub(crate) faults_aborted: Counter,
    pub(crate) slow: Counter,
    pub(crate) mirrors_answered: Counter,
    pub(crate) mirrors_failed: Counter,
    pub(crate) mirrors_dropped: Counter,
}

impl PolicyMetrics {
    fn new() -> Self {
        let preflight = |outcome| {
            let help = "CORS preflights answered, by outcome.";
            counter("purlin_gateway_cors_preflights_total", help, &[("outcome", outcome)])
        };
        let fault = |kind| {
            let help = "Requests that a policy delayed or aborted on purpose, by kind.";
            counter("purlin_gateway_faults_total", help, &[("kind", kind)])
        };
        let mirror = |outcome| {
            let help = "Copies of requests for mirrors, by outcome; dropped ones were never sent.";
            counter("purlin_gateway_mirrored_requests_total", help, &[("outcome", outcome)])
        };
        let help = "Requests refused because they were larger than their route's policy allows.";
        Self {
            preflights: preflight("allowed"),
            preflights_refused: preflight("refused"),
            too_large: counter("purlin_gateway_too_large_requests_total", help, &[]),
            faults_delayed: fault("delay"),
            faults_aborted: fault("abort"),
            slow: counter(
                "purlin_gateway_slow_requests_total",
                "Requests that took longer than their listener's settings say.",
                &[],
            ),
            mirrors_answered: mirror("answered"),
            mirrors_failed: mirror("failed"),
            mirrors_dropped: mirror("dropped"),
        }
    }
}

impl Metrics {
    /// Counts a request that was refused, or a connection that was ended, through the client's fault.
    pub(crate) fn malformed(&self, reason: Malformed) {
        if let Some(counter) = self.malformed.get(reason as usize) {
            counter.inc();
        }
    }
}

/// What was wrong with what a client sent. The order is that of [`Malformed::LABELS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// No TLS.
    Handshake,
    /// A handshake, a first byte or a head that took too long.
    Late,
    /// Refused by hyper: not HTTP/1.1, not allowed in HTTP/2, or too much of it.
    Syntax,
    /// Requests that a client left before their answer, again and again.
    Resets,
    /// A method that is not served.
    Method,
    /// Content-Length and Transfer-Encoding.
    Framing,
    /// A header's value.
    Header,
    Host,
    /// The request target, its path included.
    Target,
    Expectation,
    Body,
}

impl Malformed {
    const LABELS: [&str; 11] = [
        "handshake",
        "late",
        "syntax",
        "resets",
        "method",
        "framing",
        "header",
        "host",
        "target",
        "expectation",
        "body",
    ];
}

/// What is counted for a route. Its series are in `/metrics` for as long as this is held: by the snapshot that is served,
/// and by older ones that requests still use.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    by_class: [Counter; 5],
    took: Histogram,
}

impl RouteMetrics {
    /// None is for the requests that no route took; their series have empty labels.
    pub(crate) fn new(route: Option<&RouteName>) -> Self {
        let kind = route.map_or("", |route| route.kind.name());
        let route = &route.map(|route| route.object.to_string()).unwrap_or_default();
        let class = |class| {
            let help = "Requests answered, by route and class of status.";
            counter_while_held(
                "purlin_gateway_requests_total",
                help,
                &[("kind", kind), ("route", route), ("class", class)],
            )
        };
        Self {
            by_class: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
            took: histogram_while_held(
                "purlin_gateway_request_seconds",
                "From a request's head to the last byte of its response, by route.",
                &[("kind", kind), ("route", route)],
            ),
        }
    }

    pub(crate) fn record(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        if let Some(counter) = self.by_class.get(class) {
            counter.inc();
        }
        // A tunnel lasts as long as its users like: that is no latency.
        if status != 101 {
            self.took.record(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_their_labels() {
        assert_eq!(Malformed::LABELS[Malformed::Handshake as usize], "handshake");
        assert_eq!(Malformed::LABELS[Malformed::Host as usize], "host");
        assert_eq!(Malformed::LABELS[Malformed::Body as usize], "body");
        assert_eq!(Malformed::LABELS.len(), Malformed::Body as usize + 1);
    }
}
