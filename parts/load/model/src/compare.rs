//! Two results of the same plan: by how much they differ, and whether these runs can show it.
//!
//! A figure is compared as the ratio candidate / baseline with a 95 % interval. There are two reasons why a figure of a
//! run is not exact, and two ways to tell by how much; the wider interval counts.
//!
//! *Few requests.* Were requests independent of each other, the true quantile q would lie between the order statistics
//! of ranks nq ± 1.96 √(nq(1-q)) in 95 % of the runs, whatever the distribution. Both ranks are looked up in the
//! histogram. Where one lies beyond the slowest request, the run has too few for this quantile, and no interval is
//! given. A mean has its standard error; counts of failures and successes have that of a Poisson process.
//!
//! *Requests are not independent.* They queue behind each other, and a pause of the target hits a thousand at once: that
//! is one event, not a thousand. So the load is cut into ten blocks of consecutive seconds, and the figure is computed
//! ten times with one block left out (the grouped jackknife). How much it moves says how much it hangs on when things
//! happened; a p99 that rests on a single pause moves very much, and nothing is concluded from it. The same block is
//! left out of both runs, so what the plan itself does over time (a ramp) cancels out. Ten values leave nine degrees of
//! freedom, hence Student's 2.262 in place of 1.96. The series has quantiles of each second, not its histogram, so the
//! blocks are sketched: between the quantiles as straight lines of the logarithm, below the median as its mirror image.
//! The sketch serves for the spread only; the ratio itself comes from the histograms.
//!
//! Simulated: of 400 pairs of equal runs (30 s, 100 requests a second) a latency was called different in 1 to 2 % where
//! requests were independent, and in 6 to 8 % where whole seconds wandered together, by 10 % and for some seconds; with
//! 120 s in 6 %. Order statistics alone are wrong there in more than a third. Of seven figures, one or another is off
//! by chance more often than each is.
//!
//! What it does not say: two runs differ for reasons outside of both, too (other load on the machine, warm caches,
//! memory layout). An interval says what these two runs can show, not what the next pair will; runs in turn, several of
//! each, say more.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;
use crate::plan::Plan;
use crate::series::{self, Second};
use crate::summary::{FORMAT, Summary};

/// How many blocks a load is cut into.
const BLOCKS: usize = 10;
/// The 97.5 % quantile of the normal distribution.
const NORMAL: f64 = 1.96;
/// That of Student's distribution with `BLOCKS - 1` degrees of freedom.
const STUDENT: f64 = 2.262;
/// How far apart, as logarithms, equal durations can be in two histograms of three digits.
const RESOLUTION: f64 = 0.002;

/// How two results differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The figures.
    pub figures: Vec<Compared>,
    /// What else must be known to read them, in words: other settings, what is missing, limits of the generator.
    pub notes: Vec<String>,
}

/// A figure of two results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Which figure.
    pub figure: Figure,
    /// The baseline's: requests a second, a share from 0 to 1, or seconds.
    pub baseline: f64,
    /// The candidate's.
    pub candidate: f64,
    /// Candidate / baseline, where both are above 0.
    pub ratio: Option<f64>,
    /// Where that ratio lies with a confidence of 95 %.
    pub interval: Option<(f64, f64)>,
    /// Whether the candidate is better.
    pub verdict: Verdict,
    /// Why there is no interval.
    pub why: Option<String>,
}

/// A figure that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Requests a second that succeeded.
    Throughput,
    /// The share of requests that failed.
    ErrorShare,
    /// The mean latency.
    Mean,
    /// Quantiles of the latency: 50 %.
    P50,
    /// 90 %.
    P90,
    /// 99 %.
    P99,
    /// 99.9 %.
    P999,
}

/// What a comparison says about a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The candidate is better.
    Better,
    /// The candidate is worse.
    Worse,
    /// There is no difference that these runs can show.
    Undecided,
}

/// Why two results are not compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// They did not do the same.
    #[error("the two results are not of the same load: they differ in {}", .0.join(", "))]
    Plans(Vec<String>),
    /// One of them has nothing to compare.
    #[error("the {0} has no answered request: there is nothing to compare")]
    Empty(&'static str),
    /// One of them was written by a newer version.
    #[error(
        "the {0} has the format {1}, which is newer than this purlin knows ({FORMAT}): use the purlin that wrote it"
    )]
    Format(&'static str, u32),
}

impl Figure {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Figure; 7] =
        [Figure::Throughput, Figure::ErrorShare, Figure::Mean, Figure::P50, Figure::P90, Figure::P99, Figure::P999];

    fn quantile(self) -> Option<f64> {
        match self {
            Figure::P50 => Some(0.5),
            Figure::P90 => Some(0.9),
            Figure::P99 => Some(0.99),
            Figure::P999 => Some(0.999),
            Figure::Throughput | Figure::ErrorShare | Figure::Mean => None,
        }
    }
}

/// Compares two results of the same load.
pub fn compare(baseline: &Summary, candidate: &Summary) -> Result<Comparison, CompareError> {
    let runs = [("baseline", baseline), ("candidate", candidate)];
    for (name, run) in runs {
        if run.format > FORMAT {
            return Err(CompareError::Format(name, run.format));
        }
    }
    let differ = unlike(baseline, candidate);
    if !differ.is_empty() {
        return Err(CompareError::Plans(differ));
    }
    let (a, b) = (Run::of(baseline, candidate), Run::of(candidate, baseline));
    for (name, run) in [("baseline", &a), ("candidate", &b)] {
        if run.latency.count() == 0 {
            return Err(CompareError::Empty(name));
        }
    }
    let figures = Figure::ALL.iter().map(|figure| compared(*figure, &a, &b)).collect();
    let mut notes = Vec::new();
    if baseline.format != candidate.format {
        notes.push(
            "one was written by an older purlin: whether bodies, queries, headers and data were the same is not known"
                .to_owned(),
        );
    }
    let other = settings(&baseline.plan, &candidate.plan);
    if !other.is_empty() {
        notes.push(format!("the two runs differ in {}", other.join(", ")));
    }
    for (name, run) in runs {
        notes.extend(run.missing.iter().map(|missing| format!("{name}: {missing}")));
        notes.extend(run.confession().iter().map(|limit| format!("{name}: {limit}")));
    }
    Ok(Comparison { figures, notes })
}

/// What must be the same for figures to mean the same.
fn unlike(one: &Summary, other: &Summary) -> Vec<String> {
    let (a, b) = (&one.plan, &other.plan);
    let (scenarios, data) = (a.scenarios != b.scenarios, a.data != b.data);
    // Of what is hidden, only the digest tells. That of an older format was made of less.
    let hidden = !scenarios && !data && one.format == other.format && one.requests != other.requests;
    let fields = [
        ("pace (rate, duration, spacing)", a.pace != b.pace),
        ("warm_up", a.warm_up != b.warm_up),
        ("scenarios", scenarios),
        ("data", data),
        ("what results do not show (bodies, messages, queries, values of headers, rows of data)", hidden),
    ];
    named(&fields)
}

/// What may be just what is compared.
fn settings(a: &Plan, b: &Plan) -> Vec<String> {
    let fields = [
        ("target", a.target != b.target),
        ("protocol", a.protocol != b.protocol),
        ("connections", a.connections != b.connections),
        ("streams", a.streams != b.streams),
        ("timeout", a.timeout != b.timeout),
        ("workers", a.workers != b.workers),
        ("trace_share", a.trace_share.to_bits() != b.trace_share.to_bits()),
        ("tls", a.tls != b.tls),
    ];
    named(&fields)
}

fn named(fields: &[(&str, bool)]) -> Vec<String> {
    fields.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).to_owned()).collect()
}

/// What is compared of a run.
struct Run {
    latency: Histogram,
    throughput: f64,
    error_share: f64,
    succeeded: f64,
    failed: f64,
    /// For each tenth of the load, the run without it; none where it was too short.
    rests: Vec<Block>,
}

/// A stretch of a run.
#[derive(Clone, Default)]
struct Block {
    seconds: f64,
    succeeded: f64,
    failed: f64,
    sketch: Sketch,
}

/// Latencies as the quantiles of their seconds tell them: counts by the logarithm, in thousandths.
#[derive(Clone, Default)]
struct Sketch(BTreeMap<i32, u64>);

impl Run {
    /// The seconds are those that both runs have, as coarse as the coarser one has them.
    fn of(summary: &Summary, other: &Summary) -> Run {
        let total = summary.total();
        let step = summary.step.max(other.step).max(1);
        let series = series::coarser(&summary.series, usize::try_from(step / summary.step.max(1)).unwrap_or(1));
        let whole = |s: &Summary| (s.series.len() as u64).saturating_mul(s.step.max(1)).min(s.lasted.as_secs()) / step;
        let count = usize::try_from(whole(summary).min(whole(other))).unwrap_or(usize::MAX).min(series.len());
        let mut blocks = Vec::new();
        if count >= BLOCKS {
            blocks = vec![Block::default(); BLOCKS];
            for (at, second) in series.iter().take(count).enumerate() {
                if let Some(block) = blocks.get_mut(at * BLOCKS / count) {
                    block.add(second, step as f64);
                }
            }
        }
        Run {
            throughput: summary.throughput(),
            error_share: summary.error_share(),
            succeeded: total.succeeded as f64,
            failed: total.failed().saturating_add(summary.tally.not_sent) as f64,
            latency: total.latency,
            rests: rests(&blocks),
        }
    }

    fn value(&self, figure: Figure) -> f64 {
        match figure {
            Figure::Throughput => self.throughput,
            Figure::ErrorShare => self.error_share,
            Figure::Mean => self.latency.mean().as_secs_f64(),
            _ => self.latency.quantile(figure.quantile().unwrap_or(0.5)).as_secs_f64(),
        }
    }

    /// How far below and above the figure, as logarithms, its true value may lie, were requests independent.
    fn independent(&self, figure: Figure) -> Option<(f64, f64)> {
        let same = |half: f64| Some((half, half));
        match figure {
            Figure::Throughput => same(NORMAL / (self.succeeded + 0.5).sqrt()),
            Figure::ErrorShare => same(NORMAL / (self.failed + 0.5).sqrt()),
            Figure::Mean => same(NORMAL * relative_error(&self.latency)),
            _ => order_statistics(&self.latency, figure.quantile()?),
        }
    }
}

impl Block {
    /// The logarithm of the figure.
    fn ln(&self, figure: Figure) -> f64 {
        match figure {
            Figure::Throughput => ((self.succeeded + 0.5) / self.seconds.max(1.0)).ln(),
            Figure::ErrorShare => ((self.failed + 0.5) / (self.succeeded + self.failed + 1.0)).ln(),
            Figure::Mean => self.sketch.ln_of_mean(),
            _ => self.sketch.ln_of_quantile(figure.quantile().unwrap_or(0.5)),
        }
    }

    fn add(&mut self, second: &Second, seconds: f64) {
        self.seconds += seconds;
        self.succeeded += second.succeeded as f64;
        self.failed += second.failed as f64;
        self.sketch.add(second);
    }

    fn merge(&mut self, other: &Block) {
        self.seconds += other.seconds;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.sketch.merge(&other.sketch);
    }
}

/// All blocks but one, for each of them.
fn rests(blocks: &[Block]) -> Vec<Block> {
    let without = |left_out: usize| {
        let mut rest = Block::default();
        let others = blocks.iter().enumerate().filter(|(at, _)| *at != left_out);
        others.for_each(|(_, block)| rest.merge(block));
        rest
    };
    (0..blocks.len()).map(without).collect()
}

impl Sketch {
    /// Adds the requests of a second, each as a thousand thousandths.
    fn add(&mut self, second: &Second) {
        let count = second.succeeded.saturating_add(second.failed).min(1 << 32);
        if count == 0 {
            return;
        }
        let ln = |duration: Duration| duration.as_secs_f64().max(1e-9).ln();
        let (p50, p90, p99, max) = (ln(second.p50), ln(second.p90), ln(second.p99), ln(second.max));
        let mut add = |ln: f64, thousandths: u64| {
            *self.0.entry((ln * 1e3).round() as i32).or_default() += count * thousandths;
        };
        for step in 0..10 {
            let part = (f64::from(step) + 0.5) / 10.0;
            add(p50 - (p90 - p50) * part, 50);
            add(p50 + (p90 - p50) * part, 40);
            add(p90 + (p99 - p90) * part, 9);
            add(p99 + (max - p99) * part, 1);
        }
    }

    fn merge(&mut self, other: &Sketch) {
        other.0.iter().for_each(|(ln, count)| *self.0.entry(*ln).or_default() += count);
    }

    fn count(&self) -> f64 {
        self.0.values().sum::<u64>() as f64
    }

    fn ln_of_quantile(&self, quantile: f64) -> f64 {
        let mut rest = self.count() * quantile;
        let at = self.0.iter().find(|(_, count)| {
            rest -= **count as f64;
            rest <= 0.0
        });
        at.or(self.0.iter().next_back()).map_or(0.0, |(ln, _)| f64::from(*ln) / 1e3)
    }

    fn ln_of_mean(&self) -> f64 {
        let sum: f64 = self.0.iter().map(|(ln, count)| (f64::from(*ln) / 1e3).exp() * *count as f64).sum();
        (sum / self.count().max(1.0)).max(1e-9).ln()
    }
}

/// The standard error of the mean, as a share of it.
fn relative_error(histogram: &Histogram) -> f64 {
    let (count, mean) = (histogram.count() as f64, histogram.mean().as_secs_f64());
    let square = |(duration, count): (Duration, u64)| (duration.as_secs_f64() - mean).powi(2) * count as f64;
    let variance = histogram.buckets().map(square).sum::<f64>() / (count - 1.0).max(1.0);
    (variance / count.max(1.0)).sqrt() / mean.max(1e-9)
}

/// How far the order statistics lie below and above the quantile, as logarithms; nothing where one is beyond the last.
fn order_statistics(histogram: &Histogram, quantile: f64) -> Option<(f64, f64)> {
    let count = histogram.count() as f64;
    let spread = NORMAL * (count * quantile * (1.0 - quantile)).sqrt();
    let (low, high) = ((count * quantile - spread).floor(), (count * quantile + spread).ceil() + 1.0);
    if low < 1.0 || high > count {
        return None;
    }
    let at = |rank: f64| histogram.quantile((rank - 0.5) / count).as_secs_f64().max(1e-9).ln();
    let middle = histogram.quantile(quantile).as_secs_f64().max(1e-9).ln();
    Some(((middle - at(low)).max(0.0), (at(high) - middle).max(0.0)))
}

fn compared(figure: Figure, a: &Run, b: &Run) -> Compared {
    let (baseline, candidate) = (a.value(figure), b.value(figure));
    let ratio = (baseline > 0.0 && candidate > 0.0).then(|| candidate / baseline);
    let (interval, why) = match interval(figure, a, b) {
        Ok(interval) => (Some(interval), None),
        Err(why) => (None, Some(why.to_owned())),
    };
    let more_is_better = figure == Figure::Throughput;
    let verdict = match interval {
        Some((low, _)) if low > 1.0 => {
            if more_is_better {
                Verdict::Better
            } else {
                Verdict::Worse
            }
        }
        Some((_, high)) if high < 1.0 => {
            if more_is_better {
                Verdict::Worse
            } else {
                Verdict::Better
            }
        }
        _ => Verdict::Undecided,
    };
    Compared { figure, baseline, candidate, ratio, interval, verdict, why }
}

/// Where candidate / baseline lies, or why that cannot be said.
fn interval(figure: Figure, a: &Run, b: &Run) -> Result<(f64, f64), &'static str> {
    if figure == Figure::ErrorShare && a.failed + b.failed == 0.0 {
        return Err("nothing failed in either run");
    }
    if a.rests.is_empty() || b.rests.is_empty() {
        return Err("less than ten whole seconds of both runs: too short to tell chance from difference");
    }
    let too_few = "too few requests for this quantile";
    let (below_a, above_a) = a.independent(figure).ok_or(too_few)?;
    let (below_b, above_b) = b.independent(figure).ok_or(too_few)?;
    let spread = jackknife(figure, a, b);
    let resolution = if matches!(figure, Figure::Throughput | Figure::ErrorShare) { 0.0 } else { RESOLUTION };
    // The ratio is lowest where the candidate's true value is low and the baseline's high.
    let below = below_b.hypot(above_a).max(spread) + resolution;
    let above = above_b.hypot(below_a).max(spread) + resolution;
    let middle = middle(figure, a, b);
    Ok(((middle - below).exp(), (middle + above).exp()))
}

/// The logarithm of the ratio. Half a failure is added to each run, so that none in one of them is no infinity.
fn middle(figure: Figure, a: &Run, b: &Run) -> f64 {
    let of = |run: &Run| match figure {
        Figure::ErrorShare => (run.failed + 0.5) / (run.succeeded + run.failed + 1.0),
        _ => run.value(figure).max(1e-9),
    };
    of(b).ln() - of(a).ln()
}

/// Half of the interval that the blocks show, as a logarithm.
fn jackknife(figure: Figure, a: &Run, b: &Run) -> f64 {
    let ratios: Vec<f64> = a.rests.iter().zip(&b.rests).map(|(a, b)| b.ln(figure) - a.ln(figure)).collect();
    let blocks = BLOCKS as f64;
    let mean = ratios.iter().sum::<f64>() / blocks;
    let squares: f64 = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum();
    STUDENT * ((blocks - 1.0) / blocks * squares).sqrt()
}

#[cfg(test)]
mod tests;
