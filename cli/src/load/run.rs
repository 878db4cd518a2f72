//! Carries a load test out: agents, signals, the live view, the result and where it goes.

use std::cell::Cell;
use std::convert::Infallible;
use std::path::PathBuf;

use anyhow::Context as _;
use purlin_load::Options;
use purlin_load_model::summary::Summary;
use purlin_load_model::tally::ErrorKind;
use purlin_load_model::threshold;
use purlin_load_report::text;

use crate::exit;
use crate::failure::Failure;
use crate::load::args::{ResultFormat, RunArgs, SpreadArgs};
use crate::load::failure::of as failure;
use crate::load::live::{self, View};
use crate::load::plan::{self, Task};
use crate::load::saved;
use crate::load::types;
use crate::output::Output;
use crate::signals::Signals;

/// Runs the load that `args` ask for.
pub(crate) fn run(args: RunArgs, output: &mut Output) -> Result<(), Failure> {
    let task = plan::task(&args)?;
    // Found before the load rather than after it.
    let RunArgs { result, request, file, .. } = &args;
    let read = [("--file", file), ("--data", &request.data), ("--ca-file", &request.ca_file)];
    let written = [("--save", &result.save), ("--html", &result.html)];
    let named = |(option, path): (&'static str, &'_ Option<PathBuf>)| Some((option, path.clone()?));
    let mut taken: Vec<(&str, PathBuf)> = read.into_iter().filter_map(named).collect();
    for (option, path) in written.into_iter().filter_map(named) {
        for (other, theirs) in &taken {
            saved::differ((other, theirs), (option, &path))?;
        }
        saved::can_write(&path)?;
        taken.push((option, path));
    }
    let options = options(&args.spread)?;
    let runtime = super::runtime()?;
    let ran = runtime.block_on(carry_out(task, &args, options, output));
    runtime.shutdown_background();
    let mut ran = ran?;
    ran.summary.hide_secrets();
    tell(&ran, &args, output)
}

/// What came of it.
struct Ran {
    summary: Summary,
    /// The exit code of the signal that ended it before its time.
    interrupted: Option<u8>,
}

fn options(spread: &SpreadArgs) -> Result<Options, Failure> {
    let own = std::env::current_exe().context("cannot find this program, to start it again")?;
    let own = || vec![own.display().to_string(), "load".to_owned(), "agent".to_owned()];
    let shell = |command: &String| vec!["sh".to_owned(), "-c".to_owned(), command.clone()];
    let agents = match spread.processes {
        0 | 1 => spread.agent.iter().map(shell).collect(),
        processes => (0..processes).map(|_| own()).collect(),
    };
    Ok(Options { agents, allowed: spread.i_may_load_this_target.clone(), ..Options::default() })
}

async fn carry_out(task: Task, args: &RunArgs, options: Options, output: &mut Output) -> Result<Ran, Failure> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let Task { plan, thresholds } = task;
    let mut view = View::new(&plan, args.result.quiet);
    let (stop, abort) = (options.stop.clone(), options.abort.clone());
    let signalled = Cell::new(None);
    let stopping = async {
        signalled.set(Some(signals.next().await));
        stop.cancel();
        signals.next().await;
        abort.cancel();
        signals.unless_repeated(std::future::pending()).await;
        std::future::pending::<Infallible>().await
    };
    let mut shown = |progress: &purlin_load::Progress<'_>| view.show(progress, output);
    let running = async {
        let mut plan = plan;
        plan.descriptors = types::of(&plan, &args.request, &options.allowed).await?;
        purlin_load::run(plan, &options, &mut shown).await.map_err(failure)
    };
    let ran: Result<Summary, Failure> = tokio::select! {
        ran = running => ran,
        never = stopping => match never {},
    };
    view.clear(output);
    let mut summary = ran?;
    summary.verdicts = threshold::judge(&thresholds, &summary);
    // A signal that came when all was sent has interrupted nothing.
    let interrupted = signalled.get().filter(|_| summary.interrupted);
    Ok(Ran { summary, interrupted })
}

/// Keeps and says what came of it, and fails when a threshold does, when nothing was reached, or when it was interrupted.
fn tell(ran: &Ran, args: &RunArgs, output: &mut Output) -> Result<(), Failure> {
    let (summary, result) = (&ran.summary, &args.result);
    // Files first: whoever reads standard output may be gone, with the terminal or before the end of a pipe.
    let kept = result.save.as_deref().map_or(Ok(()), |path| saved::save(summary, path));
    let page = result.html.as_deref().map_or(Ok(()), |path| saved::write_page(summary, path));
    let shown = show(summary, result.output, output);
    let hint = match (&shown, &result.save, &kept) {
        (Ok(()), ..) => Some("the result stands on standard output".to_owned()),
        (Err(_), Some(path), Ok(())) => Some(format!("the result is in {}", path.display())),
        _ => None,
    };
    let mut failures: Vec<Failure> = [kept, page, shown].into_iter().filter_map(Result::err).collect();
    for failure in &mut failures {
        failure.hint.clone_from(&hint);
    }
    failures.extend(judge(summary).and(uninterrupted(ran.interrupted)).err());
    // The last one is told by whoever called; what the result says comes before what became of it.
    let Some(last) = failures.pop() else { return Ok(()) };
    for failure in failures {
        // Standard error may be gone too.
        let _ = output.note(&failure.to_string());
    }
    Err(last)
}

fn show(summary: &Summary, format: ResultFormat, output: &mut Output) -> Result<(), Failure> {
    let told = match format {
        ResultFormat::Json => serde_json::to_string(summary).context("cannot write the result as JSON")?,
        ResultFormat::Text => text::render(summary, live::style()).trim_end().to_owned(),
    };
    Ok(output.data(&told).context("cannot write the result to standard output")?)
}

fn uninterrupted(signalled: Option<u8>) -> Result<(), Failure> {
    match signalled {
        None => Ok(()),
        Some(code) => Err(Failure::new(code, anyhow::anyhow!("the load was interrupted"))
            .hint("the result is of what was sent until then")),
    }
}

fn judge(summary: &Summary) -> Result<(), Failure> {
    let failed: Vec<String> = summary
        .verdicts
        .iter()
        .filter(|verdict| !verdict.passed)
        .map(|verdict| format!("{} ({})", verdict.threshold, verdict.measured))
        .collect();
    if !failed.is_empty() {
        return Err(Failure::new(
            exit::FAILED,
            anyhow::anyhow!("the result is as it must not be: {}", failed.join("; ")),
        ));
    }
    let total = summary.total();
    let unreached = |kind: &ErrorKind| {
        matches!(kind, ErrorKind::Resolve | ErrorKind::Connect | ErrorKind::Tls | ErrorKind::Descriptors)
    };
    if total.sent > 0 && total.errors.keys().all(unreached) && total.failed() == total.sent {
        let target = &summary.plan.target;
        let what = anyhow::anyhow!("no request reached {}:{}", target.host, target.port);
        let hint = match (&summary.tally.tls_failure, total.errors.contains_key(&ErrorKind::Tls)) {
            (Some(why), true) => format!("TLS failed: {}", why.escape_debug()),
            _ => "is it running, and is it the right address?".to_owned(),
        };
        return Err(Failure::new(exit::UNREACHABLE, what).hint(hint));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
