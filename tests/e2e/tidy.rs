//! What holds for the repository as a whole, and no compiler checks: which room may use which ([`rooms`]), how files
//! look ([`sources`]), that documents tell of what is there ([`documents`]), and what comes from outside ([`packages`]).

mod documents;
mod packages;
mod rooms;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// All files that git knows or would add, relative to the root, with `/` between folders.
fn files() -> anyhow::Result<Vec<String>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = output(Command::new("git").args(list))?;
    // A file that is deleted and not committed yet is listed too.
    Ok(output.split_terminator('\0').filter(|path| root().join(path).is_file()).map(str::to_owned).collect())
}

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| format!("failed to read {path}"))
}

/// What cargo prints; it downloads nothing and changes nothing.
fn cargo(arguments: &[&str]) -> anyhow::Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    output(Command::new(cargo).args(arguments).args(["--locked", "--offline"]))
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.current_dir(root()).output().with_context(|| format!("failed to run {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?} failed: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Fails with all findings.
fn none(findings: &[String]) -> anyhow::Result<()> {
    anyhow::ensure!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
    Ok(())
}
