//! What a terminal shows while a load lasts, drawn anew in place once a second.
//!
//! [`frame`] is a pure function from figures to a few lines, each narrower than the terminal so that none wraps.
//! [`Screen`] remembers what it has drawn and moves back over it. Where there is no terminal, [`line`] says the same in
//! one line, for the caller to print now and then.

use std::collections::VecDeque;
use std::time::Duration;

use purlin_load_model::series::Second;

use crate::format;
use crate::term::{Line, Paint, Style, clean, columns, left};

/// Columns of a label and the gap behind it.
const LABEL: usize = 12;
/// The longest bar of progress.
const BAR: usize = 40;
/// Columns that are kept free behind a sparkline for its peak.
const PEAK: usize = 18;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A load test as it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// Where the requests go, as an address.
    pub target: String,
    /// Since the load began, warm-up included.
    pub elapsed: Duration,
    /// How long it lasts, warm-up included.
    pub total: Duration,
    /// How long its figures do not count.
    pub warm_up: Duration,
    /// Iterations a second that the plan means just now; none with a closed pace.
    pub intended: Option<f64>,
    /// The last seconds that are over, oldest first: what the sparklines show. The caller keeps as many as it likes.
    pub recent: VecDeque<Second>,
    /// Requests with an answer as expected, from the start.
    pub succeeded: u64,
    /// Requests that failed, from the start.
    pub failed: u64,
    /// Iterations that began late, from the start.
    pub late: u64,
    /// Iterations that never began, from the start.
    pub not_sent: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// Connections that are open.
    pub connections: u64,
    /// Connections that the plan asks for.
    pub connections_wanted: u64,
}

impl Live {
    fn last(&self) -> Second {
        self.recent.back().cloned().unwrap_or_default()
    }

    /// Rounded up to a second, so that it ends with zero and not one early.
    fn remaining(&self) -> Duration {
        Duration::from_secs(self.total.saturating_sub(self.elapsed).as_secs_f64().ceil() as u64)
    }

    /// Answers a second, the failed ones included, against what the plan means.
    fn rate(&self) -> String {
        let second = self.last();
        let now = format::rate((second.succeeded + second.failed) as f64);
        match self.intended {
            Some(intended) => format!("{now} of {}", format::rate(intended)),
            None => now,
        }
    }

    fn failures(&self) -> String {
        let share = format::percent_of(self.failed, self.succeeded + self.failed);
        format!("{} failed ({share})", format::count(self.failed))
    }
}

/// The lines of the view, each ended by a line break and narrower than `style.width`.
pub fn frame(live: &Live, style: Style) -> String {
    // A full last column makes some terminals wrap already.
    let style = Style { width: style.width.saturating_sub(1), ..style };
    let last = live.last();
    let label = |text: &str| Line::new().add(Paint::Dim, left(text, LABEL));
    let bad = |count: u64| if count > 0 { Paint::Bad } else { Paint::Plain };
    let doubtful = |count: u64| if count > 0 { Paint::Warn } else { Paint::Plain };
    let lines = [
        Line::new().add(Paint::Bold, clean(&live.target)),
        progress(live, style),
        label("answers")
            .add(Paint::Bold, live.rate())
            .text(format!("   in flight {}", format::count(live.in_flight)))
            .text(format!(
                "   connections {} of {}",
                format::count(live.connections),
                format::count(live.connections_wanted)
            )),
        label("latency")
            .text(format!("p50 {}   p90 {}   ", format::duration(last.p50), format::duration(last.p90)))
            .add(Paint::Bold, format!("p99 {}", format::duration(last.p99)))
            .text(format!("   max {}", format::duration(last.max))),
        label("so far")
            .text(format!("{} succeeded   ", format::count(live.succeeded)))
            .add(bad(live.failed), live.failures())
            .add(doubtful(live.late), format!("   {} late", format::count(live.late)))
            .add(doubtful(live.not_sent), format!("   {} not sent", format::count(live.not_sent))),
        sparkline("answers", live, style, |second| (second.succeeded + second.failed) as f64, format::rate),
        sparkline(
            "p99",
            live,
            style,
            |second| second.p99.as_secs_f64(),
            |peak| format::duration(Duration::try_from_secs_f64(peak).unwrap_or(Duration::MAX)),
        ),
    ];
    lines.iter().map(|line| line.render(style) + "\n").collect()
}

/// How far it has come: `0:12 ━━━━━━╌╌╌╌╌╌ 0:18 left`.
fn progress(live: &Live, style: Style) -> Line {
    let end = if live.elapsed < live.warm_up { " left, warming up" } else { " left" };
    let (elapsed, remaining) = (format::clock(live.elapsed), format::clock(live.remaining()));
    let around = LABEL + 1 + columns(&remaining) + columns(end);
    let length = style.width.saturating_sub(around).min(BAR);
    let share = match live.total.as_secs_f64() {
        total if total > 0.0 => (live.elapsed.as_secs_f64() / total).min(1.0),
        _ => 1.0,
    };
    let done = (share * length as f64).floor() as usize;
    Line::new()
        .add(Paint::Bold, left(&elapsed, LABEL))
        .add(Paint::Good, "━".repeat(done))
        .add(Paint::Dim, "╌".repeat(length.saturating_sub(done)))
        .text(format!(" {remaining}{end}"))
}

/// The last seconds of one figure as columns of eight heights, the newest to the right, and its peak.
fn sparkline(
    name: &str,
    live: &Live,
    style: Style,
    figure: impl Fn(&Second) -> f64,
    show: impl Fn(f64) -> String,
) -> Line {
    let room = style.width.saturating_sub(LABEL + PEAK);
    let skipped = live.recent.len().saturating_sub(room);
    let values: Vec<f64> = live.recent.iter().skip(skipped).map(figure).collect();
    let peak = values.iter().copied().fold(0.0, f64::max);
    let line = Line::new()
        .add(Paint::Dim, left(name, LABEL))
        .text(values.iter().map(|value| level(*value, peak)).collect::<String>());
    if values.is_empty() { line } else { line.add(Paint::Dim, format!("  peak {}", show(peak))) }
}

/// The column for `value` where `peak` is the highest. What is not zero never looks like zero.
fn level(value: f64, peak: f64) -> char {
    if value <= 0.0 || peak <= 0.0 {
        return ' ';
    }
    let index = (value / peak * LEVELS.len() as f64).ceil() as usize;
    LEVELS.get(index.saturating_sub(1)).copied().unwrap_or('█')
}

/// The same in one line without a line break, for a log.
pub fn line(live: &Live) -> String {
    let last = live.last();
    format!(
        "{} of {}: answers {}, p50 {}, p99 {}, {}, {} late, {} not sent, {} in flight",
        format::clock(live.elapsed),
        format::clock(live.total),
        live.rate(),
        format::duration(last.p50),
        format::duration(last.p99),
        live.failures(),
        format::count(live.late),
        format::count(live.not_sent),
        format::count(live.in_flight)
    )
}

/// What was drawn last, so that the next frame takes its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// Columns of each line that stands on the terminal.
    drawn: Vec<usize>,
}

impl Screen {
    /// What to write so that `frame` stands where the last one stood; `width` is that of the terminal now, which may
    /// have become narrower and then shows a line in several rows.
    pub fn redraw(&mut self, frame: &str, width: usize) -> String {
        let mut out = self.back(width);
        for line in frame.lines() {
            out.push_str(line);
            // To the end of the line.
            out.push_str("\x1b[K\n");
        }
        // To the end of the screen: the last frame may have had more rows.
        out.push_str("\x1b[J");
        self.drawn = frame.lines().map(visible).collect();
        out
    }

    /// What to write so that nothing of the last frame is left, before other text or at the end.
    pub fn clear(&mut self, width: usize) -> String {
        let mut out = self.back(width);
        if !self.drawn.is_empty() {
            out.push_str("\x1b[J");
        }
        self.drawn.clear();
        out
    }

    /// To the beginning of the last frame.
    fn back(&self, width: usize) -> String {
        let rows: usize = self.drawn.iter().map(|columns| columns.div_ceil(width.max(1)).max(1)).sum();
        if rows == 0 { String::new() } else { format!("\r\x1b[{rows}A") }
    }
}

/// Columns of a line without what paints it.
fn visible(line: &str) -> usize {
    let mut pieces = line.split("\x1b[");
    let first = pieces.next().map_or(0, columns);
    first + pieces.map(|piece| columns(piece.split_once('m').map_or("", |(_, text)| text))).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn live() -> Live {
        let summary = sample::overload();
        Live {
            target: "http://127.0.0.1:8080".to_owned(),
            elapsed: Duration::from_millis(42_100),
            total: Duration::from_secs(60),
            intended: Some(500.0),
            recent: summary.series.into_iter().take(42).collect(),
            succeeded: 20_475,
            failed: 525,
            late: 1_900,
            in_flight: 3,
            connections: 50,
            connections_wanted: 50,
            ..Live::default()
        }
    }

    const PLAIN: Style = Style { color: false, width: 80 };

    #[test]
    fn a_frame_says_how_it_goes() {
        insta::assert_snapshot!(frame(&live(), PLAIN), @"
    http://127.0.0.1:8080
    0:42        ━━━━━━━━━━━━━━━━━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌ 0:18 left
    answers     500/s of 500/s   in flight 3   connections 50 of 50
    latency     p50 1.05 ms   p90 1.69 ms   p99 4.57 ms   max 10.2 ms
    so far      20,475 succeeded   525 failed (2.50 %)   1,900 late   0 not sent
    answers     ▄▄▄▄ █▄▅▄▄▄▄▄▄ █▄▄▅▄▄▄▄▄▁█▄▄▄▄▄▄▄▄ █▅▄▄▄▄▄  peak 1,000/s
    p99         ▁▁▁▁ █▁▁▁▁▁▁▁▁ █▁▁▁▁▁▁▁▁▁█▁▁▁▁▁▁▁▁ █▁▁▁▁▁▁  peak 983 ms
    ");
    }

    #[test]
    fn a_frame_before_anything_happened() {
        let start = Live { total: Duration::from_secs(30), warm_up: Duration::from_secs(5), ..Live::default() };
        insta::assert_snapshot!(frame(&start, PLAIN), @"
    0:00        ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ 0:30 left, warming up
    answers     0/s   in flight 0   connections 0 of 0
    latency     p50 0   p90 0   p99 0   max 0
    so far      0 succeeded   0 failed (0 %)   0 late   0 not sent
    answers
    p99
    ");
    }

    #[test]
    fn a_line_says_the_same() {
        insta::assert_snapshot!(line(&live()), @"0:42 of 1:00: answers 500/s of 500/s, p50 1.05 ms, p99 4.57 ms, 525 failed (2.50 %), 1,900 late, 0 not sent, 3 in flight");
    }

    #[test]
    fn no_line_ever_wraps() {
        let mut live = live();
        live.target = "http://漢字漢字漢字漢字漢字漢字\x1b[2J".to_owned();
        for (width, color) in (0..130).flat_map(|width| [(width, true), (width, false)]) {
            let frame = frame(&live, Style { color, width });
            assert_eq!(frame.lines().count(), 7);
            let widest = frame.lines().map(visible).max().unwrap();
            assert!(widest < width.max(1), "{width} {widest}");
            assert!(!frame.contains("\x1b[2J"));
        }
    }

    #[test]
    fn a_frame_takes_the_place_of_the_last() {
        let mut screen = Screen::default();
        assert_eq!(screen.clear(80), "");
        assert_eq!(screen.redraw("one\n\x1b[1mtwo\x1b[0m\n", 80), "one\x1b[K\n\x1b[1mtwo\x1b[0m\x1b[K\n\x1b[J");
        assert_eq!(screen.redraw("three\n", 80), "\r\x1b[2Athree\x1b[K\n\x1b[J");
        // Five columns in a terminal of two take three rows.
        assert_eq!(screen.clone().clear(2), "\r\x1b[3A\x1b[J");
        assert_eq!(screen.clear(80), "\r\x1b[1A\x1b[J");
    }

    #[test]
    fn columns_of_a_sparkline() {
        let drawn = [0.0, 0.001, 1.0, 4.0, 7.9, 8.0].map(|value| level(value, 8.0));
        assert_eq!(drawn, [' ', '▁', '▁', '▄', '█', '█']);
        assert_eq!(level(1.0, 0.0), ' ');
    }
}
