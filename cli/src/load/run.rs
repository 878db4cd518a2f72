//! Carries a load test out: agents, signals, the live view, the result and where it goes.

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
    let mut summary = ran?;
    summary.hide_secrets();
    tell(&summary, &args, output)
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

async fn carry_out(task: Task, args: &RunArgs, options: Options, output: &mut Output) -> Result<Summary, Failure> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let Task { plan, thresholds } = task;
    let mut view = View::new(&plan, args.result.quiet);
    let (stop, abort) = (options.stop.clone(), options.abort.clone());
    let stopping = async {
        signals.next().await;
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
    Ok(summary)
}

/// Says what came of it, and fails when a threshold does, or when nothing was reached.
fn tell(summary: &Summary, args: &RunArgs, output: &mut Output) -> Result<(), Failure> {
    // The result is told first: a disk that is full must not lose it.
    let told = match args.result.output {
        ResultFormat::Json => serde_json::to_string(summary).context("cannot write the result as JSON")?,
        ResultFormat::Text => text::render(summary, live::style()).trim_end().to_owned(),
    };
    output.data(&told).context("cannot write to standard output")?;
    let kept = args.result.save.as_deref().map_or(Ok(()), |path| saved::save(summary, path));
    let page = args.result.html.as_deref().map_or(Ok(()), |path| saved::write_page(summary, path));
    kept.and(page).map_err(|failure| failure.hint("the result stands on standard output"))?;
    judge(summary)
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
        return Err(Failure::new(exit::UNREACHABLE, what).hint("is it running, and is it the right address?"));
    }
    Ok(())
}
