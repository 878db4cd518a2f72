//! What a terminal shows at the end of a run: the result in about thirty lines.
//!
//! Every line is a label of fixed width and what belongs to it; long sentences wrap beneath themselves. Latencies stand
//! in one table, from the intended start and from the sending, for all steps and for each.

use std::time::Duration;

use purlin_load_model::histogram::Histogram;
use purlin_load_model::plan::Pace;
use purlin_load_model::summary::Summary;

use crate::facts::{self, Grade};
use crate::format;
use crate::term::{Line, Paint, Style, clean, columns, cut, left, right, wrap};

/// Columns of a label and the gap behind it.
const LABEL: usize = 13;
/// The narrowest width that is laid out for: sentences are wrapped for it even where lines are cut.
const NARROWEST: usize = 40;
/// Columns of a figure in the table of latencies, the gap before it included.
const FIGURE: usize = 10;
/// Steps that are listed; the page has them all.
const STEPS: usize = 8;
/// Columns that a step's name may take.
const NAME: usize = 24;

/// The result as a terminal shows it, ended by a line break.
pub fn render(summary: &Summary, style: Style) -> String {
    let mut page = Page { style, out: String::new() };
    head(&mut page, summary);
    accounting(&mut page, summary);
    latencies(&mut page, summary);
    answers(&mut page, summary);
    page.labelled("Connections", Paint::Plain, &facts::connections(summary));
    let (sent, received) = (summary.tally.bytes_sent, summary.tally.bytes_received);
    let traffic = |bytes| facts::traffic(bytes, summary.lasted);
    page.labelled("Traffic", Paint::Plain, &format!("sent {}, received {}", traffic(sent), traffic(received)));
    page.labelled("Generator", Paint::Plain, &facts::generator(summary));
    exemplars(&mut page, summary);
    verdicts(&mut page, summary);
    page.block("Read these figures with care", Paint::Warn, &summary.confession());
    page.block("Missing in these figures", Paint::Bad, &summary.missing);
    page.out
}

/// What has been written, and how.
struct Page {
    style: Style,
    out: String,
}

impl Page {
    fn line(&mut self, line: Line) {
        self.out.push_str(&line.render(self.style));
        self.out.push('\n');
    }

    fn gap(&mut self) {
        self.out.push('\n');
    }

    /// A label, and text that wraps beneath itself.
    fn labelled(&mut self, label: &str, paint: Paint, text: &str) {
        let room = self.style.width.max(NARROWEST).saturating_sub(LABEL);
        for (index, part) in wrap(&clean(text), room).into_iter().enumerate() {
            let label = left(if index == 0 { label } else { "" }, LABEL);
            self.line(Line::new().add(Paint::Dim, label).add(paint, part));
        }
    }

    /// Sentences under a heading that catches the eye; nothing where there are none.
    fn block(&mut self, heading: &str, paint: Paint, sentences: &[String]) {
        if sentences.is_empty() {
            return;
        }
        self.gap();
        self.line(Line::new().add(paint, format!("┃ {heading}")));
        for sentence in sentences {
            let lines = wrap(&clean(sentence), self.style.width.max(NARROWEST).saturating_sub(4));
            for (index, part) in lines.into_iter().enumerate() {
                let bullet = if index == 0 { " • " } else { "   " };
                self.line(Line::new().add(paint, "┃").text(bullet).text(part));
            }
        }
    }
}

fn head(page: &mut Page, summary: &Summary) {
    let plan = &summary.plan;
    page.labelled("Target", Paint::Bold, &facts::target(plan));
    page.labelled("", Paint::Plain, &facts::setup(summary));
    page.labelled("Load", Paint::Plain, &facts::pace(plan));
    page.gap();
    let verdict = facts::verdict(summary);
    let paint = paint_of(verdict.grade);
    for (index, part) in wrap(&verdict.words, page.style.width.max(NARROWEST) - 2).into_iter().enumerate() {
        let sign = if index == 0 { verdict.grade.sign() } else { " " };
        page.line(Line::new().add(paint, format!("{sign} {part}")));
    }
    if let Some(note) = facts::pace_note(plan) {
        wrap(note, page.style.width.max(NARROWEST) - 2)
            .iter()
            .for_each(|part| page.line(Line::new().text(format!("  {part}"))));
    }
    page.gap();
}

fn paint_of(grade: Grade) -> Paint {
    match grade {
        Grade::Good => Paint::Good,
        Grade::Doubtful => Paint::Warn,
        Grade::Bad => Paint::Bad,
    }
}

/// What the thresholds said.
fn verdicts(page: &mut Page, summary: &Summary) {
    for (index, verdict) in summary.verdicts.iter().enumerate() {
        if index == 0 {
            page.gap();
        }
        let (grade, words) = facts::threshold(verdict);
        page.labelled(if index == 0 { "Must not be" } else { "" }, paint_of(grade), &words);
    }
}

/// Where each iteration and each request has gone.
fn accounting(page: &mut Page, summary: &Summary) {
    let (tally, total) = (&summary.tally, summary.total());
    match summary.plan.pace {
        Pace::Closed { .. } => page.labelled("Begun", Paint::Plain, &format::counted(tally.offered, "iteration")),
        Pace::Open { .. } => page.labelled(
            "Offered",
            Paint::Plain,
            &format!(
                "{} = {} on time + {} late + {} not sent",
                format::counted(tally.offered, "iteration"),
                format::count(tally.on_time),
                format::count(tally.late()),
                format::count(tally.not_sent)
            ),
        ),
    }
    let throughput = format!("{} in {}", format::rate(summary.throughput()), format::span(rounded(summary.lasted)));
    page.labelled(
        "Succeeded",
        Paint::Plain,
        &format!("{} ({throughput})", format::counted(total.succeeded, "request")),
    );
    let failed = total.failed();
    let paint = if failed > 0 { Paint::Bad } else { Paint::Plain };
    let share = format::percent_of(failed, total.asked());
    page.labelled("Failed", paint, &format!("{} ({share} of what was sent)", format::counted(failed, "request")));
    page.gap();
}

/// To the tenth of a second: how long a run really lasted is no round number.
fn rounded(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).saturating_add(50) / 100 * 100)
}

/// A column of the table of latencies.
type Figure = (&'static str, fn(&Histogram) -> Duration);

/// The columns in their order, and in which order they give way where it is narrow (the last of it first).
const FIGURES: [Figure; 6] = [
    ("p50", |h| h.quantile(0.5)),
    ("p90", |h| h.quantile(0.9)),
    ("p99", |h| h.quantile(0.99)),
    ("p99.9", |h| h.quantile(0.999)),
    ("max", Histogram::max),
    ("mean", Histogram::mean),
];
const IMPORTANCE: [&str; 6] = ["p99", "p50", "max", "p99.9", "p90", "mean"];

fn latencies(page: &mut Page, summary: &Summary) {
    let total = summary.total();
    if total.latency.count() == 0 {
        return;
    }
    let steps = facts::steps(summary);
    let name = |text: &str| cut(&clean(text), NAME);
    let widest = steps.iter().take(STEPS).map(|(step, _)| columns(&name(step)) + 2).max().unwrap_or(0).max(LABEL);
    let room = page.style.width.saturating_sub(widest) / FIGURE;
    let kept = IMPORTANCE.get(..room.min(IMPORTANCE.len())).unwrap_or_default();
    let figures: Vec<&Figure> = FIGURES.iter().filter(|(name, _)| kept.contains(name)).collect();

    let heads = figures.iter().fold(String::new(), |line, (name, _)| line + &right(name, FIGURE));
    page.line(Line::new().add(Paint::Dim, left("", widest) + &heads));
    let row = |page: &mut Page, label: String, paint: Paint, histogram: &Histogram| {
        let cells = figures.iter().fold(String::new(), |line, (_, figure)| {
            let shown = if histogram.count() == 0 { "-".to_owned() } else { format::duration(figure(histogram)) };
            line + &right(&shown, FIGURE)
        });
        page.line(Line::new().add(Paint::Dim, left(&label, widest)).add(paint, cells));
    };
    row(page, "Latency".to_owned(), Paint::Bold, &total.latency);
    row(page, "Service time".to_owned(), Paint::Plain, &total.service);
    page.labelled("", Paint::Dim, "Latency counts from the intended start, service time from the sending.");
    page.gap();
    for (step, tally) in steps.iter().take(STEPS) {
        page.line(Line::new().text(left(&name(step), widest)).text("   ").text(facts::step_counts(tally)));
        row(page, "  latency".to_owned(), Paint::Plain, &tally.latency);
        row(page, "  service".to_owned(), Paint::Plain, &tally.service);
    }
    if steps.len() > STEPS {
        let more = format::counted((steps.len() - STEPS) as u64, "more step");
        page.line(Line::new().add(Paint::Dim, format!("{more}: the HTML page and the JSON have them all")));
    }
    if !steps.is_empty() {
        page.gap();
    }
}

/// Status codes, and errors with what to look at.
fn answers(page: &mut Page, summary: &Summary) {
    let (plan, total) = (&summary.plan, summary.total());
    let codes: Vec<String> = total
        .status
        .iter()
        .map(|(code, count)| format!("{} × {}", format::count(*count), facts::status(plan.protocol, *code)))
        .collect();
    let codes = if codes.is_empty() { "none: there was no answer".to_owned() } else { codes.join(", ") };
    page.labelled("Status", Paint::Plain, &codes);
    let mut label = "Errors";
    for (kind, count) in facts::errors(&total) {
        let (name, hint) = facts::error(kind, summary);
        page.labelled(label, Paint::Plain, &format!("{} × {name}: {hint}", format::count(count)));
        label = "";
    }
}

fn exemplars(page: &mut Page, summary: &Summary) {
    let exemplars = &summary.tally.exemplars;
    if exemplars.is_empty() {
        return;
    }
    page.gap();
    let mut label = "Slowest";
    let several = summary.tally.steps.len() > 1;
    for exemplar in exemplars.iter().take(3) {
        let step =
            if several { format!(" ({})", facts::step_name(&summary.plan, exemplar.step)) } else { String::new() };
        let (latency, at) = (format::duration(exemplar.latency), format::span(rounded(exemplar.at)));
        page.labelled(label, Paint::Plain, &format!("{latency} at {at}{step}, trace {}", exemplar.trace_id));
        label = "";
    }
}

#[cfg(test)]
mod tests;
