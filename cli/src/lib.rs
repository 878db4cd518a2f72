//! The command line `purlin`: the platform's host (`up`, `run`) and a small client of the Kubernetes API.
//!
//! ```text
//! main -> args (clap) -> up | run -> host: lock, listeners, store + PKI, roles, admin listener -> ready -> drain
//!                     -> get | apply | delete -> connect (kubeconfig) -> catalog (discovery) -> API
//!                     -> load -> plan (scenario file, options) -> engine -> result
//!                     -> version | demo-backend | completion
//! ```
//!
//! Data goes to standard output through [`Output`], all else to standard error. A command that fails returns a
//! [`Failure`]: an exit code of [`exit`], an error with its causes, and one hint. [`parts`] is the only list of parts.

mod args;
mod client;
mod data_dir;
pub mod demo_backend;
pub mod exit;
mod failure;
mod host;
mod kubeconfig;
mod load;
mod output;
mod parts;
mod ready;
mod signals;
mod up;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use clap::{CommandFactory as _, Parser as _};

pub use crate::args::Cli;
use crate::args::Command;
pub use crate::failure::Failure;
pub use crate::output::Output;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let started = Instant::now();
    ExitCode::from(run(std::env::args_os(), started, &mut Output::standard()))
}

/// Runs the command line `arguments`, which begins with the program's name, and returns the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>, started: Instant, output: &mut Output) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, output),
    };
    match dispatch(cli.command, started, output) {
        Ok(()) => exit::OK,
        Err(failure) => {
            // Standard error is gone too when this fails: nobody is left to tell.
            let _ = output.note(&failure.to_string());
            failure.code
        }
    }
}

fn dispatch(command: Command, started: Instant, output: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Up(args) => up::up(args, started, output),
        Command::Run(args) => up::run_role(args, started, output),
        Command::Get(args) => client::block_on(client::get::run(&args, output)),
        Command::Apply(args) => client::block_on(client::apply::run(&args, output)),
        Command::Delete(args) => client::block_on(client::delete::run(&args, output)),
        Command::Load(args) => load::run(*args, output),
        Command::Version(args) => Ok(output.data(&args.render())?),
        Command::DemoBackend(args) => demo_backend::run(&args, output),
        Command::Completion(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "purlin", &mut script);
            Ok(output.data(String::from_utf8_lossy(&script).trim_end())?)
        }
    }
}

/// What clap has to say: help and versions are data, anything else is a wrong use.
fn usage(error: &clap::Error, output: &mut Output) -> u8 {
    let text = error.render().to_string();
    if error.use_stderr() {
        let _ = output.note(text.trim_end());
        return exit::USAGE;
    }
    let _ = output.data(text.trim_end());
    exit::OK
}

#[cfg(test)]
mod tests;
