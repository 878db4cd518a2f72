//! Metric handles and the process-wide registry that `/metrics` renders.
//!
//! `counter`, `gauge` and `histogram` register a series (name, help, labels) and return a handle; the same name and
//! labels return the same series. Handles are atomics: cheap to clone, no lock when touched or dropped.
//!
//! A series stays for as long as the process, but for one that was registered `_while_held`: it is for labels that come
//! and go, and is gone once the last clone of its handle is. Nobody tells the registry: it holds a clone itself, so a
//! count of one says that the series is abandoned. That is looked at before a rendering, and when a family has doubled
//! since the last look, so abandoned series never outnumber the others by more than that, scraped or not.
//!
//! Text format: Prometheus exposition format 0.0.4.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

/// A count that only grows.
#[derive(Clone, Debug)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A level that rises and falls.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Sets the level.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The level now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of a latency histogram, in microseconds; the last bucket is open.
const BOUNDS_US: [u64; 14] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000];

#[derive(Debug, Default)]
struct Buckets {
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// A distribution of durations, rendered in seconds.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS_US.partition_point(|bound| *bound < us);
        self.0.counts[at].fetch_add(1, Ordering::Relaxed);
        self.0.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|c| c.load(Ordering::Relaxed)).sum()
    }
}

enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

impl Series {
    /// Whether somebody else than the registry has a handle.
    fn is_held(&self) -> bool {
        let handles = match self {
            Series::Counter(c) => Arc::strong_count(&c.0),
            Series::Gauge(g) => Arc::strong_count(&g.0),
            Series::Histogram(h) => Arc::strong_count(&h.0),
        };
        handles > 1
    }
}

/// How long a series is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Always,
    WhileHeld,
}

struct Kept {
    series: Series,
    keep: Keep,
}

impl Kept {
    /// No handle can come back to one that is not: they are made under the registry's lock, or from each other.
    fn is_alive(&self) -> bool {
        self.keep == Keep::Always || self.series.is_held()
    }
}

/// A family of fewer series than this is not looked through for abandoned ones before it is rendered.
const SMALL: usize = 64;

struct Family {
    help: &'static str,
    series: BTreeMap<String, Kept>,
    /// At this size it is looked through.
    full: usize,
}

impl Family {
    fn new(help: &'static str) -> Self {
        Family { help, series: BTreeMap::new(), full: SMALL }
    }

    fn sweep(&mut self) {
        self.series.retain(|_, kept| kept.is_alive());
        self.full = SMALL.max(self.series.len() * 2);
    }

    /// The series of these labels; a new one where there is none, or an abandoned one.
    fn series(&mut self, labels: String, keep: Keep, new: impl FnOnce() -> Series) -> &Series {
        if self.series.len() >= self.full {
            self.sweep();
        }
        let kept = match self.series.entry(labels) {
            Entry::Vacant(vacant) => vacant.insert(Kept { series: new(), keep }),
            Entry::Occupied(mut found) => {
                if !found.get().is_alive() {
                    found.insert(Kept { series: new(), keep });
                }
                found.into_mut()
            }
        };
        if keep == Keep::Always {
            kept.keep = Keep::Always;
        }
        &kept.series
    }
}

type Families = Mutex<BTreeMap<&'static str, Family>>;

fn registry() -> &'static Families {
    static REGISTRY: OnceLock<Families> = OnceLock::new();
    REGISTRY.get_or_init(Families::default)
}

/// Registers a counter; by convention its name ends in `_total`.
///
/// # Panics
/// When the name is taken by a metric of another type: a mistake of the program, found at start-up.
pub fn counter(name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Counter {
    a_counter(name, help, labels, Keep::Always)
}

/// A counter that is there for as long as somebody holds it; one that returns starts at zero.
///
/// # Panics
/// As [`counter`].
pub fn counter_while_held(name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Counter {
    a_counter(name, help, labels, Keep::WhileHeld)
}

fn a_counter(name: &'static str, help: &'static str, labels: &[(&str, &str)], keep: Keep) -> Counter {
    with_series(
        name,
        help,
        (labels, keep),
        || Series::Counter(Counter(Arc::default())),
        |s| match s {
            Series::Counter(c) => Some(c.clone()),
            _ => None,
        },
    )
}

/// Registers a gauge.
///
/// # Panics
/// As [`counter`].
pub fn gauge(name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Gauge {
    with_series(
        name,
        help,
        (labels, Keep::Always),
        || Series::Gauge(Gauge(Arc::default())),
        |s| match s {
            Series::Gauge(g) => Some(g.clone()),
            _ => None,
        },
    )
}

/// Registers a histogram of durations; by convention its name ends in `_seconds`.
///
/// # Panics
/// As [`counter`].
pub fn histogram(name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Histogram {
    a_histogram(name, help, labels, Keep::Always)
}

/// A histogram that is there for as long as somebody holds it; one that returns starts at zero.
///
/// # Panics
/// As [`counter`].
pub fn histogram_while_held(name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Histogram {
    a_histogram(name, help, labels, Keep::WhileHeld)
}

fn a_histogram(name: &'static str, help: &'static str, labels: &[(&str, &str)], keep: Keep) -> Histogram {
    with_series(
        name,
        help,
        (labels, keep),
        || Series::Histogram(Histogram(Arc::default())),
        |s| match s {
            Series::Histogram(h) => Some(h.clone()),
            _ => None,
        },
    )
}

fn with_series<H>(
    name: &'static str,
    help: &'static str,
    (labels, keep): (&[(&str, &str)], Keep),
    new: impl FnOnce() -> Series,
    pick: impl FnOnce(&Series) -> Option<H>,
) -> H {
    let mut families = registry().lock();
    let family = families.entry(name).or_insert_with(|| Family::new(help));
    pick(family.series(label_text(labels), keep, new))
        .unwrap_or_else(|| panic!("metric {name} is registered with another type"))
}

fn label_text(labels: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in labels {
        if !out.is_empty() {
            out.push(',');
        }
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(out, "{name}=\"{value}\"");
    }
    out
}

/// All series, and the metrics of the process, in the Prometheus text format.
pub fn render() -> String {
    let mut out = String::new();
    for (name, family) in registry().lock().iter_mut() {
        family.sweep();
        let ty = match family.series.values().next().map(|kept| &kept.series) {
            Some(Series::Counter(_)) => "counter",
            Some(Series::Gauge(_)) => "gauge",
            Some(Series::Histogram(_)) => "histogram",
            None => continue,
        };
        let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {ty}", family.help);
        for (labels, kept) in &family.series {
            render_series(&mut out, name, labels, &kept.series);
        }
    }
    crate::process::render(&mut out);
    out
}

fn render_series(out: &mut String, name: &str, labels: &str, series: &Series) {
    let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    match series {
        Series::Counter(c) => {
            let _ = writeln!(out, "{name}{braced} {}", c.get());
        }
        Series::Gauge(g) => {
            let _ = writeln!(out, "{name}{braced} {}", g.get());
        }
        Series::Histogram(h) => {
            let comma = if labels.is_empty() { "" } else { "," };
            let mut seen = 0;
            for (count, bound) in h.0.counts.iter().zip(BOUNDS_US.iter().map(Some).chain([None])) {
                seen += count.load(Ordering::Relaxed);
                let le = bound.map_or("+Inf".to_owned(), |us| (*us as f64 / 1e6).to_string());
                let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{le}\"}} {seen}");
            }
            let sum = h.0.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
            let _ = writeln!(out, "{name}_sum{braced} {sum}\n{name}_count{braced} {seen}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_shared_and_rendered() {
        counter("test_seen_total", "Seen.", &[("kind", "a\"b")]).add(2);
        counter("test_seen_total", "Seen.", &[("kind", "a\"b")]).inc();
        histogram("test_took_seconds", "Took.", &[]).record(Duration::from_millis(2));
        let text = render();
        assert!(text.contains("# TYPE test_seen_total counter\ntest_seen_total{kind=\"a\\\"b\"} 3\n"), "{text}");
        assert!(text.contains("test_took_seconds_bucket{le=\"0.001\"} 0\n"), "{text}");
        assert!(text.contains("test_took_seconds_bucket{le=\"0.0025\"} 1\n"), "{text}");
        assert!(text.contains("test_took_seconds_sum 0.002\ntest_took_seconds_count 1\n"), "{text}");
    }

    #[test]
    fn durations_fall_into_their_buckets() {
        let h = histogram("test_buckets_seconds", "Buckets.", &[("a", "b")]);
        for took in [Duration::ZERO, Duration::from_micros(100), Duration::from_micros(101), Duration::from_secs(3600)]
        {
            h.record(took);
        }
        assert_eq!(h.count(), 4);
        let text = render();
        for line in ["le=\"0.0001\"} 2", "le=\"0.00025\"} 3", "le=\"30\"} 3", "le=\"+Inf\"} 4"] {
            assert!(text.contains(&format!("test_buckets_seconds_bucket{{a=\"b\",{line}\n")), "{line} in {text}");
        }
        assert!(text.contains("test_buckets_seconds_count{a=\"b\"} 4\n"), "{text}");
    }

    #[test]
    fn levels_rise_and_fall_and_labels_are_escaped() {
        let g = gauge("test_level", "Level.", &[("path", "a\\b\nc"), ("z", "")]);
        g.set(5);
        g.add(-7);
        let text = render();
        assert!(text.contains("test_level{path=\"a\\\\b\\nc\",z=\"\"} -2\n"), "{text}");
        assert_eq!(text.matches("# TYPE test_level gauge\n").count(), 1);
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    }

    fn registered(name: &str) -> usize {
        registry().lock().get(name).map_or(0, |family| family.series.len())
    }

    #[test]
    fn what_nobody_holds_is_gone() {
        let held = |n: &str| counter_while_held("test_held_total", "Held.", &[("n", n)]);
        let one = held("1");
        one.inc();
        let again = held("1");
        drop(one);
        again.inc();
        assert!(render().contains("test_held_total{n=\"1\"} 2\n"));
        drop(again);
        // Abandoned, whether or not it was rendered meanwhile.
        let one = held("1");
        assert_eq!(one.get(), 0);
        drop(one);
        assert!(!render().contains("test_held_total"));
        assert_eq!(registered("test_held_total"), 0);
        let took = histogram_while_held("test_held_seconds", "Held.", &[]);
        assert!(render().contains("test_held_seconds_count 0\n"));
        drop(took);
        assert!(!render().contains("test_held_seconds"));
    }

    #[test]
    fn what_anybody_wants_always_stays() {
        counter("test_stays_total", "Stays.", &[]).inc();
        drop(counter_while_held("test_stays_total", "Stays.", &[]));
        assert!(render().contains("test_stays_total 1\n"));
        let held = counter_while_held("test_stays_after_total", "Stays.", &[]);
        held.inc();
        drop(counter("test_stays_after_total", "Stays.", &[]));
        drop(held);
        assert!(render().contains("test_stays_after_total 1\n"));
    }

    #[test]
    fn churn_is_bounded_without_a_scrape() {
        // Not through the registry: a test beside this one may render.
        let mut family = Family::new("Churn.");
        let new = || Series::Counter(Counter(Arc::default()));
        let mut held = Vec::new();
        let mut most = 0;
        for n in 0..10_000 {
            let Series::Counter(handle) = family.series(format!("n=\"{n}\""), Keep::WhileHeld, new) else { panic!() };
            if n % 100 == 0 {
                held.push(handle.clone());
            }
            most = most.max(family.series.len());
        }
        assert!(most <= 2 * held.len(), "{most}");
        family.sweep();
        assert_eq!(family.series.len(), held.len());
    }

    #[test]
    #[should_panic(expected = "metric test_twice is registered with another type")]
    fn a_name_has_one_type() {
        counter("test_twice", "Twice.", &[]);
        gauge("test_twice", "Twice.", &[]);
    }
}
