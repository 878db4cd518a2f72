//! What the text and the page both say about a result, in the same words.
//!
//! Nothing here is escaped or cleaned: whoever shows it does that for its own medium.

use std::time::Duration;

use purlin_load_model::plan::{Pace, Plan, Protocol, Spacing, Stage};
use purlin_load_model::summary::{self, Summary};
use purlin_load_model::tally::{ErrorKind, StepTally};

use crate::format;

/// The percentiles that tables show.
pub(crate) const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// A share of iterations from which on something is worth a word; the confession uses the same.
const NOTABLE: f64 = 0.001;
/// A share of failures from which on a run is called bad.
const MANY: f64 = 0.01;
/// Stages that a line lists.
const STAGES: usize = 4;

/// How good a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    Good,
    Doubtful,
    Bad,
}

impl Grade {
    /// A sign that needs no colour.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Grade::Good => "✓",
            Grade::Doubtful => "!",
            Grade::Bad => "✗",
        }
    }
}

/// The result in one sentence or two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) grade: Grade,
    pub(crate) words: String,
}

/// The result in one sentence or two.
pub(crate) fn verdict(summary: &Summary) -> Verdict {
    let verdict = complete_verdict(summary);
    if summary.missing.is_empty() {
        return verdict;
    }
    let words = format!("The figures are incomplete. {}", verdict.words);
    Verdict { grade: verdict.grade.max(Grade::Doubtful), words }
}

fn complete_verdict(summary: &Summary) -> Verdict {
    let (tally, total) = (&summary.tally, summary.total());
    if total.sent == 0 && tally.not_sent == 0 {
        return Verdict { grade: Grade::Bad, words: "Nothing was sent.".to_owned() };
    }
    if total.succeeded == 0 {
        let most = errors(&total).into_iter().next();
        let reason = most.map(|(kind, _)| format!(": {}", error(kind, summary).0)).unwrap_or_default();
        return Verdict { grade: Grade::Bad, words: format!("No request succeeded{reason}.") };
    }
    let share = |count: u64| count as f64 / tally.offered.max(1) as f64;
    let open = matches!(summary.plan.pace, Pace::Open { .. });
    let mut said = Vec::new();
    if open && share(tally.late_busy + tally.not_sent) > NOTABLE {
        said.push("the target fell behind the rate".to_owned());
    }
    said.extend(failures(summary, &total));
    if open && share(tally.late_self) > NOTABLE {
        said.push("the generator itself was late".to_owned());
    }
    let all = format!("all {} succeeded.", format::counted(total.succeeded, "request"));
    match said.split_last() {
        None if open => Verdict { grade: Grade::Good, words: format!("The target kept up: {all}") },
        None => Verdict { grade: Grade::Good, words: capital(&all) },
        Some((last, before)) => {
            let before = if before.is_empty() { String::new() } else { format!("{}, and ", before.join(", ")) };
            let grade = if summary.error_share() >= MANY { Grade::Bad } else { Grade::Doubtful };
            Verdict { grade, words: capital(&format!("{before}{last}.")) }
        }
    }
}

/// How many failed, as a part of a sentence.
fn failures(summary: &Summary, total: &StepTally) -> Option<String> {
    let unfinished = total.errors.get(&ErrorKind::Unfinished).copied().unwrap_or_default();
    let (failed, not_sent) = (total.failed(), summary.tally.not_sent);
    match (failed, not_sent) {
        (0, 0) => None,
        (_, 0) if failed == unfinished => {
            Some(format!("{} in flight at the end had no answer yet", format::counted(unfinished, "request")))
        }
        (_, 0) => Some(format!("{} of the requests failed", format::percent_of(failed, total.asked()))),
        (0, _) => Some(format!("{} of the requests were never sent", format::percent(summary.error_share()))),
        _ => {
            let asked = total.asked().saturating_add(not_sent);
            let (failed, not_sent) = (format::percent_of(failed, asked), format::percent_of(not_sent, asked));
            Some(format!("{failed} of the requests failed and {not_sent} were never sent"))
        }
    }
}

/// The errors, the most frequent first.
pub(crate) fn errors(total: &StepTally) -> Vec<(ErrorKind, u64)> {
    let mut errors: Vec<_> = total.errors.iter().map(|(kind, count)| (*kind, *count)).collect();
    errors.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    errors
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// Where the requests go, as an address.
pub fn target(plan: &Plan) -> String {
    let scheme = match (plan.protocol, plan.target.secure) {
        (Protocol::WebSocket, false) => "ws",
        (Protocol::WebSocket, true) => "wss",
        (_, false) => "http",
        (_, true) => "https",
    };
    format!("{scheme}://{}", plan.target.authority)
}

/// The protocol's name.
pub(crate) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2",
        Protocol::Grpc => "gRPC",
        Protocol::WebSocket => "WebSocket",
    }
}

/// Over what the requests went: `HTTP/1.1, 50 connections, 4 threads`.
pub(crate) fn setup(summary: &Summary) -> String {
    let plan = &summary.plan;
    let mut parts = vec![protocol(plan.protocol).to_owned(), format::counted(plan.connections.into(), "connection")];
    if plan.streams > 1 {
        parts.push(format!("{} on each", format::counted(plan.streams.into(), "stream")));
    }
    if summary.generator.processes > 1 {
        parts.push(format!("{} processes", summary.generator.processes));
    }
    parts.push(format::counted(plan.workers.into(), "thread"));
    parts.join(", ")
}

/// How fast and for how long: `1,000/s for 30 s, evenly spaced`.
pub(crate) fn pace(plan: &Plan) -> String {
    let mut said = match &plan.pace {
        Pace::Closed { duration } => {
            format!("as fast as the answers come (closed loop) for {}", format::span(*duration))
        }
        Pace::Open { stages, spacing } => {
            let mut parts: Vec<String> = stages.iter().take(STAGES).map(stage).collect();
            if stages.len() > STAGES {
                parts.push(format::counted((stages.len() - STAGES) as u64, "more stage"));
            }
            let spacing = match spacing {
                Spacing::Constant => "evenly spaced",
                Spacing::Poisson => "as a Poisson process",
            };
            format!("{}, {spacing}", parts.join(", then "))
        }
    };
    if !plan.warm_up.is_zero() {
        said.push_str(&format!(", the first {} as warm-up left out", format::span(plan.warm_up)));
    }
    said
}

fn stage(stage: &Stage) -> String {
    let duration = format::span(stage.duration);
    if stage.from == stage.to {
        format!("{} for {duration}", format::rate(stage.from))
    } else {
        format!("{} to {} in {duration}", format::rate(stage.from), format::rate(stage.to))
    }
}

/// What has to be known to read the figures of a closed loop; nothing with an open one.
pub(crate) fn pace_note(plan: &Plan) -> Option<&'static str> {
    matches!(plan.pace, Pace::Closed { .. }).then_some(
        "A closed loop waits while the target is slow and so sends less just then: its percentiles hide stalls that users would meet. Name a rate to see them.",
    )
}

/// The names of all steps in the plan's order, which is the tally's.
pub(crate) fn step_names(plan: &Plan) -> Vec<&str> {
    plan.scenarios.iter().flat_map(|scenario| &scenario.steps).map(|step| step.name.as_str()).collect()
}

/// The name of a step by its index.
pub(crate) fn step_name(plan: &Plan, index: usize) -> String {
    step_names(plan).get(index).map_or_else(|| format!("step {index}"), |name| (*name).to_owned())
}

/// The steps with what happened to them, where there are several.
pub(crate) fn steps(summary: &Summary) -> Vec<(String, &StepTally)> {
    let steps = &summary.tally.steps;
    if steps.len() < 2 {
        return Vec::new();
    }
    steps.iter().enumerate().map(|(index, step)| (step_name(&summary.plan, index), step)).collect()
}

/// How many requests of a step there were and failed.
pub(crate) fn step_counts(tally: &StepTally) -> String {
    let failed = tally.failed();
    format!(
        "{}, {} failed ({})",
        format::counted(tally.sent, "request"),
        format::count(failed),
        format::percent_of(failed, tally.asked())
    )
}

/// What a kind of error is called, and what to look at.
pub(crate) fn error(kind: ErrorKind, summary: &Summary) -> (&'static str, String) {
    let (plan, target) = (&summary.plan, &summary.plan.target);
    match kind {
        ErrorKind::Resolve => ("name not found", format!("does {} exist, and does this machine's resolver answer?", target.host)),
        ErrorKind::Connect => (
            "no connection",
            format!("is something listening on {}, port {}? A full accept queue or a firewall looks the same", target.host, target.port),
        ),
        ErrorKind::Tls => (
            "TLS failed",
            summary
                .tally
                .tls_failure
                .clone()
                .unwrap_or_else(|| "is its certificate trusted here, for this name, and is it TLS at all?".to_owned()),
        ),
        ErrorKind::Descriptors => ("no descriptors", "this machine ran out of file descriptors: raise ulimit -n or use fewer connections".to_owned()),
        ErrorKind::Timeout => (
            "timed out",
            format!("no whole answer within {}: what does the target wait for? Its slowest traces and its queues tell", format::span(plan.timeout)),
        ),
        ErrorKind::Closed => ("closed early", "the connection ended before the whole answer: did the target, or a proxy before it, crash, restart or shed load?".to_owned()),
        ErrorKind::Protocol => ("broken answer", format!("not {}, or larger than the limits: is it the right port and protocol?", protocol(plan.protocol))),
        ErrorKind::Status => ("wrong status", "the status codes say which; the target's log says why".to_owned()),
        ErrorKind::Content => ("wrong content", "the body lacks what its step expects or extracts".to_owned()),
        ErrorKind::Unfinished => ("unfinished", "still in flight when the run ended".to_owned()),
    }
}

/// A status code with its name.
pub(crate) fn status(protocol: Protocol, code: u16) -> String {
    let name = if protocol == Protocol::Grpc {
        GRPC_CODES.get(usize::from(code)).copied()
    } else {
        http::StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason())
    };
    name.map_or_else(|| code.to_string(), |name| format!("{code} {name}"))
}

/// The names of gRPC's status codes, by number.
const GRPC_CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// How connecting went.
pub(crate) fn connections(summary: &Summary) -> String {
    let connect = &summary.tally.connect;
    let mut said = match connect.count() {
        0 => "none opened while the figures counted".to_owned(),
        opened => format!(
            "{} opened in {} (p50), {} (p99), {} at most",
            format::count(opened),
            format::duration(connect.quantile(0.5)),
            format::duration(connect.quantile(0.99)),
            format::duration(connect.max())
        ),
    };
    for (kind, count) in &summary.tally.connect_errors {
        said.push_str(&format!("; {} failed: {}", format::counted(*count, "attempt"), error(*kind, summary).0));
    }
    said
}

/// What the generator used.
pub(crate) fn generator(summary: &Summary) -> String {
    let generator = &summary.generator;
    let cores = match summary.lasted.as_secs_f64() {
        seconds if seconds > 0.0 => generator.cpu.as_secs_f64() / seconds,
        _ => 0.0,
    };
    let mut parts = vec![
        format!("{cores:.2} cores"),
        format!("busiest thread {}", format::percent(generator.busiest_worker)),
        format!("other processes of the machine {}", format::percent(generator.others)),
        format::bytes(generator.max_rss as f64),
    ];
    if summary.tally.delay.count() > 0 && matches!(summary.plan.pace, Pace::Open { .. }) {
        parts.push(format!("starts late by {} (p99)", format::duration(summary.tally.delay.quantile(0.99))));
    }
    parts.join(", ")
}

/// `bytes` and how many a second.
pub(crate) fn traffic(bytes: u64, lasted: Duration) -> String {
    let whole = format::bytes(bytes as f64);
    match lasted.as_secs_f64() {
        seconds if seconds > 0.0 => format!("{whole} ({}/s)", format::bytes(bytes as f64 / seconds)),
        _ => whole,
    }
}

/// What a threshold, which says what must not be, said.
pub(crate) fn threshold(verdict: &summary::Verdict) -> (Grade, String) {
    let (grade, word) = if verdict.passed { (Grade::Good, "not so") } else { (Grade::Bad, "so") };
    (grade, format!("{} {} is {word}: {}", grade.sign(), verdict.threshold, verdict.measured))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_verdict_says_how_it_went() {
        let check = |summary: Summary, grade, words| {
            let verdict = verdict(&summary);
            assert_eq!((verdict.grade, verdict.words.as_str()), (grade, words));
        };
        let closed = |mut summary: Summary| {
            summary.plan.pace = Pace::Closed { duration: Duration::from_secs(30) };
            summary
        };
        check(sample::good(), Grade::Good, "The target kept up: all 30,000 requests succeeded.");
        check(closed(sample::good()), Grade::Good, "All 30,000 requests succeeded.");
        check(sample::refused(), Grade::Bad, "No request succeeded: no connection.");
        let mut waited = sample::good();
        (0..90).for_each(|_| waited.tally.skip(0, Duration::from_secs(1)));
        let words = "The target fell behind the rate, and 0.30 % of the requests were never sent.";
        check(waited, Grade::Doubtful, words);
        check(sample::empty(&["a"]), Grade::Bad, "Nothing was sent.");
        check(sample::hour(), Grade::Doubtful, "The target fell behind the rate, and 0.20 % of the requests failed.");
        check(
            sample::lost(),
            Grade::Doubtful,
            "The figures are incomplete. The target kept up: all 30,000 requests succeeded.",
        );
        check(
            sample::interrupted(),
            Grade::Doubtful,
            "The figures are incomplete. 1 request in flight at the end had no answer yet.",
        );
    }

    #[test]
    fn a_handshake_that_failed_says_why() {
        let mut summary = sample::empty(&["a"]);
        let hint = |summary: &Summary| error(ErrorKind::Tls, summary).1;
        assert!(hint(&summary).contains("is it TLS at all?"));
        summary.tally.tls_failure = Some("the certificate has expired".to_owned());
        assert_eq!(hint(&summary), "the certificate has expired");
    }

    #[test]
    fn a_pace_is_told_in_a_line() {
        let check = |stages: &[(u64, f64, f64)], spacing, expected: &str| {
            let stages = stages.iter().map(|(seconds, from, to)| Stage {
                duration: Duration::from_secs(*seconds),
                from: *from,
                to: *to,
            });
            let mut plan = sample::empty(&[]).plan;
            plan.pace = Pace::Open { stages: stages.collect(), spacing };
            assert_eq!(pace(&plan), expected);
        };
        check(&[(30, 1e3, 1e3)], Spacing::Constant, "1,000/s for 30 s, evenly spaced");
        check(
            &[(60, 0.0, 500.0), (90, 500.0, 500.0)],
            Spacing::Poisson,
            "0/s to 500/s in 1 min, then 500/s for 1 min 30 s, as a Poisson process",
        );
        let stairs =
            "1/s for 1 s, then 1/s for 1 s, then 1/s for 1 s, then 1/s for 1 s, then 2 more stages, evenly spaced";
        check(&[(1, 1.0, 1.0); 6], Spacing::Constant, stairs);
    }

    #[test]
    fn status_codes_have_names() {
        let check = |protocol, code, expected| assert_eq!(status(protocol, code), expected);
        check(Protocol::Http1, 503, "503 Service Unavailable");
        check(Protocol::Http2, 799, "799");
        check(Protocol::Grpc, 14, "14 Unavailable");
        check(Protocol::Grpc, 99, "99");
    }
}
