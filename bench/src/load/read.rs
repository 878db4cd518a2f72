//! What each generator prints, read into the same figures.

use std::collections::BTreeMap;

use anyhow::Context as _;
use purlin_load_model::summary::Summary;
use purlin_load_model::tally::{ErrorKind, Tally};
use serde_json::Value;

/// What a generator saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// Requests that were answered as expected.
    pub completed: u64,
    /// Requests that were not, without those that were cut off by the end of the run.
    pub errors: u64,
    /// Latencies, where it tells them.
    pub latency: Option<Latency>,
    /// Intended starts that are not accounted for; only ours tells.
    pub unaccounted: Option<u64>,
}

/// Latencies in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latency {
    /// Half of the requests took at most this.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
}

/// The JSON of `purlin load`.
pub(crate) fn purlin(text: &str) -> anyhow::Result<Seen> {
    let summary: Summary = serde_json::from_str(text).context("failed to read purlin's result")?;
    Ok(counted(&summary.tally))
}

fn counted(tally: &Tally) -> Seen {
    let total = tally.total();
    let seconds = |quantile| total.latency.quantile(quantile).as_secs_f64();
    let cut_off = total.errors.get(&ErrorKind::Unfinished).copied().unwrap_or(0);
    let accounted = tally.on_time + tally.late_busy + tally.late_self + tally.not_sent;
    Seen {
        completed: total.succeeded,
        errors: total.failed() - cut_off + tally.not_sent + tally.connect_errors.values().sum::<u64>(),
        latency: Some(Latency { p50: seconds(0.5), p90: seconds(0.9), p99: seconds(0.99) }),
        unaccounted: Some(tally.offered.abs_diff(accounted)),
    }
}

/// The text of `wrk --latency`.
pub(crate) fn wrk(text: &str) -> anyhow::Result<Seen> {
    let requests =
        text.lines().find_map(|line| line.trim().split_once(" requests in ")).context("wrk told no requests")?;
    let answered: u64 = requests.0.parse().context("wrk's number of requests is none")?;
    let percentile = |name: &str| {
        let value = text.lines().find_map(|line| line.trim().strip_prefix(name))?;
        seconds(value.trim())
    };
    let latency = (|| Some(Latency { p50: percentile("50%")?, p90: percentile("90%")?, p99: percentile("99%")? }))();
    let after = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name));
    let wrong: u64 = after("Non-2xx or 3xx responses: ").map_or(Ok(0), str::parse)?;
    let lost: u64 = after("Socket errors: ").into_iter().flat_map(numbers).sum();
    Ok(Seen { completed: answered.saturating_sub(wrong), errors: wrong + lost, latency, unaccounted: None })
}

/// `812.00us`, `1.20ms`, `3.00s`, `1.50m` of wrk, in seconds.
fn seconds(word: &str) -> Option<f64> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &word[digits.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Some(digits.parse::<f64>().ok()? * unit)
}

/// All whole numbers of a text.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

/// The text of `h2load`, and the file that it wrote of each request: start, status, microseconds.
pub(crate) fn h2load(text: &str, log: Option<&str>) -> anyhow::Result<Seen> {
    let line = text.lines().find_map(|line| line.strip_prefix("requests: ")).context("h2load told no requests")?;
    let counts: BTreeMap<&str, u64> = line
        .split(", ")
        .filter_map(|part| part.split_once(' '))
        .filter_map(|(count, name)| Some((name, count.parse().ok()?)))
        .collect();
    let count = |name| counts.get(name).copied().unwrap_or(0);
    let latency = log.map(|log| {
        let mut microseconds: Vec<u64> =
            log.lines().filter_map(|line| line.split('\t').nth(2)?.trim().parse().ok()).collect();
        microseconds.sort_unstable();
        let at = |share| quantile(&microseconds, share).map(|us| us as f64 / 1e6);
        Some(Latency { p50: at(0.5)?, p90: at(0.9)?, p99: at(0.99)? })
    });
    // What is cut off at the end counts as neither: it is started, and not done.
    Ok(Seen {
        completed: count("succeeded"),
        errors: count("failed").min(count("done").saturating_sub(count("succeeded"))) + count("timeout"),
        latency: latency.flatten(),
        unaccounted: None,
    })
}

/// The least value that the share `share` of the sorted values does not exceed.
fn quantile(sorted: &[u64], share: f64) -> Option<u64> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The JSON of `oha`.
pub(crate) fn oha(text: &str) -> anyhow::Result<Seen> {
    let json: Value = serde_json::from_str(text).context("failed to read oha's result")?;
    let sum = |map: &Value, counts: fn(&str) -> bool| -> u64 {
        let entries = map.as_object().into_iter().flatten().filter(|(name, _)| counts(name));
        entries.filter_map(|(_, count)| count.as_u64()).sum()
    };
    let status = &json["statusCodeDistribution"];
    let wrong = sum(status, |code| !code.starts_with('2'));
    let lost = sum(&json["errorDistribution"], |error| !error.contains("deadline"));
    let at = |name: &str| json["latencyPercentiles"][name].as_f64();
    let latency = (|| Some(Latency { p50: at("p50")?, p90: at("p90")?, p99: at("p99")? }))();
    Ok(Seen { completed: sum(status, |code| code.starts_with('2')), errors: wrong + lost, latency, unaccounted: None })
}

/// The JSON of `vegeta report`.
pub(crate) fn vegeta(text: &str) -> anyhow::Result<Seen> {
    let json: Value = serde_json::from_str(text).context("failed to read vegeta's result")?;
    let requests = json["requests"].as_u64().context("vegeta told no requests")?;
    let good = json["status_codes"]["200"].as_u64().unwrap_or(0);
    let at = |name: &str| Some(json["latencies"][name].as_f64()? / 1e9);
    let latency = (|| Some(Latency { p50: at("50th")?, p90: at("90th")?, p99: at("99th")? }))();
    Ok(Seen { completed: good, errors: requests.saturating_sub(good), latency, unaccounted: None })
}

/// The JSON of `ghz`.
pub(crate) fn ghz(text: &str) -> anyhow::Result<Seen> {
    let json: Value = serde_json::from_str(text).context("failed to read ghz's result")?;
    let count = json["count"].as_u64().context("ghz told no count")?;
    let good = json["statusCodeDistribution"]["OK"].as_u64().unwrap_or(0);
    let at = |percentage: u64| {
        let list = json["latencyDistribution"].as_array()?;
        let entry = list.iter().find(|entry| entry["percentage"].as_u64() == Some(percentage))?;
        Some(entry["latency"].as_f64()? / 1e9)
    };
    let latency = (|| Some(Latency { p50: at(50)?, p90: at(90)?, p99: at(99)? }))();
    Ok(Seen { completed: good, errors: count.saturating_sub(good), latency, unaccounted: None })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use purlin_load_model::tally::Outcome;

    use super::*;

    fn check(seen: anyhow::Result<Seen>, counts: (u64, u64), latency: Option<(f64, f64, f64)>) {
        let seen = seen.unwrap();
        assert_eq!((seen.completed, seen.errors), counts, "{seen:?}");
        let found = seen.latency.map(|latency| [latency.p50, latency.p90, latency.p99]);
        let expected = latency.map(|(p50, p90, p99)| [p50, p90, p99]);
        assert_eq!(found.is_some(), expected.is_some(), "{seen:?}");
        for (found, expected) in found.into_iter().flatten().zip(expected.into_iter().flatten()) {
            assert!((found - expected).abs() < 1e-9, "{seen:?}");
        }
    }

    #[test]
    fn wrk_is_read() {
        let text = "  1 threads and 50 connections\n  Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency   1.10ms  200.00us   9.00ms   90.00%\n  Latency Distribution\n     50%  812.00us\n     75%    1.00ms\n     90%    1.50ms\n     99%    1.20s \n  105 requests in 5.00s, 9.01MB read\n  Socket errors: connect 0, read 2, write 0, timeout 3\n  Non-2xx or 3xx responses: 5\nRequests/sec:  21.00\n";
        check(wrk(text), (100, 10), Some((0.000_812, 0.0015, 1.2)));
        check(wrk("  7 requests in 5.00s, 1KB read\n"), (7, 0), None);
        assert!(wrk("unable to connect\n").is_err());
    }

    #[test]
    fn h2load_is_read() {
        let text = "finished in 5.00s, 20.00 req/s, 1KB/s\nrequests: 110 total, 110 started, 104 done, 100 succeeded, 4 failed, 4 errored, 2 timeout\nstatus codes: 100 2xx\n";
        check(h2load(text, None), (100, 6), None);
        let log: String = (1..=100).rev().map(|us| format!("1700000000000000\t200\t{us}\n")).collect();
        check(h2load(text, Some(&log)), (100, 6), Some((50e-6, 90e-6, 99e-6)));
        check(h2load(text, Some("")), (100, 6), None);
    }

    #[test]
    fn oha_is_read() {
        let text = r#"{"summary": {"total": 5.0}, "latencyPercentiles": {"p50": 0.001, "p90": 0.002, "p99": 0.003},
            "statusCodeDistribution": {"200": 100, "503": 4},
            "errorDistribution": {"aborted due to deadline": 9, "connection refused": 2}}"#;
        check(oha(text), (100, 6), Some((0.001, 0.002, 0.003)));
    }

    #[test]
    fn vegeta_is_read() {
        let text = r#"{"latencies": {"total": 1, "50th": 1000, "90th": 2000, "95th": 2500, "99th": 3000},
            "requests": 103, "status_codes": {"0": 1, "200": 100, "500": 2}}"#;
        check(vegeta(text), (100, 3), Some((1e-6, 2e-6, 3e-6)));
    }

    #[test]
    fn ghz_is_read() {
        let text = r#"{"count": 102, "statusCodeDistribution": {"OK": 100, "Unavailable": 2},
            "latencyDistribution": [{"percentage": 50, "latency": 1000}, {"percentage": 90, "latency": 2000},
            {"percentage": 99, "latency": 3000}]}"#;
        check(ghz(text), (100, 2), Some((1e-6, 2e-6, 3e-6)));
        check(ghz(r#"{"count": 0, "latencyDistribution": null}"#), (0, 0), None);
    }

    #[test]
    fn purlin_is_read() {
        let ms = Duration::from_millis;
        let mut tally = Tally::new(1);
        for outcome in
            [Outcome::Answered(200), Outcome::Failed(ErrorKind::Closed), Outcome::Failed(ErrorKind::Unfinished)]
        {
            tally.begin(ms(0), false);
            tally.steps[0].end(outcome, ms(3), ms(2));
        }
        assert_eq!(counted(&tally).latency.unwrap().p99, counted(&tally).latency.unwrap().p50);
        // What was never sent counts as an error, and is accounted for.
        tally.skip(0, ms(9));
        let seen = counted(&tally);
        assert_eq!((seen.completed, seen.errors, seen.unaccounted), (1, 2, Some(0)));
        tally.offered += 2;
        assert_eq!(counted(&tally).unaccounted, Some(2));
        assert!(purlin("{}").is_err());
    }

    #[test]
    fn quantiles_are_values_that_were_there() {
        assert_eq!(
            (quantile(&[1, 2, 3], 0.5), quantile(&[1, 2, 3], 0.99), quantile(&[], 0.5)),
            (Some(2), Some(3), None)
        );
    }
}
