//! `purlin load`: the load generator's command line.
//!
//! `args` says what can be asked; `plan` makes a plan of a scenario file and options, to which `types` adds those of gRPC
//! messages; `run` carries it out, shows it while it lasts and writes its result; `saved` shows and compares results that
//! were written before.

pub(crate) mod args;
mod failure;
mod live;
mod plan;
mod run;
mod saved;
mod types;

use anyhow::Context as _;
use tokio::io::BufReader;

use crate::failure::Failure;
use crate::output::Output;
use args::{Command, LoadArgs, ResultFormat, SelfTestArgs};

/// Does what `args` ask for.
pub(crate) fn run(args: LoadArgs, output: &mut Output) -> Result<(), Failure> {
    match args.command {
        None => run::run(args.run, output),
        Some(Command::Compare(args)) => saved::compare(&args, output),
        Some(Command::Report(args)) => saved::report(&args, output),
        Some(Command::SelfTest(args)) => self_test(&args, output),
        Some(Command::Agent) => agent(),
    }
}

/// Takes orders from standard input: see `purlin_load::serve_agent`.
fn agent() -> Result<(), Failure> {
    let runtime = runtime()?;
    let input = BufReader::new(tokio::io::stdin());
    let served = runtime.block_on(purlin_load::serve_agent(input, &mut tokio::io::stdout()));
    // A read of standard input cannot be taken back.
    runtime.shutdown_background();
    Ok(served.context("cannot speak with whoever gives the orders")?)
}

fn self_test(args: &SelfTestArgs, output: &mut Output) -> Result<(), Failure> {
    let measured = purlin_load::self_test().context("the self-test failed")?;
    let milliseconds = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    let text = match args.output {
        ResultFormat::Json => serde_json::to_string_pretty(&measured)?,
        ResultFormat::Text => format!(
            "{} tasks through a channel of {} to {} workers: {:.1} ms\nstart and stop without the tasks: {:.1} ms\nlargest resident memory: {:.1} MB",
            measured.tasks,
            measured.capacity,
            measured.workers,
            milliseconds(measured.took),
            milliseconds(measured.start_and_stop),
            measured.max_rss as f64 / 1e6
        ),
    };
    Ok(output.data(&text)?)
}

/// For whoever gives orders and collects: the sending threads have runtimes of their own.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().context("cannot start threads")
}
