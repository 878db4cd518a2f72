//! A target that stands still for one of ten seconds, at a constant rate: who shows it.

use std::time::Duration;

use super::targets::Target;
use super::tools::{Offer, Pace, Protocol, Tool};
use super::{Bench, CONNECTIONS};
use crate::harness::rounds::interleave;
use crate::harness::table::{Bar, Section, Verdict};

const RATE: u64 = 500;
const SECONDS: u64 = 10;

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Section> {
    use Tool::*;
    let contestants: Vec<(String, (Tool, Pace))> = [
        ("purlin", Purlin, Pace::Rate(RATE)),
        ("oha", Oha, Pace::Rate(RATE)),
        ("vegeta", Vegeta, Pace::Rate(RATE)),
        ("h2load --rps", H2load, Pace::Rate(RATE)),
        ("wrk", Wrk, Pace::Closed),
        ("purlin --closed", Purlin, Pace::Closed),
    ]
    .map(|(name, tool, pace)| (name.to_owned(), (tool, pace)))
    .into();
    let target = Target::Known { mean: Duration::ZERO, seed: bench.size.seed, stall: true };
    let samples = interleave(bench.size.rounds, &contestants, async |(tool, pace), _| {
        let offer = Offer { protocol: Protocol::Http1, pace: *pace, connections: CONNECTIONS, seconds: SECONDS };
        let serving = target.start().await?;
        let measured = bench.tools.send(*tool, &offer, serving.address).await;
        serving.stop().await?;
        let seen = measured?.seen;
        let latency = seen.latency.ok_or_else(|| anyhow::anyhow!("it told no latencies"))?;
        let mut figures =
            vec![("p50 ms", latency.p50 * 1e3), ("p90 ms", latency.p90 * 1e3), ("p99 ms", latency.p99 * 1e3)];
        figures.push(("requests/s", seen.completed as f64 / SECONDS as f64));
        figures.push(("errors", seen.errors as f64));
        figures.extend(seen.unaccounted.map(|starts| ("starts unaccounted for", starts as f64)));
        Ok(figures)
    })
    .await;
    let what = format!(
        "A target that answers at once, but stands still for 1 s in the middle of the {SECONDS} s; {RATE} requests/s over \
         {CONNECTIONS} connections, with wrk and purlin --closed as fast as it goes. One of ten intended starts falls into \
         the stall and waits for its end, 0 to 1 s: the true 99 % is 900 ms."
    );
    let mut section = Section::of("stall", what, &samples);
    let p99 = |name| samples.spread(name, "p99 ms");
    let unaccounted = samples.spread("purlin", "starts unaccounted for");
    section.verdicts = vec![
        Verdict::new("p99 ms of purlin shows the stall", p99("purlin"), Bar::Within(855.0, 945.0)),
        Verdict::new("p99 ms of a closed loop does not", p99("purlin --closed"), Bar::AtMost(500.0)),
        Verdict::new("p99 ms of wrk does not", p99("wrk"), Bar::AtMost(500.0)),
        Verdict::new("offered - on time - late - not sent, of purlin", unaccounted, Bar::AtMost(0.0)),
    ];
    section.notes.extend([
        "During the stall a closed loop has the requests of its 50 connections that wait, and not 500. So it is with \
         h2load, which has one request at a time on each, and starts its clock when it hands it over."
            .to_owned(),
        "wrk 4 does not measure what its percentiles show here: after the run it adds, for each latency beyond twice the \
         mean interval of a connection, invented ones in steps of that interval (stats_correct in its src/wrk.c). A wrk \
         that showed what it measured would look like purlin --closed."
            .to_owned(),
    ]);
    Ok(section)
}
