//! What the generator costs: CPU time, memory, descriptors; what others on this machine take.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::{TimeVal, TimeValLike as _};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

/// What a process costs while its figures count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// The CPU time of all its threads.
    pub cpu: Duration,
    /// CPU time that others of its machine took, as a share of all cores.
    pub others: f64,
}

/// What a process and its machine have used at an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    at: Instant,
    cpu: Duration,
    machine: Option<Machine>,
}

impl Reading {
    /// As it is now.
    pub(crate) fn now() -> Reading {
        Reading { at: Instant::now(), cpu: cpu(UsageWho::RUSAGE_SELF), machine: Machine::now() }
    }

    fn since(self, earlier: Reading) -> Cost {
        let cpu = self.cpu.saturating_sub(earlier.cpu);
        let others = match (earlier.machine, self.machine) {
            (Some(before), Some(now)) => now.others_since(before, cpu, self.at.saturating_duration_since(earlier.at)),
            _ => 0.0,
        };
        Cost { cpu, others }
    }
}

/// What is used from one instant to the other, or until `stop`: neither in the warm-up nor while the last answers are
/// waited for.
pub(crate) async fn cost(
    from: Instant,
    until: Instant,
    stop: CancellationToken,
    mut read: impl FnMut() -> Reading,
) -> Cost {
    if stop.run_until_cancelled(sleep_until(from.into())).await.is_none() {
        return Cost::default();
    }
    let before = read();
    let _ = stop.run_until_cancelled(sleep_until(until.into())).await;
    read().since(before)
}

/// The CPU time that `who` has used.
pub(crate) fn cpu(who: UsageWho) -> Duration {
    let microseconds = |time: TimeVal| Duration::from_micros(time.num_microseconds().try_into().unwrap_or(0));
    getrusage(who).map_or(Duration::ZERO, |usage| microseconds(usage.user_time()) + microseconds(usage.system_time()))
}

/// The largest resident memory so far, in bytes.
pub(crate) fn max_rss() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| u64::try_from(usage.max_rss()).unwrap_or(0) * 1024)
}

/// CPU time of the whole machine and how much of it was idle, in ticks (proc(5)); none where the system does not tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    busy: u64,
    total: u64,
}

impl Machine {
    /// As it is now.
    pub(crate) fn now() -> Option<Machine> {
        Machine::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Machine> {
        // user nice system idle iowait irq softirq steal; guest times are in user already.
        let ticks: Vec<u64> =
            stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8).flat_map(str::parse).collect();
        let total: u64 = ticks.iter().sum();
        let idle = ticks.get(3)? + ticks.get(4)?;
        Some(Machine { busy: total.saturating_sub(idle), total })
    }

    /// The share of all cores' time since `earlier` that was busy with something else than `own` of `lasted`.
    pub(crate) fn others_since(self, earlier: Machine, own: Duration, lasted: Duration) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let (busy, total) = (self.busy.saturating_sub(earlier.busy), self.total.saturating_sub(earlier.total));
        if total == 0 || lasted.is_zero() {
            return 0.0;
        }
        (busy as f64 / total as f64 - own.as_secs_f64() / (lasted.as_secs_f64() * cores)).clamp(0.0, 1.0)
    }
}

/// Allows this process as many descriptors as the system lets it have; returns how many.
pub(crate) fn raise_descriptors() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts() {
        let machine = Machine::parse("cpu  10 5 15 60 10 0 5 0 3 0\ncpu0 1 2 3 4\n").unwrap();
        assert_eq!((machine.busy, machine.total), (35, 105));
        assert!(Machine::parse("intr 1").is_none() && Machine::parse("cpu  1 2").is_none());
    }

    #[test]
    fn own_time_is_not_that_of_others() {
        let cores = std::thread::available_parallelism().unwrap().get() as u32;
        let (a, b) = (Machine { busy: 0, total: 0 }, Machine { busy: 50, total: 100 });
        let second = Duration::from_secs(1);
        assert!((b.others_since(a, second * cores / 4, second) - 0.25).abs() < 1e-9);
        assert!(b.others_since(a, second * cores, second).abs() < 1e-9);
    }

    #[tokio::test]
    async fn the_warm_up_costs_nothing() {
        let ms = Duration::from_millis(1);
        let began = Instant::now();
        let (from, until) = (began + ms * 20, began + ms * 40);
        let mut instants = Vec::new();
        // As if one core were busy all the time.
        let mut read = || {
            let at = Instant::now();
            instants.push(at);
            Reading { at, cpu: at - began, machine: None }
        };
        let found = cost(from, until, CancellationToken::new(), &mut read).await;
        let [first, last] = instants[..] else { panic!("{instants:?}") };
        assert!(first >= from && last >= until);
        assert_eq!(found, Cost { cpu: last - first, others: 0.0 });

        let stop = CancellationToken::new();
        stop.cancel();
        let never = || panic!("nothing counts that was stopped in its warm-up");
        assert_eq!(cost(began + ms * 60_000, until, stop, never).await, Cost::default());
    }

    #[test]
    fn this_process_costs_something() {
        assert!(max_rss() > 100_000 && raise_descriptors() >= 256);
    }
}
