//! The result as one HTML page that needs nothing else: no network, no script, styles and charts within.
//!
//! From top to bottom: what was tested and how it went, where the figures mislead, charts, tables, and the plan by which
//! to repeat it. Text can get into a page by [`Html::text`] alone, which escapes it: what [`Html::raw`] takes is part of
//! the program. The page forbids itself everything but inline styles by a Content-Security-Policy (CSP 3).

mod charts;
mod plan;
mod plot;
mod series;
mod tables;

use std::borrow::Cow;

use purlin_load_model::plan::Pace;
use purlin_load_model::summary::Summary;

use crate::facts::{self, Grade};
use crate::format;
use crate::term::clean;

/// Steps that the page lists at the most, or it would be too large to be sent around.
const STEPS: usize = 100;

/// The result as an HTML page. A page is passed on: of what may be secret it has names and sizes only.
pub fn render(summary: &Summary) -> String {
    let mut hidden = Cow::Borrowed(summary);
    if summary.requests.is_empty() {
        hidden.to_mut().hide_secrets();
    }
    let summary = hidden.as_ref();
    let mut page = Html::default();
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    );
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<title>");
    page.text(format!("Load test of {}", facts::target(&summary.plan)));
    page.raw("</title>\n<style>\n").raw(include_str!("html/style.css")).raw("</style>\n</head>\n<body>\n");
    head(&mut page, summary);
    page.raw("<main>\n");
    cautions(&mut page, summary);
    verdicts(&mut page, summary);
    figures(&mut page, summary);
    charts::write(&mut page, summary);
    tables::write(&mut page, summary);
    plan::write(&mut page, summary);
    page.raw("</main>\n<footer><p>Made by purlin ").text(&summary.purlin);
    page.raw(". Latency counts from the moment at which a request was meant to be sent, so that the time that it had to wait counts too; service time counts from its sending.</p></footer>\n</body>\n</html>\n");
    page.out
}

/// A page, or a part of one, into which no text gets unescaped.
#[derive(Debug, Default)]
struct Html {
    out: String,
}

impl Html {
    /// Adds markup of our own.
    fn raw(&mut self, markup: &'static str) -> &mut Html {
        self.out.push_str(markup);
        self
    }

    /// Adds text, between tags or within the quotes of an attribute.
    fn text(&mut self, text: impl AsRef<str>) -> &mut Html {
        for character in clean(text.as_ref()).chars() {
            match character {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\'' => self.out.push_str("&#39;"),
                other => self.out.push(other),
            }
        }
        self
    }
}

fn head(page: &mut Html, summary: &Summary) {
    let verdict = facts::verdict(summary);
    page.raw("<header>\n<p class=\"kind\">Load test</p>\n<h1>").text(facts::target(&summary.plan)).raw("</h1>\n<p>");
    page.text(facts::pace(&summary.plan)).raw("<br>").text(facts::setup(summary)).raw("</p>\n<p class=\"quiet\">");
    page.text(format!("Begun {}, lasted {}", moment(&summary.started), format::duration(summary.lasted))).raw("</p>\n");
    page.raw(match verdict.grade {
        Grade::Good => "<p class=\"verdict good\">",
        Grade::Doubtful => "<p class=\"verdict doubtful\">",
        Grade::Bad => "<p class=\"verdict bad\">",
    });
    page.raw("<span aria-hidden=\"true\">").text(verdict.grade.sign()).raw("</span> ").text(verdict.words);
    page.raw("</p>\n</header>\n");
}

/// RFC 3339 as people write it.
fn moment(rfc3339: &str) -> String {
    match rfc3339.strip_suffix('Z') {
        Some(moment) => format!("{} UTC", moment.replace('T', " ")),
        None => rfc3339.to_owned(),
    }
}

/// Where the figures mislead, before anybody reads one.
fn cautions(page: &mut Html, summary: &Summary) {
    caution(page, "Missing in these figures", &summary.missing);
    caution(page, "Read these figures with care", &summary.confession());
    let note: Vec<String> = facts::pace_note(&summary.plan).map(str::to_owned).into_iter().collect();
    caution(page, "A closed loop", &note);
}

/// What the thresholds said.
fn verdicts(page: &mut Html, summary: &Summary) {
    if summary.verdicts.is_empty() {
        return;
    }
    page.raw("<section><h2>What must not be</h2>\n");
    for verdict in &summary.verdicts {
        let (grade, words) = facts::threshold(verdict);
        page.raw(if grade == Grade::Good { "<p class=\"verdict good\">" } else { "<p class=\"verdict bad\">" });
        page.text(words).raw("</p>\n");
    }
    page.raw("</section>\n");
}

fn caution(page: &mut Html, heading: &'static str, sentences: &[String]) {
    if sentences.is_empty() {
        return;
    }
    page.raw("<section class=\"caution\"><h2>").raw(heading).raw("</h2>\n<ul>\n");
    for sentence in sentences {
        page.raw("<li>");
        for word in sentence.split_inclusive(' ') {
            // A browser would break a line behind the dashes of an option.
            match word.contains("--") {
                true => page.raw("<span class=\"flag\">").text(word).raw("</span>"),
                false => page.text(word),
            };
        }
        page.raw("</li>\n");
    }
    page.raw("</ul></section>\n");
}

/// The few figures that most readers came for.
fn figures(page: &mut Html, summary: &Summary) {
    let (tally, total) = (&summary.tally, summary.total());
    let seconds = summary.lasted.as_secs_f64();
    let offered = match summary.plan.pace {
        Pace::Open { .. } if seconds > 0.0 => {
            format!("{} iterations offered", format::rate(tally.offered as f64 / seconds))
        }
        _ => format::counted(tally.offered, "iteration"),
    };
    page.raw("<section aria-label=\"Key figures\"><dl class=\"figures\">\n");
    figure(page, "Succeeded", &format::rate(summary.throughput()), &offered);
    let quantile = |quantile| {
        let time = |histogram: &purlin_load_model::histogram::Histogram| match histogram.count() {
            0 => "none".to_owned(),
            _ => format::duration(histogram.quantile(quantile)),
        };
        (time(&total.latency), format!("service time {}", time(&total.service)))
    };
    for (name, share) in [("Latency p50", 0.5), ("Latency p99", 0.99), ("Latency p99.9", 0.999)] {
        let (latency, service) = quantile(share);
        figure(page, name, &latency, &service);
    }
    let failed = format!("{} of {}", format::count(total.failed()), format::count(total.asked()));
    figure(page, "Failed", &format::percent_of(total.failed(), total.asked()), &failed);
    if matches!(summary.plan.pace, Pace::Open { .. }) {
        let rest = format!("{} late, {} not sent", format::count(tally.late()), format::count(tally.not_sent));
        figure(page, "Begun on time", &format::percent_of(tally.on_time, tally.offered), &rest);
    }
    page.raw("</dl></section>\n");
}

fn figure(page: &mut Html, name: &'static str, value: &str, beside: &str) {
    page.raw("<div><dt>").raw(name).raw("</dt><dd><strong>").text(value).raw("</strong><small>").text(beside);
    page.raw("</small></dd></div>\n");
}

#[cfg(test)]
mod tests;
