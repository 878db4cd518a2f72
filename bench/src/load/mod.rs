//! The load generator against others: what a request costs it, whether its percentiles are those of others and of the
//! target, whether it shows a stall, what a connection costs.
//!
//! Targets and generators have a core each. All generators are offered the same, each run against a fresh target.

mod connections;
mod cpu;
mod percentiles;
mod read;
mod self_test;
mod stall;
mod targets;
mod tools;

use std::path::Path;

use crate::harness::peers;
use crate::harness::process::{self, Launch};
use crate::harness::rounds::progress;
use crate::harness::table::Section;
use crate::{Measured, Size};
use targets::Target;
use tools::{Protocol, Tool, Tools};

/// The connections of all loads but one.
const CONNECTIONS: u32 = 50;

/// What a section needs.
struct Bench {
    tools: Tools,
    nginx: anyhow::Result<peers::Found>,
    size: Size,
}

/// The names of the sections.
pub(crate) const SECTIONS: [&str; 7] =
    ["cpu", "percentiles-nginx", "percentiles-http1", "percentiles-grpc", "stall", "connections", "self-test"];

/// Measures the sections that `wanted` wants.
pub(crate) async fn measure(purlin: &Path, size: Size, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Measured> {
    let (tools, missing) = Tools::find(purlin)?;
    let bench = Bench { tools, nginx: peers::NGINX.find(), size };
    let mut versions = vec![("purlin".to_owned(), version(purlin).await?)];
    versions.extend(bench.tools.versions());
    versions.extend(bench.nginx.iter().map(|found| ("nginx".to_owned(), found.version.clone())));
    versions.extend(missing.into_iter().map(|reason| ("missing".to_owned(), reason)));
    let mut sections: Vec<Section> = Vec::new();
    for name in SECTIONS.into_iter().filter(|name| wanted(name)) {
        progress(&format!("== {name}"));
        sections.push(match name {
            "cpu" => cpu::measure(&bench).await?,
            "percentiles-nginx" => percentiles::nginx(&bench).await?,
            "percentiles-http1" => percentiles::known(&bench, Protocol::Http1).await?,
            "percentiles-grpc" => percentiles::known(&bench, Protocol::Grpc).await?,
            "stall" => stall::measure(&bench).await?,
            "connections" => connections::measure(&bench).await?,
            _ => self_test::measure(&bench).await?,
        });
    }
    Ok(Measured { versions, sections })
}

impl Bench {
    /// nginx for `protocol`.
    fn nginx(&self, protocol: Protocol) -> anyhow::Result<Target> {
        match &self.nginx {
            Ok(found) => Ok(Target::nginx(&found.path, self.tools.scratch(), protocol)),
            Err(error) => anyhow::bail!("there is no nginx: {error:#}"),
        }
    }
}

/// What `purlin --version` says, with the size of the binary.
async fn version(purlin: &Path) -> anyhow::Result<String> {
    let launch = Launch::new(purlin, ["--version"]);
    let said = process::run(&launch, std::time::Duration::from_secs(10)).await?.expect(&[0])?.stdout;
    let mib = std::fs::metadata(purlin)?.len() as f64 / f64::from(1 << 20);
    Ok(format!("{} ({mib:.0} MiB)", said.trim().trim_start_matches("purlin ")))
}

/// Contestants with their names.
fn named(tools: &[Tool]) -> Vec<(String, Tool)> {
    tools.iter().map(|tool| (tool.name().to_owned(), *tool)).collect()
}
