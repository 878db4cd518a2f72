//! Whether all generators tell the same percentiles of the same target, at 30 % of what the weakest of them can do.

use std::time::Duration;

use super::targets::Target;
use super::tools::{Measured, Offer, Pace, Protocol, Tool};
use super::{Bench, CONNECTIONS, named};
use crate::harness::rounds::{Figures, Samples, interleave, progress};
use crate::harness::table::{Bar, Section, Verdict};

/// The mean of the delays of our own target.
const MEAN: Duration = Duration::from_millis(2);
/// How far from each other percentiles may be.
const EQUAL: Bar = Bar::Within(0.95, 1.05);
const PERCENTILES: [&str; 3] = ["p50 ms", "p90 ms", "p99 ms"];

/// Against nginx that answers at once.
pub(super) async fn nginx(bench: &Bench) -> anyhow::Result<Section> {
    let target = bench.nginx(Protocol::Http1)?;
    let mut section = measure(bench, "percentiles-nginx", Protocol::Http1, async |_| target.start().await).await?;
    section.notes.push(
        "This target takes some ten microseconds of service time: what is seen is mostly how each generator starts its \
         requests. What oha and h2load start at one tick of their timers queues in the generator and in the target; purlin \
         and vegeta spread it evenly. Generators are to be judged by the target whose delays are known."
            .to_owned(),
    );
    Ok(section)
}

/// Against our own target, whose service time is known.
pub(super) async fn known(bench: &Bench, protocol: Protocol) -> anyhow::Result<Section> {
    let name = if protocol == Protocol::Grpc { "percentiles-grpc" } else { "percentiles-http1" };
    let target = |round: u32| Target::Known { mean: MEAN, seed: bench.size.seed + u64::from(round), stall: false };
    let mut section = measure(bench, name, protocol, async |round| target(round).start().await).await?;
    section.notes.push(
        "The target answers each request after an exponentially distributed delay of 2 ms in the mean, drawn from a seed \
         (the same delays for all contestants of a round): 1.39, 4.61 and 9.21 ms at 50, 90 and 99 %. `to target's` is \
         the percentile that the generator told to the one that the target itself measured in the same run, from a \
         request's head to its answer."
            .to_owned(),
    );
    Ok(section)
}

async fn measure(
    bench: &Bench,
    name: &'static str,
    protocol: Protocol,
    start: impl AsyncFn(u32) -> anyhow::Result<super::targets::Serving>,
) -> anyhow::Result<Section> {
    let contestants = match protocol {
        Protocol::Grpc => named(&[Tool::Purlin, Tool::Ghz]),
        _ => named(&[Tool::Purlin, Tool::Oha, Tool::H2load, Tool::Vegeta]),
    };
    let asks_truth = name != "percentiles-nginx";
    let run = async |tool: Tool, pace: Pace, seconds: u64, round: u32| -> anyhow::Result<Figures> {
        let mut serving = start(round).await?;
        let offer = Offer { protocol, pace, connections: CONNECTIONS, seconds };
        let measured = bench.tools.send(tool, &offer, serving.address).await;
        let truth = if asks_truth { Some(serving.truth().await) } else { None };
        let target_waited = serving.usage().waited;
        serving.stop().await?;
        let Measured { seen, usage } = measured?;
        let latency = seen.latency.ok_or_else(|| anyhow::anyhow!("it told no latencies"))?;
        let mut figures: Figures = PERCENTILES.into_iter().zip([latency.p50, latency.p90, latency.p99]).collect();
        figures.iter_mut().for_each(|(_, seconds)| *seconds *= 1e3);
        if let Some(truth) = truth.transpose()? {
            figures.push(("p50 to target's", latency.p50 / truth.p50));
            figures.push(("p99 to target's", latency.p99 / truth.p99));
        }
        figures.push(("requests/s", seen.completed as f64 / seconds as f64));
        figures.push(("waited %", (usage.waited + target_waited).as_secs_f64() / seconds as f64 * 100.0));
        figures.push(("errors", seen.errors as f64));
        Ok(figures)
    };
    let capacity = interleave(1, &contestants, async |tool, round| run(*tool, Pace::Closed, 2, round).await).await;
    let Some((rate, weakest)) = rate(&capacity) else {
        let mut section = Section::of(name, "No generator got anything out of the target.", &capacity);
        section.verdicts = verdicts(&capacity);
        return Ok(section);
    };
    progress(&format!("offering {rate}/s"));
    let samples = interleave(bench.size.rounds, &contestants, async |tool, round| {
        run(*tool, Pace::Rate(rate), bench.size.seconds, round).await
    })
    .await;
    let what = format!(
        "Percentiles at {rate} requests/s over {CONNECTIONS} connections: 30 % of what the weakest contestant ({weakest}) \
         gets out of the target as a closed loop on one core, so that neither target nor generators are near their limits."
    );
    let mut section = Section::of(name, what, &samples);
    section.verdicts = verdicts(&samples);
    let clocks: Vec<&str> = contestants.iter().map(|(_, tool)| tool.clock()).collect();
    section.notes.push(format!("Each starts its clock elsewhere: {}.", clocks.join("; ")));
    section.notes.push(
        "`waited` is how long generator and target together were ready to run and had no core: where it is more than a few \
         percent, others were busy on the machine, and the percentiles are theirs as well."
            .to_owned(),
    );
    Ok(section)
}

/// 30 % of the least that any contestant could do, and which one that was. One that could do nothing does not count.
fn rate(capacity: &Samples) -> Option<(u64, String)> {
    let able = capacity.names().filter_map(|name| Some((name, capacity.spread(name, "requests/s")?.median)));
    let (name, least) = able.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let rate = (least * 0.3 / 50.0).floor() as u64 * 50;
    Some((rate.max(50), name.to_owned()))
}

fn verdicts(samples: &Samples) -> Vec<Verdict> {
    let names: Vec<&str> = samples.names().collect();
    let Some((ours, others)) = names.split_first() else { return Vec::new() };
    let whom = if others.len() > 1 { "the median of the others" } else { others.first().copied().unwrap_or_default() };
    let verdict = |figure: &str| {
        let ratio = samples.ratio_to_median(ours, others, figure);
        Verdict::new(format!("{}, {ours} to {whom}", figure.trim_end_matches(" ms")), ratio, EQUAL)
    };
    PERCENTILES.into_iter().map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_weakest_decides_the_rate() {
        let contestants = [("ours", 9000.0), ("a", 1234.0), ("b", 0.0)].map(|(name, rate)| (name.to_owned(), rate));
        let capacity = interleave(1, &contestants, async |rate, _| {
            anyhow::ensure!(*rate > 0.0, "cannot");
            Ok(vec![("requests/s", *rate)])
        })
        .await;
        assert_eq!(rate(&capacity), Some((350, "a".to_owned())));
        assert_eq!(rate(&Samples::default()), None);
    }
}
