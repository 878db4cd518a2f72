//! `purlin load self-test`: 10,000 tasks at once through a bounded channel and 5 workers.

use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

use super::Bench;
use crate::harness::process::{self, Launch};
use crate::harness::rounds::interleave;
use crate::harness::table::{Bar, Section, Verdict};

/// What `purlin load self-test` prints.
#[derive(Debug, Deserialize)]
struct SelfTest {
    tasks: u64,
    /// Seconds.
    took: f64,
    /// Seconds.
    start_and_stop: f64,
    max_rss: u64,
}

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Section> {
    let contestants = [("purlin".to_owned(), bench.tools.purlin())];
    let samples = interleave(bench.size.rounds, &contestants, async |purlin, _| {
        let launch = Launch::new(purlin, ["load", "self-test", "-o", "json"]);
        let text = process::run(&launch, Duration::from_secs(60)).await?.expect(&[0])?.stdout;
        let test: SelfTest = serde_json::from_str(&text).context("failed to read what it prints")?;
        Ok(vec![
            ("tasks", test.tasks as f64),
            ("took ms", test.took * 1e3),
            ("start and stop ms", test.start_and_stop * 1e3),
            ("memory MiB", test.max_rss as f64 / f64::from(1 << 20)),
        ])
    })
    .await;
    let what =
        "`purlin load self-test`: 10,000 tasks at once, each through a bounded channel to one of 5 workers and back.";
    let mut section = Section::of("self-test", what, &samples);
    section.verdicts = vec![Verdict::new("tasks", samples.spread("purlin", "tasks"), Bar::AtLeast(10_000.0))];
    section.notes.push(
        "The article that the experiment is from reports 11 ms for the tasks, 12 ms to start and stop, and 46 MB."
            .to_owned(),
    );
    Ok(section)
}
