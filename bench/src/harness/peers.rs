//! Programs that purlin is measured against: found, or installed at a version that stands here.
//!
//! Debian's come by apt and stay as new as the distribution; those of crates.io and of the Go module proxy go into
//! `~/.cache/purlin/peers/bench`, outside of the repository, once a machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::rounds::progress;

/// Where a peer comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A package of Debian.
    Debian(&'static str),
    /// A crate and its version.
    Crate(&'static str, &'static str),
    /// A Go command and its version.
    Go(&'static str, &'static str),
}

/// A program that purlin is measured against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The program's name.
    pub program: &'static str,
    source: Source,
    /// What it is to be asked for its version.
    version: &'static str,
}

/// A web server, the target of HTTP loads.
pub(crate) const NGINX: Peer = Peer { program: "nginx", source: Source::Debian("nginx-light"), version: "-v" };
/// A closed loop for HTTP/1.1.
pub(crate) const WRK: Peer = Peer { program: "wrk", source: Source::Debian("wrk"), version: "--version" };
/// HTTP/1.1 and HTTP/2, closed or at a rate.
pub(crate) const H2LOAD: Peer =
    Peer { program: "h2load", source: Source::Debian("nghttp2-client"), version: "--version" };
/// HTTP/1.1 and HTTP/2, closed or at a rate.
pub(crate) const OHA: Peer = Peer { program: "oha", source: Source::Crate("oha", "1.16.0"), version: "--version" };
/// HTTP at a rate.
pub(crate) const VEGETA: Peer =
    Peer { program: "vegeta", source: Source::Go("github.com/tsenart/vegeta/v12", "v12.13.0"), version: "--version" };
/// gRPC, closed or at a rate.
pub(crate) const GHZ: Peer =
    Peer { program: "ghz", source: Source::Go("github.com/bojand/ghz/cmd/ghz", "v0.121.0"), version: "--version" };

/// A peer that is there.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The program.
    pub path: PathBuf,
    /// Its version, with where it comes from.
    pub version: String,
}

impl Peer {
    /// Finds it, and installs it where it is missing.
    pub(crate) fn find(&self) -> anyhow::Result<Found> {
        let path = match self.look() {
            Some(path) => path,
            None => {
                progress(&format!("installing {}", self.program));
                self.install().with_context(|| format!("failed to install {}", self.program))?;
                self.look().with_context(|| format!("{} is not where it was installed", self.program))?
            }
        };
        let version = match self.source {
            // What Go and cargo built is what was asked for; a program built by `go install` cannot tell its version.
            Source::Crate(_, version) | Source::Go(_, version) => version.to_owned(),
            Source::Debian(package) => format!("{} (Debian's {package})", ask_version(&path, self.version)?),
        };
        Ok(Found { path, version })
    }

    fn look(&self) -> Option<PathBuf> {
        let folders = match self.source {
            Source::Debian(_) => vec!["/usr/bin".into(), "/usr/sbin".into()],
            // One folder a version: a new version here is installed anew.
            Source::Crate(_, version) | Source::Go(_, version) => vec![folder(self.program, version).join("bin")],
        };
        folders.into_iter().map(|folder: PathBuf| folder.join(self.program)).find(|path| path.is_file())
    }

    fn install(&self) -> anyhow::Result<()> {
        match self.source {
            Source::Debian(package) => {
                let options = ["install", "-qy", "--no-install-recommends", package];
                ran(Command::new("apt-get").args(options).env("DEBIAN_FRONTEND", "noninteractive"))
            }
            Source::Crate(name, version) => {
                let root = folder(self.program, version);
                ran(Command::new("cargo")
                    .args(["install", name, "--version", version, "--locked"])
                    .arg("--root")
                    .arg(root))
            }
            Source::Go(module, version) => {
                let bin = folder(self.program, version).join("bin");
                ran(Command::new("go").arg("install").arg(format!("{module}@{version}")).env("GOBIN", bin))
            }
        }
    }
}

/// Where what is built for one version of a program lies.
fn folder(program: &str, version: &str) -> PathBuf {
    let peers = std::env::var_os("PURLIN_PEERS").map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::home_dir().unwrap_or_default();
        home.join(".cache/purlin/peers")
    });
    peers.join("bench").join(format!("{program}-{version}"))
}

fn ran(command: &mut Command) -> anyhow::Result<()> {
    // Their progress must not stand in the result.
    command.stdout(std::process::Stdio::null());
    let status = command.status().with_context(|| format!("failed to start {:?}", command.get_program()))?;
    anyhow::ensure!(status.success(), "{command:?} failed");
    Ok(())
}

/// The first word with a number and a dot in what the program says about its version.
fn ask_version(path: &Path, option: &str) -> anyhow::Result<String> {
    // wrk answers with its usage and an exit code of 1, nginx on standard error.
    let output =
        Command::new(path).arg(option).output().with_context(|| format!("failed to run {}", path.display()))?;
    let said = [output.stdout, output.stderr].concat();
    version_in(&String::from_utf8_lossy(&said)).with_context(|| format!("{} does not tell its version", path.display()))
}

fn version_in(said: &str) -> Option<String> {
    let words = said.split(|c: char| c.is_whitespace() || c == '/');
    let numbered = |word: &&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
    words.into_iter().find(numbered).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let check = |said, expected: Option<&str>| assert_eq!(version_in(said).as_deref(), expected, "{said}");
        check("nginx version: nginx/1.22.1\n", Some("1.22.1"));
        check("wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer\n", Some("4.1.0-3+b2"));
        check("h2load nghttp2/1.52.0\n", Some("1.52.0"));
        check("purlin 0.1.0\n", Some("0.1.0"));
        check("no version.", None);
    }
}
