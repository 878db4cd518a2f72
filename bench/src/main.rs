//! What purlin costs, measured against others on the same machine in the same run: `make bench PART=load`.
//!
//! ```text
//! bench/src/harness  what every part's bench stands on: peers, rounds, processes, figures, the table
//! bench/src/load     the load generator against wrk, h2load, oha, vegeta and ghz
//! bench/src/target   a target whose service time is known
//! ```
//!
//! It is no part of what is shipped. The figures of a run are committed under docs/results.

mod harness;
mod load;
mod target;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

use harness::environment::Environment;
use harness::rounds::progress;
use harness::table::{Report, Section};
use target::TargetArgs;

#[derive(Debug, Parser)]
#[command(about = "Measures purlin against others")]
enum Command {
    /// The load generator against wrk, h2load, oha, vegeta and ghz
    Load(BenchArgs),
    /// Serve as a target whose service time is known
    Target(TargetArgs),
}

#[derive(Debug, clap::Args)]
struct BenchArgs {
    #[command(flatten)]
    size: Size,
    /// Only this section; may be given several times
    #[arg(long, value_name = "SECTION")]
    only: Vec<String>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// Write PART-DATE.txt and PART-DATE.json into this folder as well
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The binary to measure [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    purlin: Option<PathBuf>,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Size {
    /// How often each contestant runs
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each run is
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Where random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What a part's bench hands over.
struct Measured {
    /// Programs and their versions.
    versions: Vec<(String, String)>,
    /// What was measured.
    sections: Vec<Section>,
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// On one thread: a bench waits for others nearly all the time, and a target has one core.
#[tokio::main(flavor = "current_thread")]
async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Load(args) => bench(&args).await,
        Command::Target(args) => target::serve(&args).await,
    }
}

async fn bench(args: &BenchArgs) -> anyhow::Result<()> {
    if let Some(unknown) = args.only.iter().find(|name| !load::SECTIONS.contains(&name.as_str())) {
        anyhow::bail!("there is no section {unknown}; there are {}", load::SECTIONS.join(", "));
    }
    let purlin = match &args.purlin {
        Some(path) => path.clone(),
        None => std::env::current_exe().context("failed to find this program")?.with_file_name("purlin"),
    };
    anyhow::ensure!(purlin.is_file(), "there is no {}: build it, or name one with --purlin", purlin.display());
    let environment = Environment::now();
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|only| only == name);
    let Measured { versions, sections } = load::measure(&purlin, args.size, wanted).await?;
    let Size { rounds, seconds, seed } = args.size;
    let report = Report { part: "load".to_owned(), environment, rounds, seconds, seed, versions, sections };
    let (text, json) = (report.text(), serde_json::to_string_pretty(&report)? + "\n");
    if let Some(folder) = &args.out {
        keep(folder, &report, &text, &json)?;
    }
    std::io::stdout().write_all(if args.json { &json } else { &text }.as_bytes()).context("failed to print the result")
}

fn keep(folder: &Path, report: &Report, text: &str, json: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    for (ending, content) in [("txt", text), ("json", json)] {
        let file = folder.join(format!("{}-{}.{ending}", report.part, report.environment.day()));
        std::fs::write(&file, content).with_context(|| format!("failed to write {}", file.display()))?;
    }
    Ok(())
}
