//! Eight thousand open connections at an offered rate: what one of them costs in memory.

use super::tools::{Measured, Offer, Pace, Protocol, Tool};
use super::{Bench, CONNECTIONS, named};
use crate::harness::rounds::interleave;
use crate::harness::table::{Bar, Section, Verdict};

const MANY: u32 = 8_000;
const RATE: u64 = 4_000;

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Section> {
    let contestants = named(&[Tool::Purlin, Tool::H2load, Tool::Oha, Tool::Wrk]);
    let target = bench.nginx(Protocol::Http1)?;
    let run = async |tool: Tool, connections: u32, seconds: u64| -> anyhow::Result<Measured> {
        let pace = if tool == Tool::Wrk { Pace::Closed } else { Pace::Rate(RATE) };
        let serving = target.start().await?;
        let offer = Offer { protocol: Protocol::Http1, pace, connections, seconds };
        let measured = bench.tools.send(tool, &offer, serving.address).await;
        serving.stop().await?;
        measured
    };
    let samples = interleave(bench.size.rounds, &contestants, async |tool, _| {
        let seconds = bench.size.seconds;
        let few = run(*tool, CONNECTIONS, seconds).await?;
        let many = run(*tool, MANY, seconds).await?;
        let kib = |measured: &Measured| measured.usage.max_rss as f64 / 1024.0;
        let each = (kib(&many) - kib(&few)) / f64::from(MANY - CONNECTIONS);
        let mut figures =
            vec![("KiB/connection", each), ("RSS MiB", kib(&many) / 1024.0), ("RSS MiB with 50", kib(&few) / 1024.0)];
        figures.push(("descriptors", many.usage.descriptors as f64));
        figures.push(("requests/s", many.seen.completed as f64 / seconds as f64));
        figures.extend(many.seen.latency.map(|latency| ("p99 ms", latency.p99 * 1e3)));
        figures.push(("errors", many.seen.errors as f64));
        Ok(figures)
    })
    .await;
    let what = format!(
        "{MANY} open connections against nginx at {RATE} requests/s (wrk: as fast as it goes). A connection costs the \
         difference of the largest resident memory between this and {CONNECTIONS} connections at the same rate."
    );
    let mut section = Section::of("connections", what, &samples);
    let of = |figure| samples.spread("purlin", figure);
    section.verdicts = vec![
        Verdict::new("KiB a connection, purlin", of("KiB/connection"), Bar::AtMost(20.0)),
        Verdict::new("open descriptors, purlin", of("descriptors"), Bar::AtLeast(f64::from(MANY))),
        Verdict::new("errors, purlin", of("errors"), Bar::AtMost(0.0)),
    ];
    section.notes.push("Latencies include the opening of the connections: nobody has a warm-up here.".to_owned());
    Ok(section)
}
