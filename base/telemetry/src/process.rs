//! Metrics of the process itself, read from `/proc` when they are rendered.
//!
//! Names and meanings are those of Prometheus' client libraries. What cannot be read is left out.

use std::fmt::Write as _;
use std::fs;

/// Ticks a second of the times in `/proc`; fixed by Linux' interface to programs (USER_HZ).
const TICKS: f64 = 100.0;

/// Appends the metrics.
pub(crate) fn render(out: &mut String) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let stat = parse_stat(&read("/proc/self/stat"));
    let status = read("/proc/self/status");
    let kernel = read("/proc/stat");
    // The directory that is being read is open itself.
    let files = fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1) as f64);
    let start = stat.and_then(|stat| Some(field(&kernel, "btime")? + stat.start));
    let kib = |name| field(&status, name).map(|kib| kib * 1024.0);
    let mut write = |name: &str, help: &str, ty: &str, value: Option<f64>| {
        if let Some(value) = value {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {ty}\n{name} {value}");
        }
    };
    write("process_cpu_seconds_total", "CPU time spent.", "counter", stat.map(|stat| stat.cpu));
    write("process_open_fds", "Open file descriptors.", "gauge", files);
    write("process_resident_memory_bytes", "Memory in RAM.", "gauge", kib("VmRSS:"));
    write("process_start_time_seconds", "Start of the process, since 1970.", "gauge", start);
    write("process_threads", "Threads.", "gauge", field(&status, "Threads:"));
    write("process_virtual_memory_bytes", "Memory mapped.", "gauge", kib("VmSize:"));
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    /// Seconds of CPU time.
    cpu: f64,
    /// Seconds from the system's start.
    start: f64,
}

/// Reads `/proc/PID/stat`; the second field, a name in parentheses, may hold anything.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // proc(5) counts from one; the rest begins with the third.
    let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(Stat { cpu: (ticks(14)? + ticks(15)?) / TICKS, start: ticks(22)? / TICKS })
}

/// The number that follows `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 250 150 16 17 18 19 20 21 12345 23 24";
        for name in ["purlin", "a b", "x) S 9 9"] {
            assert_eq!(parse_stat(&format!("42 ({name}) {rest}")), Some(Stat { cpu: 4.0, start: 123.45 }), "{name}");
        }
        for text in ["", "42 (purlin", "42 (purlin) S 1"] {
            assert_eq!(parse_stat(text), None, "{text}");
        }
    }

    #[test]
    fn this_process_is_measured() {
        let value = |name: &str| {
            let mut out = String::new();
            render(&mut out);
            field(&out, &format!("{name} ")).unwrap_or_else(|| panic!("no {name} in {out}"))
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        let before = value("process_open_fds");
        let held: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        assert!(value("process_open_fds") >= before + 25.0, "other tests close a few");
        drop(held);
        let now = jiff::Timestamp::now().as_second() as f64;
        let start = value("process_start_time_seconds");
        assert!(start <= now + 1.0 && start > now - 86_400.0, "{start} {now}");
    }
}
