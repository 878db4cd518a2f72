//! What purlin costs, measured against others on the same machine in the same run.
//!
//! It is no part of what is shipped.

mod target;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

use target::TargetArgs;

#[derive(Debug, Parser)]
#[command(about = "Measures purlin against others")]
enum Command {
    /// Serve as a target whose service time is known
    Target(TargetArgs),
}

/// On one thread: a target has one core.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Command::Target(args) = Command::parse();
    match target::serve(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when it is gone.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
