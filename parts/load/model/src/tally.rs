//! What happened, as numbers that can be added up.
//!
//! A worker counts into a tally of its own, without locks, and hands it over once a second; tallies of all workers,
//! processes and seconds are merged into one. Iterations of an open pace are accounted for in full:
//! `on_time + late() + not_sent = offered`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;

/// An iteration that begins this much after its intended start, or more, is late.
pub const LATE: Duration = Duration::from_millis(1);

/// What happened, as numbers that can be added up. Durations count from the intended start unless it says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Iterations that were meant to begin. With a closed pace, all that began.
    pub offered: u64,
    /// Of these, those that began within [`LATE`] of their intended start.
    pub on_time: u64,
    /// Of these, those that began later because no connection was free: the target is slow, or connections are few.
    pub late_busy: u64,
    /// Of these, those that began later although a connection was free: the generator itself was slow.
    pub late_self: u64,
    /// Of these, those that never began.
    pub not_sent: u64,
    /// How long after their intended start iterations began.
    pub delay: Histogram,
    /// The steps of all scenarios, in the plan's order.
    pub steps: Vec<StepTally>,
    /// Bytes written to the connections, before encryption.
    pub bytes_sent: u64,
    /// Bytes read from the connections, after decryption.
    pub bytes_received: u64,
    /// How long connecting took, handshakes included, where it succeeded.
    pub connect: Histogram,
    /// Attempts to connect that failed.
    pub connect_errors: BTreeMap<ErrorKind, u64>,
    /// Why a TLS handshake failed, in words; of several, the first that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_failure: Option<String>,
    /// The slowest requests that carried a trace, the slowest first; at most [`MAX_EXEMPLARS`].
    pub exemplars: Vec<Exemplar>,
}

/// What happened to one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepTally {
    /// Requests that were sent.
    pub sent: u64,
    /// Requests with an answer as the step expects it.
    pub succeeded: u64,
    /// Answers by status code: HTTP's, or gRPC's.
    pub status: BTreeMap<u16, u64>,
    /// Requests that did not succeed, by reason; those that could not be made are among them, and not among `sent`.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// From the intended start to the end of the answer, of all that were answered. What timed out or was never sent
    /// counts with the time that it had waited, which is less than it would have taken.
    pub latency: Histogram,
    /// From the sending to the end of the answer, of all that were answered or timed out.
    pub service: Histogram,
}

/// Why a request did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The target's name has no address.
    Resolve,
    /// There was no connection: refused, unreachable, timed out.
    Connect,
    /// The TLS handshake failed, or the certificate is not trusted.
    Tls,
    /// No file descriptor was left.
    Descriptors,
    /// There was no whole answer in time.
    Timeout,
    /// The connection ended before the whole answer.
    Closed,
    /// The answer breaks the protocol, or a limit of its size.
    Protocol,
    /// The status is not among those expected.
    Status,
    /// The body is not as expected, there was nothing to extract, or what was extracted or stands in the data does not
    /// fit into a request, which was then not sent.
    Content,
    /// It was in flight when the run ended.
    Unfinished,
}

/// A request that can be found again in the target's traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exemplar {
    /// The trace id of its `traceparent`, 32 hexadecimal digits.
    pub trace_id: String,
    /// Which step of the plan.
    pub step: usize,
    /// When it was meant to begin, from the start of the load.
    #[serde(with = "crate::seconds")]
    pub at: Duration,
    /// Its latency.
    #[serde(with = "crate::seconds")]
    pub latency: Duration,
}

/// How many exemplars are kept.
pub const MAX_EXEMPLARS: usize = 10;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole answer with this status came, as expected.
    Answered(u16),
    /// A whole answer with this status came, but not as expected.
    Unexpected(u16, ErrorKind),
    /// No whole answer came.
    Failed(ErrorKind),
}

impl Tally {
    /// One that counts `steps` steps.
    pub fn new(steps: usize) -> Tally {
        Tally { steps: vec![StepTally::default(); steps], ..Tally::default() }
    }

    /// Counts an iteration that begins `delay` after its intended start; `busy` when no connection was free then.
    pub fn begin(&mut self, delay: Duration, busy: bool) {
        self.offered += 1;
        self.delay.record(delay);
        match (delay < LATE, busy) {
            (true, _) => self.on_time += 1,
            (false, true) => self.late_busy += 1,
            (false, false) => self.late_self += 1,
        }
    }

    /// Counts an iteration that never began, `waited` after its intended start; `step` would have been its first.
    pub fn skip(&mut self, step: usize, waited: Duration) {
        self.skip_all(step, waited, 1);
    }

    /// Counts `count` such iterations.
    pub fn skip_all(&mut self, step: usize, waited: Duration, count: u64) {
        self.offered = self.offered.saturating_add(count);
        self.not_sent = self.not_sent.saturating_add(count);
        if let Some(step) = self.steps.get_mut(step) {
            step.latency.record_n(waited, count);
        }
    }

    /// Keeps `exemplar` if it is among the slowest.
    pub fn offer(&mut self, exemplar: Exemplar) {
        let slower = self.exemplars.partition_point(|kept| kept.latency >= exemplar.latency);
        if slower < MAX_EXEMPLARS {
            self.exemplars.truncate(MAX_EXEMPLARS - 1);
            self.exemplars.insert(slower, exemplar);
        }
    }

    /// Iterations that began late.
    pub fn late(&self) -> u64 {
        self.late_busy.saturating_add(self.late_self)
    }

    /// Adds the counts of `other`, which counts the same steps.
    pub fn merge(&mut self, other: &Tally) {
        self.offered = self.offered.saturating_add(other.offered);
        self.on_time = self.on_time.saturating_add(other.on_time);
        self.late_busy = self.late_busy.saturating_add(other.late_busy);
        self.late_self = self.late_self.saturating_add(other.late_self);
        self.not_sent = self.not_sent.saturating_add(other.not_sent);
        self.delay.merge(&other.delay);
        if self.steps.len() < other.steps.len() {
            self.steps.resize_with(other.steps.len(), StepTally::default);
        }
        self.steps.iter_mut().zip(&other.steps).for_each(|(step, other)| step.merge(other));
        self.bytes_sent = self.bytes_sent.saturating_add(other.bytes_sent);
        self.bytes_received = self.bytes_received.saturating_add(other.bytes_received);
        self.connect.merge(&other.connect);
        add(&mut self.connect_errors, &other.connect_errors);
        if self.tls_failure.is_none() {
            self.tls_failure.clone_from(&other.tls_failure);
        }
        self.exemplars.extend(other.exemplars.iter().cloned());
        self.exemplars.sort_by_key(|exemplar| std::cmp::Reverse(exemplar.latency));
        self.exemplars.truncate(MAX_EXEMPLARS);
    }

    /// All steps as one.
    pub fn total(&self) -> StepTally {
        let mut total = StepTally::default();
        self.steps.iter().for_each(|step| total.merge(step));
        total
    }
}

impl StepTally {
    /// Counts a request that was sent `service` ago and was meant to be sent `latency` ago.
    pub fn end(&mut self, outcome: Outcome, latency: Duration, service: Duration) {
        self.sent += 1;
        let (status, error) = match outcome {
            Outcome::Answered(status) => (Some(status), None),
            Outcome::Unexpected(status, error) => (Some(status), Some(error)),
            Outcome::Failed(error) => (None, Some(error)),
        };
        match error {
            None => self.succeeded += 1,
            Some(error) => *self.errors.entry(error).or_default() += 1,
        }
        if let Some(status) = status {
            *self.status.entry(status).or_default() += 1;
        }
        if status.is_some() || error == Some(ErrorKind::Timeout) {
            self.latency.record(latency);
            self.service.record(service);
        }
    }

    /// Counts a request that could not be made, so that nothing was sent.
    pub fn refuse(&mut self, error: ErrorKind) {
        *self.errors.entry(error).or_default() += 1;
    }

    /// Requests that were to be sent: those that were, and those that could not be made.
    pub fn asked(&self) -> u64 {
        self.succeeded.saturating_add(self.failed())
    }

    /// Requests that did not succeed.
    pub fn failed(&self) -> u64 {
        self.errors.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &StepTally) {
        self.sent = self.sent.saturating_add(other.sent);
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        add(&mut self.status, &other.status);
        add(&mut self.errors, &other.errors);
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
    }
}

fn add<K: Ord + Copy>(counts: &mut BTreeMap<K, u64>, other: &BTreeMap<K, u64>) {
    for (key, count) in other {
        let sum = counts.entry(*key).or_default();
        *sum = sum.saturating_add(*count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn iterations_are_accounted_for_in_full() {
        let mut tally = Tally::new(1);
        tally.begin(Duration::ZERO, false);
        tally.begin(MS / 2, true);
        tally.begin(MS, true);
        tally.begin(MS * 5, false);
        tally.skip(0, MS * 9);
        assert_eq!((tally.on_time, tally.late_busy, tally.late_self, tally.not_sent), (2, 1, 1, 1));
        assert_eq!(tally.on_time + tally.late() + tally.not_sent, tally.offered);
        // What was never sent shows in the latency, though not among what was sent.
        assert_eq!((tally.steps[0].latency.count(), tally.steps[0].sent), (1, 0));
    }

    #[test]
    fn only_what_was_answered_or_waited_for_has_a_latency() {
        let check = |outcome, expected: (u64, u64, u64)| {
            let mut step = StepTally::default();
            step.end(outcome, MS * 2, MS);
            assert_eq!((step.succeeded, step.failed(), step.latency.count()), expected, "{outcome:?}");
            assert_eq!((step.sent, step.service.count()), (1, expected.2));
        };
        check(Outcome::Answered(200), (1, 0, 1));
        check(Outcome::Unexpected(503, ErrorKind::Status), (0, 1, 1));
        check(Outcome::Failed(ErrorKind::Timeout), (0, 1, 1));
        check(Outcome::Failed(ErrorKind::Closed), (0, 1, 0));
    }

    #[test]
    fn merging_adds_up_and_survives_json() {
        let mut tally = Tally::new(2);
        tally.begin(MS, true);
        tally.steps[1].end(Outcome::Unexpected(404, ErrorKind::Status), MS, MS);
        tally.exemplars = (0..8).map(exemplar).collect();
        tally.tls_failure = Some("expired".to_owned());
        let read: Tally = serde_json::from_str(&serde_json::to_string(&tally).unwrap()).unwrap();
        let mut merged = Tally::default();
        merged.merge(&tally);
        merged.merge(&read);
        assert_eq!((merged.offered, merged.late_busy), (2, 2));
        assert_eq!((merged.steps[1].status[&404], merged.steps[1].errors[&ErrorKind::Status]), (2, 2));
        merged.merge(&Tally { tls_failure: Some("another".to_owned()), ..Tally::default() });
        assert_eq!(merged.tls_failure.as_deref(), Some("expired"));
        let kept: Vec<u64> = merged.exemplars.iter().map(|e| e.latency.as_secs()).collect();
        assert_eq!(kept, [7, 7, 6, 6, 5, 5, 4, 4, 3, 3]);
    }

    #[test]
    fn the_slowest_are_kept() {
        let mut tally = Tally::new(1);
        (0..30).for_each(|n| tally.offer(exemplar(n * 7 % 30)));
        let kept: Vec<u64> = tally.exemplars.iter().map(|e| e.latency.as_secs()).collect();
        assert_eq!(kept, [29, 28, 27, 26, 25, 24, 23, 22, 21, 20]);
    }

    #[test]
    fn counts_of_a_hostile_file_do_not_overflow() {
        let step =
            StepTally { sent: u64::MAX, errors: BTreeMap::from([(ErrorKind::Tls, u64::MAX)]), ..Default::default() };
        let tally = Tally { offered: u64::MAX, steps: vec![step.clone(), step], ..Tally::default() };
        let mut twice = tally.clone();
        twice.merge(&tally);
        let total = twice.total();
        assert_eq!((twice.offered, total.sent, total.failed()), (u64::MAX, u64::MAX, u64::MAX));
    }

    fn exemplar(seconds: u64) -> Exemplar {
        Exemplar { trace_id: "0".repeat(32), step: 0, at: Duration::ZERO, latency: Duration::from_secs(seconds) }
    }
}
