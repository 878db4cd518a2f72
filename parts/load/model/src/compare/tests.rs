//! Comparisons of simulated runs, whose truth is known.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::plan::{Action, Pace, Protocol, Template};
use crate::samples;
use crate::tally::{ErrorKind, Outcome};

/// What a simulated target is like.
#[derive(Clone, Copy)]
struct Target {
    seconds: u64,
    /// Requests a second.
    rate: u64,
    /// The median latency in milliseconds.
    median: f64,
    /// How much the latency of a whole second wanders; requests of one second share it.
    wander: f64,
    /// Seconds in which everything takes 100 times as long and fails.
    stalled: &'static [u64],
    /// The share of requests that fail.
    failing: f64,
}

const CALM: Target = Target { seconds: 30, rate: 200, median: 10.0, wander: 0.0, stalled: &[], failing: 0.0 };

/// A number of the standard normal distribution (Box and Muller).
fn normal(rng: &mut SmallRng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn run(target: Target, seed: u64) -> Summary {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut summary = samples::summary(Duration::from_secs(target.seconds));
    let mut level = 0.0;
    for at in 0..target.seconds {
        // What a second is like goes on from the one before it.
        level = 0.5 * level + target.wander * normal(&mut rng);
        let stalled = target.stalled.contains(&at);
        let (mut second, mut latencies) = (Second { at: Duration::from_secs(at), ..Second::default() }, Vec::new());
        for _ in 0..target.rate {
            let slow = if stalled { 100.0 } else { 1.0 };
            let ms = target.median * slow * (level + 0.3 * normal(&mut rng)).exp();
            let latency = Duration::from_secs_f64(ms / 1e3);
            let failed = stalled || rng.random::<f64>() < target.failing;
            let outcome = if failed { Outcome::Unexpected(503, ErrorKind::Status) } else { Outcome::Answered(200) };
            summary.tally.offered += 1;
            summary.tally.steps[0].end(outcome, latency, latency);
            latencies.push(latency);
            *(if failed { &mut second.failed } else { &mut second.succeeded }) += 1;
        }
        latencies.sort();
        let at = |quantile: f64| latencies[(latencies.len() as f64 * quantile).ceil() as usize - 1];
        (second.p50, second.p90, second.p99, second.max) = (at(0.5), at(0.9), at(0.99), at(1.0));
        summary.series.push(second);
    }
    summary
}

fn of(comparison: &Comparison, figure: Figure) -> &Compared {
    comparison.figures.iter().find(|compared| compared.figure == figure).unwrap()
}

/// In how many of `pairs` a figure is said to be better, worse, undecided.
fn verdicts(a: Target, b: Target, pairs: u64, figure: Figure) -> [u64; 3] {
    let mut counts = [0; 3];
    for seed in 0..pairs {
        let comparison = compare(&run(a, seed * 2 + 1), &run(b, seed * 2 + 2)).unwrap();
        counts[of(&comparison, figure).verdict as usize] += 1;
    }
    counts
}

#[test]
fn equals_are_rarely_said_to_differ() {
    // Independent requests, and seconds that wander by 10 %, which order statistics alone take for a difference.
    for wander in [0.0, 0.1] {
        let target = Target { wander, ..CALM };
        let mut differ = [0_u64; Figure::ALL.len()];
        let pairs = 60;
        for seed in 0..pairs {
            let comparison = compare(&run(target, seed * 2 + 1), &run(target, seed * 2 + 2)).unwrap();
            for (count, compared) in differ.iter_mut().zip(&comparison.figures) {
                *count += u64::from(compared.verdict != Verdict::Undecided);
            }
        }
        // 5 % of 60 are 3; more than 9 have a chance below 0.1 %.
        assert!(differ.iter().all(|count| *count <= 9), "{wander}: {differ:?}");
    }
}

#[test]
fn order_statistics_alone_are_too_sure() {
    let target = Target { wander: 0.1, ..CALM };
    let sure = |seed: u64| {
        let (a, b) = (run(target, seed * 2 + 1), run(target, seed * 2 + 2));
        let (a, b) = (Run::of(&a, &b), Run::of(&b, &a));
        let ((below_a, above_a), (below_b, above_b)) =
            (a.independent(Figure::P50).unwrap(), b.independent(Figure::P50).unwrap());
        let middle = middle(Figure::P50, &a, &b);
        middle - below_b.hypot(above_a) > 0.0 || middle + above_b.hypot(below_a) < 0.0
    };
    let wrong = (0..60).filter(|seed| sure(*seed)).count();
    assert!(wrong > 20, "{wrong} of 60");
}

#[test]
fn differences_are_found() {
    let slower = Target { median: 12.0, ..CALM };
    let wanders = |target: Target| Target { wander: 0.02, ..target };
    assert!(verdicts(wanders(CALM), wanders(slower), 10, Figure::P50)[1] >= 9);
    assert!(verdicts(wanders(slower), wanders(CALM), 10, Figure::P99)[0] >= 9);
    assert!(verdicts(CALM, slower, 10, Figure::Mean)[1] >= 9);
    let failing = Target { failing: 0.05, ..CALM };
    assert!(verdicts(CALM, failing, 10, Figure::ErrorShare)[1] >= 9);
    let more = Target { rate: 240, ..CALM };
    assert!(verdicts(CALM, more, 10, Figure::Throughput)[0] >= 9);
}

#[test]
fn the_ratio_is_that_of_the_figures() {
    let comparison = compare(&run(CALM, 1), &run(Target { median: 20.0, ..CALM }, 2)).unwrap();
    for figure in [Figure::Mean, Figure::P50, Figure::P90, Figure::P99] {
        let compared = of(&comparison, figure);
        let (ratio, (low, high)) = (compared.ratio.unwrap(), compared.interval.unwrap());
        assert!((1.8..2.2).contains(&ratio) && low < 2.0 && high > 2.0 && high / low < 1.5, "{compared:?}");
        assert!((compared.candidate / compared.baseline - ratio).abs() < 1e-9);
    }
}

#[test]
fn one_pause_shows_nothing() {
    let paused = Target { stalled: &[12], ..CALM };
    let comparison = compare(&run(CALM, 1), &run(paused, 2)).unwrap();
    for figure in [Figure::P99, Figure::ErrorShare, Figure::Mean] {
        let compared = of(&comparison, figure);
        assert!(compared.candidate > 2.0 * compared.baseline, "{compared:?}");
        assert_eq!(compared.verdict, Verdict::Undecided, "{compared:?}");
    }
    // Pauses all the time do.
    let pausing = Target { stalled: &[1, 4, 7, 10, 13, 16, 19, 22, 25, 28], ..CALM };
    let comparison = compare(&run(CALM, 1), &run(pausing, 2)).unwrap();
    assert_eq!(of(&comparison, Figure::P99).verdict, Verdict::Worse);
    assert_eq!(of(&comparison, Figure::ErrorShare).verdict, Verdict::Worse);
}

#[test]
fn what_cannot_be_told_is_said() {
    let few = Target { rate: 20, ..CALM };
    let comparison = compare(&run(few, 1), &run(few, 2)).unwrap();
    let why = |comparison: &Comparison, figure| of(comparison, figure).why.clone().unwrap_or_default();
    assert_eq!(why(&comparison, Figure::P999), "too few requests for this quantile");
    assert_eq!(why(&comparison, Figure::ErrorShare), "nothing failed in either run");
    assert_eq!(of(&comparison, Figure::ErrorShare).ratio, None);
    let short = Target { seconds: 9, ..CALM };
    let comparison = compare(&run(short, 1), &run(Target { median: 50.0, ..short }, 2)).unwrap();
    assert!(why(&comparison, Figure::P50).starts_with("less than ten whole seconds"));
    assert!(comparison.figures.iter().all(|compared| compared.verdict == Verdict::Undecided));
}

#[test]
fn only_the_same_load_is_compared() {
    let (a, mut b) = (run(CALM, 1), run(CALM, 2));
    b.plan.pace = Pace::Closed { duration: Duration::from_secs(60) };
    b.plan.warm_up = Duration::from_secs(1);
    let failed = compare(&a, &b).unwrap_err().to_string();
    let expected = "the two results are not of the same load: they differ in pace (rate, duration, spacing), warm_up";
    assert_eq!(failed, expected);
    let empty = samples::summary(Duration::from_secs(30));
    assert_eq!(compare(&a, &empty), Err(CompareError::Empty("candidate")));
    let newer = Summary { format: FORMAT + 1, ..a.clone() };
    assert_eq!(compare(&newer, &a), Err(CompareError::Format("baseline", FORMAT + 1)));
}

#[test]
fn what_is_hidden_is_compared_all_the_same() {
    let with = |body: &str, seed| {
        let mut summary = run(CALM, seed);
        let Action::Http(action) = &mut summary.plan.scenarios[0].steps[0].action else { panic!() };
        action.body = Some(Template::constant(body));
        summary.hide_secrets();
        summary
    };
    let (a, b, mut other) = (with("s3cret", 1), with("s3cret", 2), with("n0ther", 2));
    assert!(compare(&a, &b).unwrap().notes.is_empty());
    assert_eq!(a.plan, other.plan);
    let failed = compare(&a, &other).unwrap_err().to_string();
    assert!(failed.contains("they differ in what results do not show (bodies,"), "{failed}");
    // One of the first format has no digest of the same things.
    other.format = 1;
    let notes = compare(&a, &other).unwrap().notes;
    assert!(notes[0].contains("one was written by an older purlin"), "{notes:?}");
}

#[test]
fn runs_with_merged_seconds_are_compared() {
    let long = Target { seconds: 240, rate: 20, ..CALM };
    let merged = |target: Target, seed: u64, factor: usize| {
        let mut summary = run(target, seed);
        summary.series = series::coarser(&summary.series, factor);
        summary.step = factor as u64;
        summary
    };
    let slower = Target { median: 20.0, ..long };
    for (a, b) in [(1, 1), (4, 4), (8, 2), (1, 8)] {
        let comparison = compare(&merged(long, 1, a), &merged(slower, 2, b)).unwrap();
        assert_eq!(of(&comparison, Figure::P50).verdict, Verdict::Worse, "{a} {b}");
        assert_eq!(of(&comparison, Figure::Throughput).verdict, Verdict::Undecided, "{a} {b}");
        let same = compare(&merged(long, 1, a), &merged(long, 1, b)).unwrap();
        assert!(same.figures.iter().all(|compared| compared.verdict == Verdict::Undecided), "{a} {b}");
    }
    // Whoever wrote a step that is no step is not divided by.
    let odd = Summary { step: 0, ..run(long, 1) };
    assert!(compare(&odd, &odd).is_ok());
    let huge = Summary { step: u64::MAX, ..run(long, 1) };
    assert!(compare(&huge, &odd).is_ok());
}

#[test]
fn other_settings_and_limits_are_noted() {
    let (a, mut b) = (run(CALM, 1), run(CALM, 2));
    b.plan.protocol = Protocol::Http2;
    b.plan.connections = 5;
    b.plan.seed = 77;
    b.missing.push("a process was lost".into());
    b.generator.busiest_worker = 0.99;
    let notes = compare(&a, &b).unwrap().notes;
    assert_eq!(notes[0], "the two runs differ in protocol, connections");
    assert_eq!(notes[1], "candidate: a process was lost");
    assert!(notes[2].starts_with("candidate: a sending thread used 99 %"), "{notes:?}");
}

#[test]
fn a_run_is_equal_to_itself() {
    let a = run(CALM, 1);
    let comparison = compare(&a, &a).unwrap();
    assert!(comparison.figures.iter().all(|compared| compared.verdict == Verdict::Undecided));
    assert!(comparison.notes.is_empty());
    let read: Comparison = serde_json::from_str(&serde_json::to_string(&comparison).unwrap()).unwrap();
    assert_eq!(read.figures.len(), comparison.figures.len());
}
