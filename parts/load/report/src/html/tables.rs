//! The tables of a result: where every request has gone, percentiles, steps, answers, errors, the slowest.
//!
//! None is wider than a phone: what has many figures has them in rows, and long words break.

use std::time::Duration;

use purlin_load_model::histogram::Histogram;
use purlin_load_model::plan::Pace;
use purlin_load_model::summary::Summary;
use purlin_load_model::tally::StepTally;

use crate::facts::{self, QUANTILES};
use crate::format;

use super::Html;

/// The rows of the table of percentiles, beside the longest and the mean.
const ROWS: [(&str, f64); 8] = [
    ("50 %", 0.5),
    ("75 %", 0.75),
    ("90 %", 0.9),
    ("95 %", 0.95),
    ("99 %", 0.99),
    ("99.9 %", 0.999),
    ("99.99 %", 0.999_9),
    ("99.999 %", 0.999_99),
];

/// All tables that have something to say.
pub(super) fn write(page: &mut Html, summary: &Summary) {
    let total = summary.total();
    page.raw("<section aria-labelledby=\"tables\"><h2 id=\"tables\">Figures</h2>\n<div class=\"tables\">\n");
    accounting(page, summary, &total);
    percentiles(page, &total);
    status(page, summary, &total);
    errors(page, summary, &total);
    pairs(
        page,
        "Connections and generator",
        &[
            ("Connections", facts::connections(summary)),
            ("Sent", facts::traffic(summary.tally.bytes_sent, summary.lasted)),
            ("Received", facts::traffic(summary.tally.bytes_received, summary.lasted)),
            ("Generator", facts::generator(summary)),
        ],
    );
    exemplars(page, summary);
    steps(page, summary);
    page.raw("</div></section>\n");
}

/// A table of names and what belongs to them.
pub(super) fn pairs(page: &mut Html, caption: &'static str, rows: &[(&'static str, String)]) {
    open(page, caption, &[]);
    for (name, value) in rows {
        page.raw("<tr><th scope=\"row\">").raw(name).raw("</th><td class=\"words\">").text(value).raw("</td></tr>\n");
    }
    close(page);
}

/// Begins a table; a column whose name begins with `=` holds words, the others hold figures.
fn open(page: &mut Html, caption: &'static str, columns: &[&'static str]) {
    page.raw("<div class=\"card\"><table>\n<caption>").raw(caption).raw("</caption>\n");
    if !columns.is_empty() {
        page.raw("<thead><tr>");
        for column in columns {
            match column.strip_prefix('=') {
                Some(words) => page.raw("<th scope=\"col\" class=\"words\">").raw(words).raw("</th>"),
                None => page.raw("<th scope=\"col\">").raw(column).raw("</th>"),
            };
        }
        page.raw("</tr></thead>\n");
    }
    page.raw("<tbody>\n");
}

fn close(page: &mut Html) {
    page.raw("</tbody></table></div>\n");
}

/// A row of a name and figures.
fn row(page: &mut Html, name: impl AsRef<str>, figures: &[String]) {
    page.raw("<tr><th scope=\"row\">").text(name).raw("</th>");
    cells(page, figures);
}

/// A row that is a part of one above it.
fn part(page: &mut Html, name: &'static str, figures: &[String]) {
    page.raw("<tr><th scope=\"row\" class=\"part\">").raw(name).raw("</th>");
    cells(page, figures);
}

fn cells(page: &mut Html, figures: &[String]) {
    for figure in figures {
        page.raw("<td>").text(figure).raw("</td>");
    }
    page.raw("</tr>\n");
}

fn accounting(page: &mut Html, summary: &Summary, total: &StepTally) {
    let tally = &summary.tally;
    open(page, "Where everything has gone", &["=What", "Count", "Share"]);
    let iterations = |count| [format::count(count), format::percent_of(count, tally.offered)];
    if matches!(summary.plan.pace, Pace::Open { .. }) {
        row(page, "Iterations offered", &iterations(tally.offered));
        part(page, "begun on time", &iterations(tally.on_time));
        part(page, "late: no connection was free", &iterations(tally.late_busy));
        part(page, "late: the generator was slow", &iterations(tally.late_self));
        part(page, "never begun", &iterations(tally.not_sent));
    } else {
        row(page, "Iterations begun", &iterations(tally.offered));
    }
    let requests = |count| [format::count(count), format::percent_of(count, total.asked())];
    row(page, "Requests sent", &requests(total.sent));
    part(page, "succeeded", &requests(total.succeeded));
    part(page, "failed", &requests(total.failed()));
    close(page);
}

fn figure(histogram: &Histogram, figure: impl Fn(&Histogram) -> Duration) -> String {
    if histogram.count() == 0 { "–".to_owned() } else { format::duration(figure(histogram)) }
}

fn percentiles(page: &mut Html, total: &StepTally) {
    if total.latency.count() == 0 {
        return;
    }
    open(page, "Percentiles", &["=Share of requests", "Latency", "Service time"]);
    let both = |of: &dyn Fn(&Histogram) -> Duration| [figure(&total.latency, of), figure(&total.service, of)];
    for (name, quantile) in ROWS {
        // Beyond one in `count` it would be the longest again.
        if (total.latency.count() as f64) * (1.0 - quantile) >= 1.0 {
            row(page, name, &both(&|histogram| histogram.quantile(quantile)));
        }
    }
    row(page, "longest", &both(&Histogram::max));
    row(page, "mean", &both(&Histogram::mean));
    row(page, "measured", &[format::count(total.latency.count()), format::count(total.service.count())]);
    close(page);
}

/// Latency and service time of each step, beneath its name.
fn steps(page: &mut Html, summary: &Summary) {
    let steps = facts::steps(summary);
    if steps.is_empty() {
        return;
    }
    page.raw("<div class=\"card wide\"><table class=\"steps\">\n<caption>Steps</caption>\n<thead><tr><td></td>");
    for (name, _) in QUANTILES {
        page.raw("<th scope=\"col\">").raw(name).raw("</th>");
    }
    page.raw("<th scope=\"col\">longest</th></tr></thead>\n");
    let hidden = steps.len().saturating_sub(super::STEPS);
    for (name, tally) in steps.into_iter().take(super::STEPS) {
        page.raw("<tbody>\n<tr><th scope=\"rowgroup\" colspan=\"6\"><strong>").text(name).raw("</strong> ");
        page.text(facts::step_counts(tally)).raw("</th></tr>\n");
        for (name, histogram) in [("latency", &tally.latency), ("service", &tally.service)] {
            let quantiles = QUANTILES.iter().map(|(_, quantile)| figure(histogram, |h| h.quantile(*quantile)));
            row(page, name, &quantiles.chain([figure(histogram, Histogram::max)]).collect::<Vec<_>>());
        }
        page.raw("</tbody>\n");
    }
    page.raw("</table>");
    if hidden > 0 {
        let more = format::counted(hidden as u64, "more step");
        page.raw("<p class=\"quiet\">").text(format!("and {more}, which the result as JSON has")).raw("</p>");
    }
    page.raw("</div>\n");
}

fn status(page: &mut Html, summary: &Summary, total: &StepTally) {
    if total.status.is_empty() {
        return;
    }
    open(page, "Status codes", &["=Status", "Answers", "Share"]);
    let answers = total.status.values().sum();
    for (code, count) in &total.status {
        let figures = [format::count(*count), format::percent_of(*count, answers)];
        row(page, facts::status(summary.plan.protocol, *code), &figures);
    }
    close(page);
}

fn errors(page: &mut Html, summary: &Summary, total: &StepTally) {
    if total.errors.is_empty() {
        return;
    }
    open(page, "Errors", &["=Error", "Requests", "Share"]);
    for (kind, count) in facts::errors(total) {
        let (name, hint) = facts::error(kind, summary);
        row(page, name, &[format::count(count), format::percent_of(count, total.asked())]);
        page.raw("<tr class=\"hint\"><td colspan=\"3\" class=\"words\"><small>").text(hint).raw("</small></td></tr>\n");
    }
    close(page);
}

fn exemplars(page: &mut Html, summary: &Summary) {
    let exemplars = &summary.tally.exemplars;
    if exemplars.is_empty() {
        return;
    }
    open(page, "The slowest requests that carried a trace", &["=Trace", "Begun at", "Latency"]);
    let several = summary.tally.steps.len() > 1;
    for exemplar in exemplars {
        page.raw("<tr><th scope=\"row\"><code>").text(&exemplar.trace_id).raw("</code>");
        if several {
            page.raw("<small>").text(facts::step_name(&summary.plan, exemplar.step)).raw("</small>");
        }
        page.raw("</th><td>").text(format::duration(exemplar.at)).raw("</td><td>");
        page.text(format::duration(exemplar.latency)).raw("</td></tr>\n");
    }
    close(page);
}
