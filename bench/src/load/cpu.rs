//! What a request costs a generator at saturation: one thread, 50 connections, the next request when the last has been
//! answered, against nginx that answers at once.

use super::targets::Target;
use super::tools::{Offer, Pace, Protocol, Tool};
use super::{Bench, CONNECTIONS};
use crate::harness::rounds::{Figures, interleave};
use crate::harness::table::{Bar, Section, Verdict};

const CPU: &str = "CPU us/request";

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Section> {
    use {Protocol::*, Tool::*};
    let contestants: Vec<(String, (Tool, Protocol))> = [
        ("purlin", Purlin, Http1),
        ("wrk", Wrk, Http1),
        ("h2load --h1", H2load, Http1),
        ("oha", Oha, Http1),
        ("vegeta", Vegeta, Http1),
        ("purlin, HTTP/2", Purlin, Http2),
        ("h2load, HTTP/2", H2load, Http2),
        ("oha, HTTP/2", Oha, Http2),
    ]
    .map(|(name, tool, protocol)| (name.to_owned(), (tool, protocol)))
    .into();
    let samples = interleave(bench.size.rounds, &contestants, async |(tool, protocol), _| {
        saturate(bench, &bench.nginx(*protocol)?, *tool, *protocol).await
    })
    .await;
    let what = "CPU time (user and system) of the generator's process for each answered request, at saturation: a closed \
                loop over 50 connections, one thread, against nginx with one process that answers 200 at once. HTTP/1.1 \
                with kept connections, and HTTP/2 without TLS with one stream at a time on each.";
    let mut section = Section::of("cpu", what, &samples);
    for (ours, theirs, most) in [
        ("purlin", "wrk", 1.1),
        ("purlin", "h2load --h1", 1.2),
        ("purlin, HTTP/2", "h2load, HTTP/2", 1.2),
        ("purlin", "vegeta", 0.5),
    ] {
        let ratio = samples.ratio(ours, theirs, CPU);
        section.verdicts.push(Verdict::new(format!("CPU a request, {ours} to {theirs}"), ratio, Bar::AtMost(most)));
    }
    section.notes.extend([
        "CPU time is getrusage's, from the program's start to its end, so it includes what each does once. The column \
         by schedstat is a sum over threads, last looked at up to 50 ms before the end; `waited` is how long the \
         generator was ready and had no core: where it is more than a few percent, others were busy on the machine."
            .to_owned(),
        "vegeta runs at its highest rate with 50 workers on one core and writes each result to a file, as it always does."
            .to_owned(),
    ]);
    Ok(section)
}

/// One run, as fast as it goes.
async fn saturate(bench: &Bench, target: &Target, tool: Tool, protocol: Protocol) -> anyhow::Result<Figures> {
    let seconds = bench.size.seconds;
    let offer = Offer { protocol, pace: Pace::Closed, connections: CONNECTIONS, seconds };
    let mut serving = target.start().await?;
    let measured = bench.tools.send(tool, &offer, serving.address).await;
    let targets = serving.usage().scheduled.as_secs_f64();
    serving.stop().await?;
    let measured = measured?;
    let (by_getrusage, by_schedstat) = measured.cpu();
    Ok(vec![
        (CPU, by_getrusage),
        ("by schedstat", by_schedstat),
        ("requests/s", measured.seen.completed as f64 / seconds as f64),
        ("target busy %", targets / seconds as f64 * 100.0),
        ("waited %", measured.usage.waited.as_secs_f64() / seconds as f64 * 100.0),
        ("errors", measured.seen.errors as f64),
    ])
}
