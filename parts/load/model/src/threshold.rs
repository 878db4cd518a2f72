//! Thresholds: what a result must not be, as in `p99>50ms` or `errors>0.1%`.
//!
//! A threshold is a figure, a comparison and a bound, and it *fails* when the comparison is true. It also fails when its
//! figure has no samples: a run in which nothing was measured has not met any bound.

use std::time::Duration;

use crate::histogram::Histogram;
use crate::plan::{Pace, Plan};
use crate::summary::{Summary, Verdict};
use crate::words;

/// The longest threshold.
const MAX_BYTES: usize = 300;

/// A bound that a result must not cross.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    text: String,
    figure: Figure,
    relation: Relation,
    bound: f64,
}

/// Why a text is no threshold, or not one of this plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// Too long.
    #[error("a threshold has 300 bytes at most")]
    TooLong,
    /// No `>`, `>=`, `<` or `<=`.
    #[error(
        "{0:?} compares nothing: write a figure, one of > >= < <=, and a bound, as in \"p99>50ms\" or \"errors>0.1%\""
    )]
    NoRelation(String),
    /// An unknown figure.
    #[error(
        "{0:?} is no figure: p50, p99.9 and the like, mean, max (also as service.p99, delay.p99, step(NAME).p99), errors, late, not_sent and throughput are"
    )]
    Figure(String),
    /// A bound that does not fit the figure.
    #[error("{bound:?} is no bound for {figure}: {expected}")]
    Bound {
        /// The bound.
        bound: String,
        /// What it should bound.
        figure: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A step that the plan does not have.
    #[error("there is no step {name:?}: the steps are {known}")]
    Step {
        /// The step.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// Intended starts where there are none.
    #[error("{0} is not known with a closed pace, which has no intended starts")]
    Closed(String),
}

#[derive(Clone, Debug, PartialEq)]
enum Figure {
    Time(Times, Statistic),
    /// Those of a step or of all, as a count or as a share.
    Errors(Option<String>, As),
    Late(As),
    NotSent(As),
    Throughput,
}

/// Which durations.
#[derive(Clone, Debug, PartialEq)]
enum Times {
    Latency(Option<String>),
    Service(Option<String>),
    Delay,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Statistic {
    Quantile(f64),
    Mean,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum As {
    Count,
    Share,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// A figure of a result: its value, and the same in words.
type Measured = (f64, String);

impl Threshold {
    /// Reads a threshold.
    pub fn parse(text: &str) -> Result<Threshold, ThresholdError> {
        if text.len() > MAX_BYTES {
            return Err(ThresholdError::TooLong);
        }
        let (step, rest) = scope(text.trim());
        let at = rest.find(['<', '>']).ok_or_else(|| ThresholdError::NoRelation(text.to_owned()))?;
        let (name, rest) = (rest[..at].trim(), &rest[at..]);
        let (relation, bound) = relation(rest);
        let figure = figure(name, step, bound.ends_with('%'))
            .ok_or_else(|| ThresholdError::Figure(text.trim()[..text.trim().len() - rest.len()].trim().to_owned()))?;
        let (parsed, expected) = figure.bound(bound);
        let wrong = || ThresholdError::Bound { bound: bound.to_owned(), figure: name.to_owned(), expected };
        Ok(Threshold { text: text.trim().to_owned(), bound: parsed.ok_or_else(wrong)?, figure, relation })
    }

    /// The threshold as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a result of `plan` can have the figure.
    pub fn check(&self, plan: &Plan) -> Result<(), ThresholdError> {
        let about_starts = matches!(self.figure, Figure::Time(Times::Delay, _) | Figure::Late(_) | Figure::NotSent(_));
        if about_starts && matches!(plan.pace, Pace::Closed { .. }) {
            return Err(ThresholdError::Closed(self.text.clone()));
        }
        let Some(name) = self.figure.step() else { return Ok(()) };
        match step_at(plan, name) {
            Some(_) => Ok(()),
            None => {
                let known: Vec<&str> = steps(plan).take(20).collect();
                Err(ThresholdError::Step { name: name.to_owned(), known: known.join(", ") })
            }
        }
    }

    /// Judges a result.
    pub fn judge(&self, summary: &Summary) -> Verdict {
        let (passed, measured) = match self.figure.measure(summary) {
            Ok((value, words)) => (!self.relation.holds(value, self.bound), words),
            Err(why) => (false, why),
        };
        Verdict { threshold: self.text.clone(), passed, measured }
    }
}

/// Judges a result by all of `thresholds`.
pub fn judge(thresholds: &[Threshold], summary: &Summary) -> Vec<Verdict> {
    thresholds.iter().map(|threshold| threshold.judge(summary)).collect()
}

/// The step of `step(NAME).`, and the rest. A name may have any sign in it, so its end is the last one that can be.
fn scope(text: &str) -> (Option<&str>, &str) {
    let named = text.strip_prefix("step(").and_then(|rest| rest.rfind(").").map(|at| (&rest[..at], &rest[at + 2..])));
    named.map_or((None, text), |(name, rest)| (Some(name), rest))
}

fn relation(text: &str) -> (Relation, &str) {
    let all = [(">=", Relation::AtLeast), ("<=", Relation::AtMost), (">", Relation::Above), ("<", Relation::Below)];
    let found = all.iter().find_map(|(sign, relation)| Some((*relation, text.strip_prefix(sign)?.trim())));
    found.unwrap_or((Relation::Above, text))
}

fn figure(name: &str, step: Option<&str>, percent: bool) -> Option<Figure> {
    let step = step.map(str::to_owned);
    let counted = if percent { As::Share } else { As::Count };
    if name == "errors" {
        return Some(Figure::Errors(step, counted));
    }
    if let Some(name) = name.strip_prefix("service.") {
        return Some(Figure::Time(Times::Service(step), statistic(name)?));
    }
    if step.is_none() {
        match (name, name.strip_prefix("delay.")) {
            ("late", _) => return Some(Figure::Late(counted)),
            ("not_sent", _) => return Some(Figure::NotSent(counted)),
            ("throughput", _) => return Some(Figure::Throughput),
            (_, Some(name)) => return Some(Figure::Time(Times::Delay, statistic(name)?)),
            _ => {}
        }
    }
    Some(Figure::Time(Times::Latency(step), statistic(name)?))
}

fn statistic(name: &str) -> Option<Statistic> {
    match name {
        "mean" => Some(Statistic::Mean),
        "max" => Some(Statistic::Max),
        _ => {
            let percent = words::decimal(name.strip_prefix('p')?)?;
            (percent > 0.0 && percent < 100.0).then_some(Statistic::Quantile(percent / 100.0))
        }
    }
}

impl Figure {
    fn step(&self) -> Option<&str> {
        match self {
            Figure::Time(Times::Latency(step) | Times::Service(step), _) | Figure::Errors(step, _) => step.as_deref(),
            _ => None,
        }
    }

    /// What `text` bounds this figure to, and what it should be.
    fn bound(&self, text: &str) -> (Option<f64>, &'static str) {
        let share = |text: &str| words::decimal(text.strip_suffix('%')?.trim()).filter(|p| *p <= 100.0);
        let rate = |text: &str| words::rate(text).ok().filter(|rate| rate.from == rate.to);
        match self {
            Figure::Time(..) => {
                (words::duration(text).ok().map(|d| d.as_secs_f64()), "a duration is needed, as in 50ms")
            }
            Figure::Throughput => (rate(text).map(|rate| rate.from), "a rate is needed, as in 950/s"),
            Figure::Errors(_, As::Share) | Figure::Late(As::Share) | Figure::NotSent(As::Share) => {
                (share(text).map(|percent| percent / 100.0), "a share is from 0% to 100%")
            }
            _ => (words::decimal(text), "a count or a share is needed, as in 10 or 0.1%"),
        }
    }

    /// The value, or why there is none.
    fn measure(&self, summary: &Summary) -> Result<Measured, String> {
        let tally = &summary.tally;
        match self {
            Figure::Time(times, statistic) => times.measure(*statistic, summary),
            Figure::Errors(None, counted) => {
                let total = summary.total();
                let (failed, not_sent) = (total.failed(), tally.not_sent);
                let (errors, all) = (failed.saturating_add(not_sent), total.asked().saturating_add(not_sent));
                match (failed, not_sent) {
                    (_, 0) => counted.measure(errors, all, "requests failed"),
                    (0, _) => counted.measure(errors, all, "requests were never sent"),
                    _ => {
                        let what = format!("requests failed ({failed}) or were never sent ({not_sent})");
                        counted.measure(errors, all, &what)
                    }
                }
            }
            Figure::Errors(Some(name), counted) => {
                let step = step_at(&summary.plan, name).and_then(|at| tally.steps.get(at));
                let step = step.ok_or_else(|| format!("there is no step {name}"))?;
                counted.measure(step.failed(), step.asked(), "requests failed")
            }
            Figure::Late(counted) => counted.measure(tally.late(), tally.offered, "iterations began late"),
            Figure::NotSent(counted) => counted.measure(tally.not_sent, tally.offered, "iterations never began"),
            Figure::Throughput if summary.lasted.is_zero() => Err("the load did not last for any time".to_owned()),
            Figure::Throughput => {
                let throughput = summary.throughput();
                Ok((throughput, format!("{throughput:.1} requests a second succeeded")))
            }
        }
    }
}

impl Times {
    fn measure(&self, statistic: Statistic, summary: &Summary) -> Result<Measured, String> {
        let (step, what) = match self {
            Times::Latency(step) => (step, "latency"),
            Times::Service(step) => (step, "service time"),
            Times::Delay => return statistic.measure(&summary.tally.delay, "delay", "iteration"),
        };
        let tally = match step {
            None => summary.total(),
            Some(name) => {
                let step = step_at(&summary.plan, name).and_then(|at| summary.tally.steps.get(at));
                step.cloned().ok_or_else(|| format!("there is no step {name}"))?
            }
        };
        let histogram = if matches!(self, Times::Latency(_)) { &tally.latency } else { &tally.service };
        statistic.measure(histogram, what, "request")
    }
}

impl Statistic {
    fn measure(self, histogram: &Histogram, what: &str, whose: &str) -> Result<Measured, String> {
        let count = histogram.count();
        if count == 0 {
            return Err(format!("no {whose} has a {what}: there is nothing to judge"));
        }
        let (value, name): (Duration, String) = match self {
            Statistic::Mean => (histogram.mean(), "mean".to_owned()),
            Statistic::Max => (histogram.max(), "max".to_owned()),
            Statistic::Quantile(quantile) => (histogram.quantile(quantile), format!("p{}", percent(quantile))),
        };
        let few = match self {
            Statistic::Quantile(quantile) if count as f64 * (1.0 - quantile) < 1.0 => {
                format!(", the longest of only {count}")
            }
            _ => String::new(),
        };
        Ok((value.as_secs_f64(), format!("{name} of the {what} is {}{few}", words::shown_duration(value))))
    }
}

impl As {
    fn measure(self, count: u64, all: u64, what: &str) -> Result<Measured, String> {
        if all == 0 {
            return Err("nothing was sent: there is nothing to judge".to_owned());
        }
        let share = count as f64 / all as f64;
        let value = if self == As::Share { share } else { count as f64 };
        Ok((value, format!("{count} of {all} {what} ({} %)", percent(share))))
    }
}

impl Relation {
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Relation::Above => value > bound,
            Relation::AtLeast => value >= bound,
            Relation::Below => value < bound,
            Relation::AtMost => value <= bound,
        }
    }
}

/// A share in percent without the noise of binary fractions.
fn percent(share: f64) -> f64 {
    (share * 1e6).round() / 1e4
}

/// The names of a plan's steps, in the order of its tallies.
fn steps(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.scenarios.iter().flat_map(|scenario| &scenario.steps).map(|step| step.name.as_str())
}

fn step_at(plan: &Plan, name: &str) -> Option<usize> {
    steps(plan).position(|known| known == name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;
    use crate::tally::{ErrorKind, Outcome};

    const MS: Duration = Duration::from_millis(1);

    /// 1000 requests of 1 to 1000 ms, of which 10 failed; 1 of 1001 was not sent, 2 began late.
    fn summary() -> Summary {
        let mut summary = samples::summary(Duration::from_secs(10));
        for n in 1..=1000 {
            let outcome = if n <= 10 { Outcome::Failed(ErrorKind::Timeout) } else { Outcome::Answered(200) };
            summary.tally.begin(if n <= 2 { MS * 5 } else { Duration::ZERO }, true);
            summary.tally.steps[0].end(outcome, MS * n, MS * n / 2);
        }
        summary.tally.skip(0, MS);
        summary
    }

    #[test]
    fn results_are_judged() {
        let check = |text: &str, passed: bool, measured: &str| {
            let verdict = Threshold::parse(text).unwrap().judge(&summary());
            assert_eq!((verdict.passed, verdict.measured.as_str()), (passed, measured), "{text}");
            assert_eq!(verdict.threshold, text.trim());
        };
        check("p99>995ms", true, "p99 of the latency is 990 ms");
        check("p99>985ms", false, "p99 of the latency is 990 ms");
        check("p99.95>1s", false, "p99.95 of the latency is 1.00 s, the longest of only 1001");
        check("p50 >= 1ms", false, "p50 of the latency is 500 ms");
        check("mean<400ms", true, "mean of the latency is 500 ms");
        check("max>2s", true, "max of the latency is 1.00 s");
        check("service.p90>400ms", false, "p90 of the service time is 450 ms");
        check("delay.max>1s", true, "max of the delay is 5.00 ms");
        check("step(GET /).p50>1s", true, "p50 of the latency is 500 ms");
        check("step(GET /).service.p50>1s", true, "p50 of the service time is 250 ms");
        check("step(GET /).errors>=1%", false, "10 of 1000 requests failed (1 %)");
        let both = "11 of 1001 requests failed (10) or were never sent (1) (1.0989 %)";
        check(" errors>1.1% ", true, both);
        check("errors>10", false, both);
        check("errors>11", true, both);
        check("throughput<100/s", false, "99.0 requests a second succeeded");
        check("throughput<5900/m", true, "99.0 requests a second succeeded");
        check("late>0.1%", false, "2 of 1001 iterations began late (0.1998 %)");
        check("not_sent>0", false, "1 of 1001 iterations never began (0.0999 %)");
        check("not_sent<=1%", false, "1 of 1001 iterations never began (0.0999 %)");
    }

    #[test]
    fn what_was_never_sent_did_not_fail() {
        let mut summary = samples::summary(Duration::from_secs(10));
        summary.tally.begin(Duration::ZERO, false);
        summary.tally.steps[0].end(Outcome::Answered(200), MS, MS);
        let measured = |summary: &Summary| Threshold::parse("errors>0").unwrap().judge(summary).measured;
        assert_eq!(measured(&summary), "0 of 1 requests failed (0 %)");
        summary.tally.skip(0, MS);
        assert_eq!(measured(&summary), "1 of 2 requests were never sent (50 %)");
    }

    #[test]
    fn what_was_not_measured_fails_in_words() {
        let empty = samples::summary(Duration::ZERO);
        for text in
            ["p99>1h", "mean>1h", "delay.p50>1h", "errors>50%", "errors>10", "late>10", "throughput<0", "not_sent>5"]
        {
            let verdict = Threshold::parse(text).unwrap().judge(&empty);
            assert!(!verdict.passed, "{text}");
            assert!(verdict.measured.contains("nothing") || verdict.measured.contains("did not last"), "{verdict:?}");
        }
        let unknown = Threshold::parse("step(x).p99>1s").unwrap().judge(&summary());
        assert_eq!((unknown.passed, unknown.measured.as_str()), (false, "there is no step x"));
    }

    #[test]
    fn mistakes_are_explained() {
        let check = |text: &str, expected: &str| {
            let failed = Threshold::parse(text).unwrap_err().to_string();
            assert!(failed.contains(expected), "{text}: {failed}");
        };
        check("p99", "\"p99\" compares nothing");
        check("p99=5ms", "compares nothing");
        check("", "compares nothing");
        check("p100>5ms", "\"p100\" is no figure");
        check("p0>5ms", "is no figure");
        check("p>5ms", "is no figure");
        check("latency>5ms", "is no figure");
        check("step(a).late>5", "\"step(a).late\" is no figure");
        check("step(a).throughput<5/s", "is no figure");
        check("p99>50", "\"50\" is no bound for p99: a duration is needed, as in 50ms");
        check("p99>5%", "a duration is needed");
        check("p99>", "a duration is needed");
        check("p99>=>5ms", "\">5ms\" is no bound");
        check("errors>5ms", "a count or a share is needed");
        check("errors>101%", "a share is from 0% to 100%");
        check("errors>-1", "a count or a share");
        check("throughput<5..9/s", "a rate is needed");
        check(&"p".repeat(301), "300 bytes");
    }

    #[test]
    fn a_plan_must_have_the_figure() {
        let check = |text: &str, plan: &Plan, expected: Option<&str>| {
            let failed = Threshold::parse(text).unwrap().check(plan).err().map(|e| e.to_string());
            assert_eq!(failed.as_deref(), expected, "{text}");
        };
        let mut plan = samples::plan();
        check("step(GET /).p99>1s", &plan, None);
        check("late>1%", &plan, None);
        check("step(a>b).p99>1s", &plan, Some("there is no step \"a>b\": the steps are GET /"));
        plan.pace = Pace::Closed { duration: Duration::from_secs(1) };
        check("p99>1s", &plan, None);
        let closed = "late>1% is not known with a closed pace, which has no intended starts";
        check("late>1%", &plan, Some(closed));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn any_text_is_judged_without_a_panic(text in "(step\\(a|p9|errors|service.|ü)?[).p<>=%0-9sm ü]{0,12}") {
            if let Ok(threshold) = Threshold::parse(&text) {
                threshold.judge(&samples::summary(Duration::ZERO));
            }
        }
    }
}
