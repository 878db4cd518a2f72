//! Results for tests: runs against a made-up target, computed without chance and without a clock.

use std::time::Duration;

use purlin_load_model::histogram::Histogram;
use purlin_load_model::plan::{
    Action, Expect, HttpAction, Pace, Piece, Plan, Protocol, Scenario, Spacing, Stage, Step, Target, Template, Tls,
};
use purlin_load_model::series::Second;
use purlin_load_model::summary::{FORMAT, Generator, Summary};
use purlin_load_model::tally::{ErrorKind, Exemplar, Outcome, Tally};

const MS: Duration = Duration::from_millis(1);

/// A run at a constant rate.
pub(crate) struct Run {
    pub(crate) seconds: u64,
    pub(crate) rate: u64,
    /// The target stands still in the fifth second of every ten.
    pub(crate) stall: bool,
    /// Every so-many-th request is answered with 503.
    pub(crate) fail_every: u64,
    /// The names of the steps, which take turns.
    pub(crate) steps: &'static [&'static str],
}

/// What ended in one second.
#[derive(Default)]
struct Bin {
    latency: Histogram,
    succeeded: u64,
    failed: u64,
}

impl Run {
    pub(crate) fn summary(&self) -> Summary {
        let mut tally = Tally::new(self.steps.len());
        let mut bins: Vec<Bin> = (0..self.seconds).map(|_| Bin::default()).collect();
        let mut chance = 1_u64;
        for index in 0..self.seconds * self.rate {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = Duration::from_nanos(index * 1_000_000_000 / self.rate);
            // Most take about 1 ms, one in a thousand some 20.
            let uniform = ((chance >> 33) as f64 + 1.0) / 2_147_483_649.0;
            let service = Duration::from_secs_f64(0.000_6 + 0.000_3 * uniform.powf(-0.6).min(90.0));
            let second = at.as_secs() % 10;
            let waited = match second {
                4 if self.stall => Duration::from_nanos(1_000_000_000 - u64::from(at.subsec_nanos())),
                _ => Duration::ZERO,
            };
            let late = if waited > MS * 50 { waited - MS * 50 } else { Duration::ZERO };
            tally.begin(late, !late.is_zero());
            let wrong = self.fail_every > 0 && index.is_multiple_of(self.fail_every);
            let outcome = if wrong { Outcome::Unexpected(503, ErrorKind::Status) } else { Outcome::Answered(200) };
            let latency = service + waited;
            let step = index as usize % self.steps.len();
            tally.steps[step].end(outcome, latency, latency - late);
            let end = usize::try_from((at + latency).as_secs()).unwrap().min(bins.len() - 1);
            bins[end].latency.record(latency);
            if wrong {
                bins[end].failed += 1
            } else {
                bins[end].succeeded += 1
            }
            if index.is_multiple_of(97) {
                tally.exemplars.push(Exemplar { trace_id: format!("{chance:032x}"), step, at, latency });
            }
        }
        tally.exemplars.sort_by_key(|exemplar| std::cmp::Reverse(exemplar.latency));
        tally.exemplars.truncate(5);
        let sent = self.seconds * self.rate;
        (tally.bytes_sent, tally.bytes_received) = (sent * 84, sent * 1_234);
        (0..50).for_each(|n| tally.connect.record(Duration::from_micros(180 + n * 7)));
        let series = bins.iter().zip(0..).map(|(bin, at)| self.second(bin, at)).collect();
        let mut summary = empty(self.steps);
        summary.plan.pace = steady(self.rate as f64, Duration::from_secs(self.seconds));
        summary.lasted = Duration::from_secs(self.seconds);
        (summary.tally, summary.series) = (tally, series);
        summary.generator = Generator {
            processes: 1,
            cpu: Duration::from_millis(self.seconds * 310),
            busiest_worker: 0.16,
            others: 0.34,
            max_rss: 18_400_000,
        };
        summary
    }

    fn second(&self, bin: &Bin, at: u64) -> Second {
        Second {
            at: Duration::from_secs(at),
            offered: self.rate,
            succeeded: bin.succeeded,
            failed: bin.failed,
            in_flight: if self.stall && at % 10 == 4 { 50 } else { 2 },
            p50: bin.latency.quantile(0.5),
            p90: bin.latency.quantile(0.9),
            p99: bin.latency.quantile(0.99),
            max: bin.latency.max(),
        }
    }
}

pub(crate) fn steady(rate: f64, duration: Duration) -> Pace {
    Pace::Open { stages: vec![Stage { duration, from: rate, to: rate }], spacing: Spacing::Constant }
}

/// A result in which nothing has happened.
pub(crate) fn empty(steps: &[&str]) -> Summary {
    let step = |name: &&str| Step {
        name: (*name).to_owned(),
        action: Action::Http(HttpAction {
            method: "GET".to_owned(),
            path: Template(vec![Piece::Text("/items/".to_owned()), Piece::Variable("id".to_owned())]),
            headers: vec![("authorization".to_owned(), Template(vec![Piece::Text("Bearer s3cret".to_owned())]))],
            body: None,
        }),
        expect: Expect::default(),
        extract: Default::default(),
        think: Duration::ZERO,
    };
    Summary {
        format: FORMAT,
        purlin: "0.2.0".to_owned(),
        started: "2026-11-25T02:00:00Z".to_owned(),
        plan: Plan {
            target: Target {
                secure: false,
                host: "127.0.0.1".to_owned(),
                port: 8080,
                authority: "127.0.0.1:8080".to_owned(),
            },
            protocol: Protocol::Http1,
            pace: steady(1_000.0, Duration::from_secs(30)),
            warm_up: Duration::ZERO,
            connections: 50,
            streams: 1,
            timeout: Duration::from_secs(10),
            workers: 2,
            seed: 1,
            scenarios: vec![Scenario { name: "browse".to_owned(), weight: 1, steps: steps.iter().map(step).collect() }],
            data: None,
            trace_share: 0.01,
            tls: Tls::default(),
            descriptors: None,
        },
        requests: String::new(),
        lasted: Duration::from_secs(30),
        figures: Default::default(),
        tally: Tally::new(steps.len()),
        series: Vec::new(),
        step: 1,
        generator: Generator { processes: 1, ..Generator::default() },
        missing: Vec::new(),
        interrupted: false,
        verdicts: Vec::new(),
    }
}

/// All well: 30 s at 1,000/s.
pub(crate) fn good() -> Summary {
    Run { seconds: 30, rate: 1_000, stall: false, fail_every: 0, steps: &["get item"] }.summary()
}

/// The target stands still for one second in ten and answers some with 503.
pub(crate) fn overload() -> Summary {
    let run = Run { seconds: 60, rate: 500, stall: true, fail_every: 40, steps: &["list", "get item", "order"] };
    let mut summary = run.summary();
    for _ in 0..120 {
        summary.tally.skip(0, MS * 900);
    }
    summary.tally.late_self += 90;
    summary.tally.on_time -= 90;
    summary.tally.steps[2].end(Outcome::Failed(ErrorKind::Timeout), MS * 10_000, MS * 10_000);
    summary.tally.steps[2].end(Outcome::Failed(ErrorKind::Closed), MS, MS);
    summary
}

/// Nothing listens.
pub(crate) fn refused() -> Summary {
    let mut summary = empty(&["get item"]);
    for index in 0..30_000_u64 {
        summary.tally.begin(Duration::from_micros(12), false);
        summary.tally.steps[0].end(Outcome::Failed(ErrorKind::Connect), MS, MS);
        if index.is_multiple_of(1_000) {
            summary.series.push(Second {
                at: Duration::from_secs(index / 1_000),
                offered: 1_000,
                failed: 1_000,
                ..Second::default()
            });
        }
    }
    summary.tally.connect_errors.insert(ErrorKind::Connect, 30_000);
    summary
}

/// Ended after one second of thirty.
pub(crate) fn interrupted() -> Summary {
    let mut summary = Run { seconds: 1, rate: 1_000, stall: false, fail_every: 0, steps: &["get item"] }.summary();
    summary.plan.pace = steady(1_000.0, Duration::from_secs(30));
    summary.tally.steps[0].end(Outcome::Failed(ErrorKind::Unfinished), MS, MS);
    summary.interrupted = true;
    summary.missing.push("interrupted after 1 s of 30 s".to_owned());
    summary
}

/// One of three processes was lost.
pub(crate) fn lost() -> Summary {
    let mut summary = good();
    summary.generator.processes = 3;
    summary.missing.push(
        "process 2 of 3 ended by signal 9 after 12.4 s: its share of the load was not sent from then on, and what it had counted since 12 s is lost"
            .to_owned(),
    );
    summary
}

/// An hour.
pub(crate) fn hour() -> Summary {
    Run { seconds: 3_600, rate: 60, stall: true, fail_every: 500, steps: &["get item"] }.summary()
}

/// A user or a target that writes markup and steers terminals.
pub(crate) fn hostile() -> Summary {
    let evil = "<script>alert(1)</script>\"'&\x1b[2J";
    let mut summary = Run { seconds: 2, rate: 10, stall: false, fail_every: 0, steps: &["a", "b"] }.summary();
    let plan = &mut summary.plan;
    plan.target.authority = evil.to_owned();
    plan.target.host = evil.to_owned();
    plan.scenarios[0].name = evil.to_owned();
    plan.scenarios[0].steps.iter_mut().for_each(|step| step.name = evil.to_owned());
    if let Action::Http(http) = &mut plan.scenarios[0].steps[0].action {
        http.method = evil.to_owned();
        http.path = Template(vec![Piece::Text(evil.to_owned()), Piece::Variable(evil.to_owned())]);
        http.headers = vec![(evil.to_owned(), Template::default())];
    }
    plan.scenarios[0].steps[1].expect.contains = Some(evil.to_owned());
    plan.tls.server_name = Some(evil.to_owned());
    (summary.purlin, summary.started) = (evil.to_owned(), evil.to_owned());
    summary.missing.push(evil.to_owned());
    summary.tally.exemplars[0].trace_id = evil.to_owned();
    summary.tally.connect_errors.insert(ErrorKind::Resolve, 1);
    summary
}
