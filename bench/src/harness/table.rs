//! A bench's result: sections of figures, the bars they are held against, and what is to be known about them; as text
//! and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::environment::Environment;
use super::rounds::Samples;
use super::stats::Spread;

/// The result of a part's bench.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The part.
    pub part: String,
    /// Where and when.
    pub environment: Environment,
    /// How often each contestant ran.
    pub rounds: u32,
    /// How long each ran, in seconds.
    pub seconds: u64,
    /// Where random numbers begin.
    pub seed: u64,
    /// Programs and their versions.
    pub versions: Vec<(String, String)>,
    /// What was measured.
    pub sections: Vec<Section>,
}

/// One thing that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    /// Its name, a word.
    pub name: &'static str,
    /// What was done.
    pub what: String,
    /// Each contestant's figures.
    pub rows: Vec<Row>,
    /// Ours to others', and the bars.
    pub verdicts: Vec<Verdict>,
    /// What is to be known about the figures; what failed.
    pub notes: Vec<String>,
}

/// A contestant's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Who.
    pub contestant: String,
    /// Name and unit of each, with its spread over the rounds.
    pub figures: Vec<(&'static str, Spread)>,
}

/// A figure and the bar that it is held against.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    /// What the figure is.
    pub figure: String,
    /// What was measured; none where it could not be.
    pub seen: Option<Spread>,
    /// What it should be.
    pub bar: Bar,
    /// Whether the median is so.
    pub met: bool,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bar {
    /// Not more.
    AtMost(f64),
    /// Not less.
    AtLeast(f64),
    /// From the first to the second.
    Within(f64, f64),
}

impl Bar {
    fn allows(self, value: f64) -> bool {
        match self {
            Bar::AtMost(most) => value <= most,
            Bar::AtLeast(least) => value >= least,
            Bar::Within(least, most) => (least..=most).contains(&value),
        }
    }
}

impl Verdict {
    /// What was not measured does not meet its bar.
    pub(crate) fn new(figure: impl Into<String>, seen: Option<Spread>, bar: Bar) -> Verdict {
        Verdict { figure: figure.into(), seen, bar, met: seen.is_some_and(|seen| bar.allows(seen.median)) }
    }
}

impl Section {
    /// All figures of `samples`, no verdicts yet; its failures are the first notes.
    pub(crate) fn of(name: &'static str, what: impl Into<String>, samples: &Samples) -> Section {
        let spreads = |contestant: &str| {
            let names = samples.figures(contestant).into_iter();
            names.filter_map(|name| Some((name, samples.spread(contestant, name)?))).collect()
        };
        let rows = samples.names().map(|name| Row { contestant: name.to_owned(), figures: spreads(name) }).collect();
        Section { name, what: what.into(), rows, verdicts: Vec::new(), notes: samples.failures() }
    }
}

impl Report {
    /// How many bars were missed, of how many.
    pub(crate) fn missed(&self) -> (usize, usize) {
        let verdicts = || self.sections.iter().flat_map(|section| &section.verdicts);
        (verdicts().filter(|verdict| !verdict.met).count(), verdicts().count())
    }

    /// As a page of text.
    pub(crate) fn text(&self) -> String {
        let Environment { date, commit, cpu, cores, memory_mib, kernel, load_average, system } = &self.environment;
        let mut lines = vec![
            format!("purlin bench: {}", self.part),
            String::new(),
            format!("date      {date}, commit {commit}, seed {}", self.seed),
            format!("machine   {cores} cores of {cpu}, {memory_mib} MiB, Linux {kernel}, {system}"),
            format!("busy with other things: load average {load_average} at the start"),
            format!(
                "rounds    {} of {} s each; figures are the median (least..most) of the rounds",
                self.rounds, self.seconds
            ),
        ];
        lines.extend(self.versions.iter().map(|(program, version)| format!("with      {program} {version}")));
        for section in &self.sections {
            lines.extend([String::new(), format!("== {}", section.name)]);
            lines.extend(wrapped(&section.what, ""));
            lines.extend(rows(&section.rows));
            if !section.verdicts.is_empty() {
                lines.push(String::new());
                lines.extend(verdicts(&section.verdicts));
            }
            lines.extend(section.notes.iter().flat_map(|note| wrapped(note, "  ")));
        }
        let (missed, all) = self.missed();
        lines.extend([String::new(), format!("{} of {all} bars met, {missed} missed", all - missed)]);
        lines.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{}", line.trim_end());
            text
        })
    }
}

/// A number with three digits, as few as it needs.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn shown(Spread { median, min, max }: &Spread) -> String {
    if min == max { number(*median) } else { format!("{} ({}..{})", number(*median), number(*min), number(*max)) }
}

fn bar(bar: Bar) -> String {
    match bar {
        Bar::AtMost(most) => format!("at most {}", number(most)),
        Bar::AtLeast(least) => format!("at least {}", number(least)),
        Bar::Within(least, most) => format!("{} to {}", number(least), number(most)),
    }
}

fn rows(rows: &[Row]) -> Vec<String> {
    let mut columns = Vec::new();
    for (name, _) in rows.iter().flat_map(|row| &row.figures) {
        if !columns.contains(name) {
            columns.push(*name);
        }
    }
    let header = std::iter::once(String::new()).chain(columns.iter().map(|name| (*name).to_owned())).collect();
    let cells = |row: &Row| {
        let cell = |name: &&str| row.figures.iter().find(|(figure, _)| figure == name).map(|(_, spread)| shown(spread));
        let figures = columns.iter().map(|name| cell(name).unwrap_or_else(|| "-".to_owned()));
        std::iter::once(row.contestant.clone()).chain(figures).collect()
    };
    aligned(&std::iter::once(header).chain(rows.iter().map(cells)).collect::<Vec<Vec<String>>>())
}

fn verdicts(verdicts: &[Verdict]) -> Vec<String> {
    let cells = |verdict: &Verdict| {
        let seen = verdict.seen.as_ref().map_or_else(|| "not measured".to_owned(), shown);
        let met = if verdict.met { "met" } else { "MISSED" };
        vec![verdict.figure.clone(), seen, bar(verdict.bar), met.to_owned()]
    };
    aligned(&verdicts.iter().map(cells).collect::<Vec<_>>())
}

/// Lines with their cells one below the other.
fn aligned(lines: &[Vec<String>]) -> Vec<String> {
    let width =
        |column: usize| lines.iter().filter_map(|cells| cells.get(column)).map(|cell| cell.chars().count()).max();
    let line = |cells: &Vec<String>| {
        let mut text = String::from(" ");
        for (column, cell) in cells.iter().enumerate() {
            let _ = write!(text, " {cell:<width$} ", width = width(column).unwrap_or(0));
        }
        text
    };
    lines.iter().map(line).collect()
}

/// Lines of at most 100 characters or so, words kept whole.
fn wrapped(text: &str, indent: &str) -> Vec<String> {
    let mut lines = vec![indent.to_owned()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 100 || line.trim().is_empty() => {
                if line.len() > indent.len() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            _ => lines.push(format!("{indent}{word}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::rounds::interleave;

    async fn report() -> Report {
        let contestants = [("ours", 10.0), ("theirs", 8.0)].map(|(name, cost)| (name.to_owned(), cost));
        let samples = interleave(2, &contestants, async |cost, round| {
            anyhow::ensure!(round == 0 || *cost > 9.0, "it broke");
            Ok(vec![("CPU us", cost + f64::from(round)), ("requests/s", 54_321.0)])
        })
        .await;
        let mut section = Section::of("cpu", "What it costs.", &samples);
        section.verdicts = vec![
            Verdict::new("CPU, ours to theirs", samples.ratio("ours", "theirs", "CPU us"), Bar::AtMost(1.1)),
            Verdict::new("nobody knows", None, Bar::Within(0.95, 1.05)),
            Verdict::new("rate", samples.spread("ours", "requests/s"), Bar::AtLeast(1000.0)),
        ];
        let environment = Environment {
            date: "2026-01-02T03:04:05Z".into(),
            commit: "abc".into(),
            cpu: "Some CPU".into(),
            cores: 2,
            memory_mib: 512,
            kernel: "6.1.0".into(),
            load_average: "0.10".into(),
            system: "Debian".into(),
        };
        let versions = vec![("theirs".to_owned(), "1.2".to_owned())];
        Report { part: "load".into(), environment, rounds: 2, seconds: 5, seed: 7, versions, sections: vec![section] }
    }

    #[tokio::test]
    async fn the_text_has_all_figures_bars_and_failures() {
        let expected = "\
purlin bench: load

date      2026-01-02T03:04:05Z, commit abc, seed 7
machine   2 cores of Some CPU, 512 MiB, Linux 6.1.0, Debian
busy with other things: load average 0.10 at the start
rounds    2 of 5 s each; figures are the median (least..most) of the rounds
with      theirs 1.2

== cpu
What it costs.
          CPU us             requests/s
  ours    10.5 (10.0..11.0)  54321
  theirs  8.00               54321

  CPU, ours to theirs  1.25          at most 1.10   MISSED
  nobody knows         not measured  0.950 to 1.05  MISSED
  rate                 54321         at least 1000  met
  failed in round 2: theirs: it broke

1 of 3 bars met, 2 missed
";
        assert_eq!(report().await.text(), expected);
    }

    #[tokio::test]
    async fn the_json_has_the_same() {
        let json = serde_json::to_value(report().await).unwrap();
        let section = &json["sections"][0];
        assert_eq!(section["rows"][0]["figures"][0][1]["median"], 10.5);
        assert_eq!(section["verdicts"][0]["bar"]["at_most"], 1.1);
        assert_eq!((&section["verdicts"][0]["met"], &section["verdicts"][2]["met"]), (&false.into(), &true.into()));
        assert_eq!(json["environment"]["commit"], "abc");
    }

    #[test]
    fn numbers_have_three_digits() {
        let check = |value, expected| assert_eq!(number(value), expected);
        check(0.0, "0");
        check(0.012_34, "0.012");
        check(1.005_1, "1.01");
        check(12.34, "12.3");
        check(123.4, "123");
        check(54_321.9, "54322");
    }

    #[test]
    fn bars_are_held_against_the_median() {
        for (bar, good, bad) in
            [(Bar::AtMost(2.0), 2.0, 2.1), (Bar::AtLeast(2.0), 2.0, 1.9), (Bar::Within(1.0, 2.0), 1.0, 0.9)]
        {
            assert!(bar.allows(good) && !bar.allows(bad), "{bar:?}");
        }
    }

    #[test]
    fn long_lines_are_wrapped_between_words() {
        let lines = wrapped(&"word ".repeat(50), "  ");
        assert!(
            lines.len() == 3 && lines.iter().all(|line| line.len() <= 100 && line.starts_with("  word")),
            "{lines:?}"
        );
    }
}
