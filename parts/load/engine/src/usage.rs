//! What the generator costs: CPU time, memory, descriptors; what others on this machine take.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::{TimeVal, TimeValLike as _};

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

    #[test]
    fn this_process_costs_something() {
        assert!(max_rss() > 100_000 && raise_descriptors() >= 256);
    }
}
