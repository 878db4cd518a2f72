//! Vets what another process reports before it counts.
//!
//! An agent is started by a command, which may start anything: another version, another program, a machine that lies.
//! What it says can make its own figures wrong, but must not fill the memory of who adds them up, nor make a sum
//! overflow, nor keep a run from ending. So each report is about a thread of that agent, the seconds of a thread follow
//! each other and have come, counts add up, and a thread ends once.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use purlin_load_model::histogram::Histogram;
use purlin_load_model::plan::Plan;
use purlin_load_model::tally::{MAX_EXEMPLARS, Tally};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::crew::Part;
use crate::report::Report;

/// How far the clocks of two machines are apart at the most, at the end of a long run.
const SLACK: Duration = Duration::from_secs(60);
/// The highest count that a report may have: sums of it stay far below what a number holds.
const MAX_COUNT: u64 = 1 << 48;
/// The longest time that a report may have: a load of a week, with the latest of its answers.
const MAX_TIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// The cores of a machine, at the most.
const MAX_CORES: u32 = 4096;
/// The longest text of another process that is shown.
const MAX_TEXT: usize = 400;

/// Vets the reports of one agent.
pub(crate) struct Vet {
    part: Part,
    steps: usize,
    warm_up: Duration,
    /// Seconds that a thread can report on: until its last answer has come or was given up.
    seconds: u64,
    /// When the load began.
    began: Arc<OnceLock<Instant>>,
    threads: Vec<Thread>,
}

/// What a thread has reported so far.
#[derive(Clone, Default)]
struct Thread {
    ready: bool,
    seconds: u64,
    ended: bool,
}

/// As much of a report as tells how large it is.
#[derive(Deserialize)]
struct Outline {
    report: Option<OfReport>,
}

#[derive(Deserialize)]
struct OfReport {
    interval: Option<OfInterval>,
}

#[derive(Deserialize)]
struct OfInterval {
    tally: OfTally,
}

#[derive(Deserialize)]
struct OfTally {
    steps: Vec<IgnoredAny>,
}

impl Vet {
    /// One for the agent that sends `part` of `plan`; `began` is set when the load begins.
    pub(crate) fn new(plan: &Plan, part: Part, began: Arc<OnceLock<Instant>>) -> Vet {
        let lasts = plan.pace.duration().saturating_sub(plan.warm_up) + plan.timeout + SLACK;
        Vet {
            part,
            steps: plan.scenarios.iter().map(|scenario| scenario.steps.len()).sum(),
            warm_up: plan.warm_up,
            seconds: lasts.as_secs(),
            began,
            threads: vec![Thread::default(); part.workers as usize],
        }
    }

    /// Reads a line, once it is known to be of moderate size: the histograms of a step take ten thousand times the room
    /// of their shortest text.
    pub(crate) fn read<T: DeserializeOwned>(&self, line: &[u8]) -> Result<T, String> {
        let outline: Outline = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let steps = outline.report.and_then(|report| report.interval).map_or(0, |interval| interval.tally.steps.len());
        ensure(steps <= self.steps, || format!("it counts {steps} steps, where there are {}", self.steps))?;
        serde_json::from_slice(line).map_err(|error| error.to_string())
    }

    /// The report as it may count; or what is wrong with it.
    pub(crate) fn check(&mut self, mut report: Report) -> Result<Report, String> {
        match &mut report {
            Report::Ready { worker } => {
                let thread = self.thread(*worker)?;
                ensure(!std::mem::replace(&mut thread.ready, true), || format!("worker {worker} is ready twice"))?;
            }
            Report::Interval { worker, second, due, tally, in_flight, open } => {
                self.check_second(*worker, *second)?;
                counts([*due, *in_flight, *open])?;
                check_tally(tally, self.steps)?;
                tally.tls_failure = tally.tls_failure.as_deref().map(shown);
            }
            Report::Ended { worker, cpu } => {
                self.end(*worker)?;
                time(*cpu, 1)?;
            }
            Report::Lost { worker, reason } => {
                self.end(*worker)?;
                return Ok(Report::Lost { worker: *worker, reason: shown(reason) });
            }
            Report::Process { worker, cpu, others, max_rss } => {
                ensure(*worker == self.part.first, || format!("its first worker is not {worker}"))?;
                ensure(self.threads.iter().all(|thread| thread.ended), || "it ends before its workers".to_owned())?;
                ensure((0.0..=1.0).contains(others), || format!("{others} is no share of a machine"))?;
                counts([*max_rss])?;
                time(*cpu, MAX_CORES)?;
            }
        }
        Ok(report)
    }

    /// The thread number `worker` of all, which has not ended.
    fn thread(&mut self, worker: u32) -> Result<&mut Thread, String> {
        let own = worker.checked_sub(self.part.first).and_then(|at| self.threads.get_mut(at as usize));
        let thread = own.ok_or_else(|| format!("worker {worker} is not its own"))?;
        ensure(!thread.ended, || format!("worker {worker} has ended already"))?;
        Ok(thread)
    }

    fn end(&mut self, worker: u32) -> Result<(), String> {
        self.thread(worker)?.ended = true;
        Ok(())
    }

    fn check_second(&mut self, worker: u32, second: u64) -> Result<(), String> {
        let began = self.began.get().ok_or("it reports before the load has begun")?;
        let come = began.elapsed().saturating_sub(self.warm_up).saturating_add(SLACK).as_secs();
        ensure(second <= come, || format!("second {second} has not come yet"))?;
        let seconds = self.seconds;
        ensure(second <= seconds, || format!("second {second} is after the end"))?;
        let thread = self.thread(worker)?;
        ensure(second == thread.seconds, || format!("second {second} does not follow: {} would", thread.seconds))?;
        thread.seconds += 1;
        Ok(())
    }
}

fn check_tally(tally: &Tally, steps: usize) -> Result<(), String> {
    ensure(tally.steps.len() == steps, || format!("it counts {} steps, where there are {steps}", tally.steps.len()))?;
    counts([tally.offered, tally.on_time, tally.late_busy, tally.late_self, tally.not_sent])?;
    counts([tally.bytes_sent, tally.bytes_received, tally.connect.count()])?;
    counts(tally.connect_errors.values().copied())?;
    let begun = tally.on_time + tally.late_busy + tally.late_self;
    let sums = begun + tally.not_sent == tally.offered && tally.delay.count() == begun;
    ensure(sums, || "its iterations do not add up".to_owned())?;
    for step in &tally.steps {
        counts([step.sent, step.succeeded])?;
        counts(step.status.values().chain(step.errors.values()).copied())?;
        counts([&step.latency, &step.service].map(Histogram::count))?;
        ensure(step.sent <= step.asked(), || "its requests do not add up".to_owned())?;
    }
    ensure(tally.exemplars.len() <= MAX_EXEMPLARS, || "it has too many exemplars".to_owned())?;
    for exemplar in &tally.exemplars {
        let hexadecimal = exemplar.trace_id.bytes().all(|byte| byte.is_ascii_hexdigit());
        ensure(exemplar.trace_id.len() == 32 && hexadecimal, || "an exemplar has no trace id".to_owned())?;
        ensure(exemplar.step < steps, || "an exemplar is of no step".to_owned())?;
        time(exemplar.at, 1)?;
        time(exemplar.latency, 1)?;
    }
    Ok(())
}

fn counts(counts: impl IntoIterator<Item = u64>) -> Result<(), String> {
    counts.into_iter().try_for_each(|count| ensure(count <= MAX_COUNT, || format!("{count} is too high a count")))
}

fn time(time: Duration, times: u32) -> Result<(), String> {
    ensure(time <= MAX_TIME * times, || format!("{} s are too long a time", time.as_secs()))
}

fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong()) }
}

/// The text of another process as it may be shown: short, and without what moves a terminal's cursor.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(MAX_TEXT).map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use purlin_load_model::tally::{ErrorKind, Exemplar, Outcome};

    use super::*;
    use crate::samples;

    const SECOND: Duration = Duration::from_secs(1);

    /// Of an agent with the workers 4 and 5, 10 s after the beginning.
    fn vet() -> Vet {
        let began = Arc::new(OnceLock::from(Instant::now() - SECOND * 10));
        Vet::new(&samples::plan(), Part { first: 4, workers: 2, of: 8 }, began)
    }

    fn tally() -> Tally {
        let mut tally = Tally::new(1);
        tally.begin(Duration::ZERO, false);
        tally.skip(0, SECOND);
        tally.steps[0].end(Outcome::Answered(200), SECOND, SECOND);
        tally.steps[0].refuse(ErrorKind::Content);
        let (trace_id, at) = ("0123456789abcdef".repeat(2), SECOND);
        tally.offer(Exemplar { trace_id, step: 0, at, latency: SECOND });
        tally
    }

    fn interval(second: u64, tally: Tally) -> Report {
        Report::Interval { worker: 4, second, due: 2, tally: Box::new(tally), in_flight: 1, open: 4 }
    }

    const fn process(cpu: Duration, others: f64) -> Report {
        Report::Process { worker: 4, cpu, others, max_rss: 1 << 30 }
    }

    #[test]
    fn honest_reports_count() {
        let mut vet = vet();
        let mut reports = vec![Report::Ready { worker: 4 }, Report::Ready { worker: 5 }];
        reports.extend((0..12).map(|second| interval(second, tally())));
        reports.push(Report::Ended { worker: 4, cpu: SECOND });
        reports.push(Report::Lost { worker: 5, reason: "it is gone".into() });
        reports.push(process(SECOND * 7, 0.5));
        for report in reports {
            assert_eq!(vet.check(report.clone()), Ok(report));
        }
    }

    #[test]
    fn wrong_reports_are_named() {
        let check = |before: &[Report], report: Report, expected: &str| {
            let mut vet = vet();
            before.iter().for_each(|report| drop(vet.check(report.clone()).unwrap()));
            let wrong = vet.check(report).unwrap_err();
            assert!(wrong.contains(expected), "{wrong}");
        };
        let ready = Report::Ready { worker: 4 };
        let ended = |worker| Report::Ended { worker, cpu: SECOND };
        check(&[], Report::Ready { worker: 3 }, "worker 3 is not its own");
        check(&[], Report::Ready { worker: 6 }, "worker 6 is not its own");
        check(&[ready.clone(), Report::Ready { worker: 5 }], ready, "ready twice");
        check(&[ended(4)], ended(4), "has ended already");
        check(&[ended(4)], interval(0, tally()), "has ended already");
        check(&[ended(4)], process(SECOND, 0.0), "ends before its workers");
        check(&[ended(4), ended(5)], process(Duration::MAX, 0.0), "too long a time");
        check(&[ended(4), ended(5)], process(SECOND, f64::NAN), "no share");
        check(&[], Report::Ended { worker: 4, cpu: Duration::MAX }, "too long a time");
        check(&[], interval(u64::MAX, tally()), "has not come yet");
        check(&[], interval(71, tally()), "has not come yet");
        check(&[], interval(1, tally()), "second 1 does not follow: 0 would");
        check(&[interval(0, tally())], interval(0, tally()), "second 0 does not follow: 1 would");

        let with = |change: fn(&mut Tally), expected: &str| {
            let mut tally = tally();
            change(&mut tally);
            check(&[], interval(0, tally), expected);
        };
        with(|tally| tally.offered = u64::MAX, "too high a count");
        with(|tally| tally.offered = 3, "iterations do not add up");
        with(|tally| tally.delay.record(SECOND), "iterations do not add up");
        with(|tally| tally.bytes_sent = u64::MAX, "too high a count");
        with(|tally| tally.steps.push(Default::default()), "it counts 2 steps, where there are 1");
        with(|tally| tally.steps[0].sent = 3, "requests do not add up");
        with(|tally| tally.steps[0].errors = [(ErrorKind::Closed, u64::MAX)].into(), "too high a count");
        with(|tally| tally.exemplars[0].trace_id = "\u{1b}[2J".into(), "no trace id");
        with(|tally| tally.exemplars[0].step = 1, "of no step");
        with(|tally| tally.exemplars[0].at = Duration::MAX, "too long a time");
        with(|tally| tally.exemplars = vec![tally.exemplars[0].clone(); 11], "too many exemplars");

        let mut early = vet();
        early.began = Arc::default();
        assert_eq!(early.check(interval(0, tally())).unwrap_err(), "it reports before the load has begun");
        let mut late = vet();
        late.began = Arc::new(OnceLock::from(Instant::now() - SECOND * 100));
        late.threads[0].seconds = 71;
        assert_eq!(late.check(interval(71, tally())).unwrap_err(), "second 71 is after the end");
    }

    #[test]
    fn a_report_of_many_steps_is_not_even_read() {
        let line = |steps: usize| {
            let steps = vec!["[]"; steps].join(",");
            format!("{{\"report\":{{\"interval\":{{\"tally\":{{\"steps\":[{steps}]}}}}}}}}")
        };
        let read = |line: &str| vet().read::<IgnoredAny>(line.as_bytes());
        assert!(read(&line(1)).is_ok() && read("{\"report\":{\"ready\":{\"worker\":4}}}").is_ok());
        assert_eq!(read(&line(70_000)).unwrap_err(), "it counts 70000 steps, where there are 1");
        // The form without names cannot be used to get around it.
        for sly in
            ["{\"report\":{\"interval\":[0,0,0,{\"steps\":[]},0,0]}}", "{\"report\":{\"interval\":{\"tally\":[0,[]]}}}"]
        {
            assert!(read(sly).is_err(), "{sly}");
        }
    }

    #[test]
    fn what_others_say_moves_no_cursor() {
        assert_eq!(shown("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(shown(&"x".repeat(1_000_000)).len(), MAX_TEXT);
    }
}
