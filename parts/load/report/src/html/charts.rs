//! The charts of a result: latency and rates over time, and how latencies are spread.

use std::time::Duration;

use purlin_load_model::histogram::Histogram;
use purlin_load_model::plan::Pace;
use purlin_load_model::summary::Summary;

use crate::chart::Scale;
use crate::format;

use super::Html;
use super::plot::{Axis, Curve, Plot, Zone};
use super::series::{Point, merged, points};

/// Points of a curve over time at the most: of more, neither an eye nor a pointer tells one from the next.
const POINTS: usize = 240;
/// From this ratio of the longest to the shortest on, an axis of latencies is logarithmic.
const SPREAD: f64 = 30.0;
/// The same for the histogram, whose bars would else crowd to the left.
const HISTOGRAM_SPREAD: f64 = 5.0;
/// So much higher than the highest rate is the chart.
const HEADROOM: f64 = 1.04;
/// Labels on an axis at the most: what a phone has room for.
const TICKS: usize = 5;
/// Bars of the histogram.
const BARS: usize = 48;
/// Points of a curve over percentiles.
const STEPS: usize = 160;
/// From this length on, times are told as a clock does.
const CLOCK_FROM: f64 = 120.0;
/// The percentiles that are named on their axis.
const NAMED: [(&str, f64); 5] = [("50 %", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("99.9 %", 0.999), ("99.99 %", 0.999_9)];

/// All charts for which there is something to draw.
pub(super) fn write(page: &mut Html, summary: &Summary) {
    let total = summary.total();
    let answered = total.latency.count() > 0;
    if summary.series.is_empty() && !answered {
        return;
    }
    page.raw("<section aria-labelledby=\"charts\"><h2 id=\"charts\">Charts</h2>\n<div class=\"charts\">\n");
    if !summary.series.is_empty() {
        let points = points(summary, POINTS);
        if answered {
            latency_over_time(summary, &points).write(page);
        }
        rates_over_time(summary, &points).write(page);
    }
    if answered {
        page.raw("<div class=\"pair\">\n");
        by_percentile(&total.latency, &total.service).write(page);
        histogram(&total.latency).write(page);
        page.raw("</div>\n");
    }
    page.raw("</div></section>\n");
}

fn nanoseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

fn told(nanoseconds: f64) -> String {
    format::duration(Duration::from_nanos(nanoseconds.round() as u64))
}

/// A label of an axis: `5 ms` rather than `5.00 ms`, since ticks are round.
fn duration_tick(nanoseconds: f64) -> (f64, String) {
    let label = told(nanoseconds);
    let short = match label.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => label,
    };
    (nanoseconds, short)
}

fn duration_axis(lowest: f64, highest: f64, spread: f64, most: usize) -> Axis {
    let scale = Scale::fitting(lowest, highest, spread);
    let most = if scale.is_logarithmic() { TICKS } else { most };
    Axis { ticks: scale.ticks(most).into_iter().map(duration_tick).collect(), scale }
}

fn time_axis(points: &[Point]) -> Axis {
    let (from, to) = (points.first().map_or(0.0, |p| p.from), points.last().map_or(1.0, |p| p.to));
    let scale = Scale::linear(from, to);
    let label = |seconds: f64| (seconds, moment(seconds, to));
    Axis { ticks: scale.time_ticks(TICKS).into_iter().map(label).collect(), scale }
}

/// A moment of a run that ends at `end`, in seconds.
fn moment(seconds: f64, end: f64) -> String {
    if end >= CLOCK_FROM {
        format::clock(Duration::from_secs_f64(seconds.clamp(0.0, 1e9)))
    } else {
        format!("{} s", (seconds * 10.0).round() / 10.0)
    }
}

/// What a point stands for, where seconds were merged.
fn merged_note(summary: &Summary, how: &str) -> String {
    match (merged(summary.series.len(), POINTS) as u64).saturating_mul(summary.step) {
        0 | 1 => String::new(),
        seconds => format!(" Each point stands for {seconds} seconds: {how}."),
    }
}

const LATENCIES: [(&str, &str); 4] = [("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("longest", "max")];

fn latency_over_time(summary: &Summary, points: &[Point]) -> Plot {
    let measured = || points.iter().flat_map(|point| point.latencies).filter(|latency| !latency.is_zero());
    let lowest = measured().min().map_or(1.0, nanoseconds);
    let highest = measured().max().map_or(1.0, nanoseconds);
    let y = duration_axis(lowest, highest, SPREAD, TICKS);
    let curve = |(index, (name, class)): (usize, &(&'static str, &'static str))| {
        let value = |point: &Point| point.latencies.get(index).filter(|l| !l.is_zero()).map(|l| nanoseconds(*l));
        Curve::new(name, class, points.iter().map(|point| (point.middle(), value(point))))
    };
    let x = time_axis(points);
    let end = x.scale.ends().1;
    let words = |point: &Point| {
        let [p50, p90, p99, max] = point.latencies.map(format::duration);
        if point.latencies.iter().all(Duration::is_zero) {
            return format!("{}: nothing ended", moment(point.from, end));
        }
        format!("{}: p50 {p50}, p90 {p90}, p99 {p99}, longest {max}", moment(point.from, end))
    };
    let kind = if y.scale.is_logarithmic() { "Logarithmic scale." } else { "" };
    let gap = if points.iter().any(|point| point.latencies.iter().all(Duration::is_zero)) {
        " Gaps: no request ended."
    } else {
        ""
    };
    Plot {
        title: "Latency over time",
        note: format!(
            "{kind} Of what ended in each second.{gap}{}",
            merged_note(summary, "the worst of them, with p50 their median")
        )
        .trim()
        .to_owned(),
        told: format!(
            "Latency over time: p50, p90, p99 and the longest of each second, from {} to {}",
            told(lowest),
            told(highest)
        ),
        curves: LATENCIES.iter().enumerate().map(curve).collect(),
        zones: points.iter().map(|point| zone(point, words(point))).collect(),
        x,
        y,
    }
}

fn zone(point: &Point, words: String) -> Zone {
    Zone { from: point.from, to: point.to, bar: None, words }
}

fn rates_over_time(summary: &Summary, points: &[Point]) -> Plot {
    let highest = |figure: fn(&Point) -> f64| points.iter().map(figure).fold(0.0, f64::max);
    let most = highest(|point| point.offered.max(point.succeeded).max(point.failed));
    let scale = Scale::from_zero(most * HEADROOM);
    let y = Axis { ticks: scale.ticks(TICKS).into_iter().map(|rate| (rate, format::rate(rate))).collect(), scale };
    let x = time_axis(points);
    let end = x.scale.ends().1;
    let words = |point: &Point| {
        format!(
            "{}: offered {}, succeeded {}, failed {}, {} in flight",
            moment(point.from, end),
            format::rate(point.offered),
            format::rate(point.succeeded),
            format::rate(point.failed),
            format::count(point.in_flight)
        )
    };
    let curve = |name, class, figure: fn(&Point) -> f64| {
        Curve::new(name, class, points.iter().map(|point| (point.middle(), Some(figure(point)))))
    };
    let mut note = String::new();
    if summary.plan.scenarios.iter().any(|scenario| scenario.steps.len() > 1) {
        note.push_str("An iteration consists of several requests.");
    }
    if summary.lasted.subsec_millis() > 50 && summary.lasted.subsec_millis() < 950 {
        note.push_str(" The last second is not a whole one.");
    }
    note.push_str(&merged_note(summary, "their mean"));
    let offered = match summary.plan.pace {
        Pace::Open { .. } => "iterations offered",
        Pace::Closed { .. } => "iterations begun",
    };
    Plot {
        title: "Rates over time",
        note: note.trim().to_owned(),
        told: format!(
            "Rates over time: at most {} iterations offered, {} requests succeeded and {} failed",
            format::rate(highest(|point| point.offered)),
            format::rate(highest(|point| point.succeeded)),
            format::rate(highest(|point| point.failed))
        ),
        curves: vec![
            curve("requests succeeded", "succeeded", |point| point.succeeded),
            curve(offered, "offered", |point| point.offered),
            curve("requests failed", "failed", |point| point.failed),
        ],
        zones: points.iter().map(|point| zone(point, words(point))).collect(),
        x,
        y,
    }
}

/// How many nines a quantile has: the classical axis of latency distributions.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

fn by_percentile(latency: &Histogram, service: &Histogram) -> Plot {
    // Beyond one in `count` there is nothing but the longest.
    let end = (latency.count() as f64).log10().clamp(1.0, 4.0);
    let begin = nines(0.5);
    let at = |index: usize| begin + (end - begin) * index as f64 / STEPS as f64;
    let quantile = |nines: f64| 1.0 - 10_f64.powf(-nines);
    let curve = |name, class, histogram: &Histogram| {
        let value = |x: f64| (histogram.count() > 0).then(|| nanoseconds(histogram.quantile(quantile(x))));
        Curve::new(name, class, (0..=STEPS).map(at).map(|x| (x, value(x))))
    };
    let lowest = latency.quantile(0.5).min(if service.count() > 0 { service.quantile(0.5) } else { Duration::MAX });
    let highest = latency.quantile(quantile(end)).max(service.quantile(quantile(end)));
    let y = duration_axis(nanoseconds(lowest), nanoseconds(highest), SPREAD, TICKS);
    let zones = (0..STEPS / 4).map(|index| {
        let (from, to) = (at(index * 4), at(index * 4 + 4));
        let share = quantile(f64::midpoint(from, to));
        let digits = end.ceil() as usize;
        let words = format!(
            "{:.digits$} % within {}; service time {}",
            share * 100.0,
            format::duration(latency.quantile(share)),
            format::duration(service.quantile(share))
        );
        Zone { from, to, bar: None, words }
    });
    let ticks = NAMED.iter().map(|(name, quantile)| (nines(*quantile), (*name).to_owned()));
    Plot {
        title: "Latency by percentile",
        note: format!(
            "The share of requests that took no longer.{}",
            if y.scale.is_logarithmic() { " Logarithmic scale." } else { "" }
        ),
        told: format!(
            "Latency by percentile: 50 % within {}, 99 % within {}; service time 50 % within {}, 99 % within {}",
            format::duration(latency.quantile(0.5)),
            format::duration(latency.quantile(0.99)),
            format::duration(service.quantile(0.5)),
            format::duration(service.quantile(0.99))
        ),
        x: Axis { ticks: ticks.filter(|(x, _)| *x <= end + 1e-9).collect(), scale: Scale::linear(begin, end) },
        y,
        curves: vec![curve("latency", "p99", latency), curve("service time", "p90", service)],
        zones: zones.collect(),
    }
}

fn histogram(latency: &Histogram) -> Plot {
    let (lowest, highest) = (nanoseconds(latency.min()).max(1.0), nanoseconds(latency.max()));
    let x = duration_axis(lowest, highest, HISTOGRAM_SPREAD, TICKS - 1);
    let mut bars = [0_u64; BARS];
    for (longest, count) in latency.buckets() {
        let index = (x.scale.place(nanoseconds(longest)) * BARS as f64) as usize;
        if let Some(bar) = bars.get_mut(index.min(BARS - 1)) {
            *bar += count;
        }
    }
    let share = |count: u64| count as f64 / latency.count().max(1) as f64;
    let most = bars.iter().copied().max().unwrap_or_default();
    let scale = Scale::from_zero(share(most));
    let tick = |share: f64| (share, format!("{} %", (share * 10_000.0).round() / 100.0));
    let zones = bars.iter().enumerate().filter(|(_, count)| **count > 0).map(|(index, count)| {
        let (from, to) = (x.scale.value(index as f64 / BARS as f64), x.scale.value((index + 1) as f64 / BARS as f64));
        let words = format!(
            "{} to {}: {} ({})",
            told(from),
            told(to),
            format::counted(*count, "request"),
            format::percent(share(*count))
        );
        Zone { from, to, bar: Some(share(*count)), words }
    });
    Plot {
        title: "Histogram of latency",
        note: format!("Share of requests.{}", if x.scale.is_logarithmic() { " Logarithmic scale." } else { "" }),
        told: format!(
            "Histogram of latency from {} to {}: half of the requests took no more than {}",
            told(lowest),
            told(highest),
            format::duration(latency.quantile(0.5))
        ),
        zones: zones.collect(),
        y: Axis { ticks: scale.ticks(TICKS).into_iter().map(tick).collect(), scale },
        x,
        curves: Vec::new(),
    }
}
