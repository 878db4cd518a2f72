//! Results in files: written after a load, shown and compared later.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use purlin_load_model::compare::{Comparison, Figure, Verdict, compare as compared};
use purlin_load_model::summary::{FORMAT, Summary};
use purlin_load_report::{format, html, text};

use crate::exit;
use crate::failure::Failure;
use crate::load::args::{CompareArgs, ReportArgs, ResultFormat};
use crate::load::live;
use crate::load::plan::bytes;
use crate::output::Output;

/// The largest result that is read. Its series is bounded, so only thousands of steps make one large.
const MAX_RESULT: u64 = 1 << 30;

/// Refuses one file for two things, of which only the last would be left.
pub(crate) fn differ(one: (&str, &Path), other: (&str, &Path)) -> Result<(), Failure> {
    if resolved(one.1) == resolved(other.1) {
        let (one, other, path) = (one.0, other.0, other.1.display());
        return Err(Failure::usage(format!("{one} and {other} are the same file, {path}")).hint("name another one"));
    }
    Ok(())
}

/// Where a path leads, though the file may not be there yet.
fn resolved(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = || Some(fs::canonicalize(parent).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(named).unwrap_or_else(|| path.to_owned())
}

/// Refuses a file that could not be written when it is time to.
pub(crate) fn can_write(path: &Path) -> Result<(), Failure> {
    let existed = path.exists();
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.with_context(|| format!("cannot write {}", path.display())).map(drop)?;
    if !existed {
        // Nothing of it should be found when the load cannot be run.
        let _ = fs::remove_file(path);
    }
    Ok(())
}

/// Keeps a result.
pub(crate) fn save(summary: &Summary, path: &Path) -> Result<(), Failure> {
    let json = serde_json::to_vec(summary).context("cannot write the result as JSON")?;
    write(path, &json)
}

/// Makes a page of a result.
pub(crate) fn write_page(summary: &Summary, path: &Path) -> Result<(), Failure> {
    write(path, html::render(summary).as_bytes())
}

/// Writes a file.
fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let replaced = path.is_file() || !path.exists();
    // A pipe or a device is written to, never replaced.
    let written = if replaced { replace(path, content) } else { fs::write(path, content) };
    written.with_context(|| format!("cannot write {}", path.display())).map_err(Failure::from)
}

/// Replaces a file as a whole, so that a full disk leaves what was there.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    // What a link leads to, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let written = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, &path));
    written.inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// Reads a result that was kept. One that an older purlin has written may have a longer series, and more of its plan.
fn read(path: &Path) -> Result<Summary, Failure> {
    #[derive(serde::Deserialize)]
    struct Form {
        format: u32,
    }
    let json = bytes(path, MAX_RESULT)?;
    let what = || format!("{} is no result of `purlin load --save`", path.display());
    let form: Form = serde_json::from_slice(&json).with_context(what)?;
    if form.format > FORMAT {
        let found = form.format;
        let message = format!("{} has the format {found}; this purlin knows those up to {FORMAT}", path.display());
        return Err(Failure::from(anyhow::anyhow!(message)).hint("use the purlin that wrote it"));
    }
    let mut summary: Summary = serde_json::from_slice(&json).with_context(what)?;
    summary.hide_secrets();
    Ok(summary.completed())
}

/// Shows a result again.
pub(crate) fn report(args: &ReportArgs, output: &mut Output) -> Result<(), Failure> {
    if let Some(page) = &args.html {
        differ(("the result", &args.result), ("--html", page))?;
    }
    let summary = read(&args.result)?;
    match &args.html {
        Some(path) => write_page(&summary, path),
        None => Ok(output.data(text::render(&summary, live::style()).trim_end())?),
    }
}

/// Compares two results; fails when a figure is worse.
pub(crate) fn compare(args: &CompareArgs, output: &mut Output) -> Result<(), Failure> {
    let comparison = compared(&read(&args.baseline)?, &read(&args.candidate)?).map_err(Failure::usage)?;
    let told = match args.output {
        ResultFormat::Json => serde_json::to_string_pretty(&comparison)?,
        ResultFormat::Text => table(&comparison),
    };
    output.data(&told)?;
    let worse: Vec<&str> = comparison
        .figures
        .iter()
        .filter(|figure| figure.verdict == Verdict::Worse)
        .map(|figure| name(figure.figure))
        .collect();
    match worse.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(exit::FAILED, anyhow::anyhow!("the candidate is worse in {}", worse.join(", ")))),
    }
}

fn name(figure: Figure) -> &'static str {
    match figure {
        Figure::Throughput => "throughput",
        Figure::ErrorShare => "errors",
        Figure::Mean => "mean",
        Figure::P50 => "p50",
        Figure::P90 => "p90",
        Figure::P99 => "p99",
        Figure::P999 => "p99.9",
    }
}

fn table(comparison: &Comparison) -> String {
    let value = |figure: Figure, value: f64| match figure {
        Figure::Throughput => format::rate(value),
        Figure::ErrorShare => format::percent(value),
        _ => format::duration(std::time::Duration::from_secs_f64(value.max(0.0))),
    };
    let mut out = format!("{:<11}{:>12}{:>12}{:>9}  {:<16}\n", "", "baseline", "candidate", "ratio", "95 % interval");
    for row in &comparison.figures {
        let ratio = row.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
        let interval = row.interval.map_or("-".to_owned(), |(low, high)| format!("{low:.3} .. {high:.3}"));
        let verdict = match (row.verdict, &row.why) {
            (Verdict::Better, _) => "better",
            (Verdict::Worse, _) => "worse",
            (Verdict::Undecided, Some(why)) => why,
            (Verdict::Undecided, None) => "no difference that these runs can show",
        };
        let (baseline, candidate) = (value(row.figure, row.baseline), value(row.figure, row.candidate));
        // Writing to a string does not fail.
        let _ =
            writeln!(out, "{:<11}{baseline:>12}{candidate:>12}{ratio:>9}  {interval:<16}  {verdict}", name(row.figure));
    }
    for note in &comparison.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out.trim_end().to_owned()
}
