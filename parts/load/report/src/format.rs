//! Numbers as people read them: durations, counts, rates, bytes and shares, to about three digits.

use std::time::Duration;

const NANOSECOND_UNITS: [(f64, &str); 4] = [(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")];
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// From here on a measured duration is told in minutes.
const LONG: Duration = Duration::from_secs(100);

/// A measured duration to three digits: `1.23 ms`.
pub fn duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0".to_owned();
    }
    if duration >= LONG {
        return span(Duration::from_secs(duration.as_secs_f64().round() as u64));
    }
    scaled(duration.as_nanos() as f64, &NANOSECOND_UNITS)
}

/// A duration that somebody chose, exactly: `1 min 30 s`, `250 ms`.
pub fn span(duration: Duration) -> String {
    let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
    if seconds == 0 && nanoseconds > 0 {
        let (size, unit) = if nanoseconds < 1_000_000 { (1e3, "µs") } else { (1e6, "ms") };
        return format!("{} {unit}", f64::from(nanoseconds) / size);
    }
    let mut parts = Vec::new();
    if seconds >= HOUR {
        parts.push(format!("{} h", seconds / HOUR));
    }
    if seconds % HOUR >= MINUTE {
        parts.push(format!("{} min", seconds % HOUR / MINUTE));
    }
    let rest = (seconds % MINUTE) as f64 + f64::from(nanoseconds) / 1e9;
    if rest > 0.0 || parts.is_empty() {
        parts.push(format!("{} s", (rest * 1e3).round() / 1e3));
    }
    parts.join(" ")
}

/// A duration as a clock shows it: `0:12`, `1:02:03`.
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / HOUR, seconds % HOUR / MINUTE, seconds % MINUTE);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A count with its thousands apart: `12,345`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and what it counts: `1 request`, `2 requests`.
pub fn counted(number: u64, one: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {one}{end}", count(number))
}

/// How often a second: `1,000/s`, `2.5/s`.
pub fn rate(rate: f64) -> String {
    if rate >= 99.95 {
        return format!("{}/s", count(rate.round() as u64));
    }
    let digits = if rate >= 9.995 { 10.0 } else { 100.0 };
    format!("{}/s", (rate * digits).round() / digits)
}

/// Bytes in powers of 1000: `12.3 MB`.
pub fn bytes(bytes: f64) -> String {
    if bytes < 999.5 {
        return format!("{bytes:.0} B");
    }
    scaled(bytes, &[(1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")])
}

/// A share, 0 to 1, as a percentage that is 0 or 100 only when the share is: `1.23 %`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        _ if percent <= 0.0 => "0 %".to_owned(),
        _ if percent >= 100.0 => format!("{percent:.0} %"),
        _ if percent < 0.01 => "< 0.01 %".to_owned(),
        _ if percent < 9.995 => format!("{percent:.2} %"),
        _ if percent < 99.95 => format!("{percent:.1} %"),
        _ => "> 99.9 %".to_owned(),
    }
}

/// `part` of `whole` as a percentage.
pub fn percent_of(part: u64, whole: u64) -> String {
    percent(part as f64 / whole.max(1) as f64)
}

/// `value` to three digits in the first of `units`, ascending, in which it has at most three before the point.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let last = units.len().saturating_sub(1);
    for (index, (size, unit)) in units.iter().enumerate() {
        let value = value / size;
        match value {
            _ if value < 9.995 => return format!("{value:.2} {unit}"),
            _ if value < 99.95 => return format!("{value:.1} {unit}"),
            _ if value < 999.5 || index == last => return format!("{value:.0} {unit}"),
            _ => {}
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        let check = |nanoseconds, expected| assert_eq!(duration(Duration::from_nanos(nanoseconds)), expected);
        check(0, "0");
        check(850, "850 ns");
        check(1_234, "1.23 µs");
        check(12_345_678, "12.3 ms");
        check(999_499_999, "999 ms");
        check(999_500_000, "1.00 s");
        check(75_340_000_000, "75.3 s");
        check(125_400_000_000, "2 min 5 s");
        check(3_600_000_000_000, "1 h");
    }

    #[test]
    fn spans_are_exact() {
        let check = |milliseconds, expected| assert_eq!(span(Duration::from_millis(milliseconds)), expected);
        check(0, "0 s");
        check(250, "250 ms");
        check(1_500, "1.5 s");
        check(90_000, "1 min 30 s");
        check(3_600_000, "1 h");
        check(3_725_000, "1 h 2 min 5 s");
        assert_eq!(clock(Duration::from_secs(3_723)), "1:02:03");
        assert_eq!(clock(Duration::from_millis(12_900)), "0:12");
    }

    #[test]
    fn counts_and_rates() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 0.5, 2.504, 12.34, 99.96, 12_345.6].map(rate),
            ["0/s", "0.5/s", "2.5/s", "12.3/s", "100/s", "12,346/s"]
        );
        assert_eq!([0.0, 999.0, 1_234.0, 45_600_000.0].map(bytes), ["0 B", "999 B", "1.23 kB", "45.6 MB"]);
        assert_eq!((counted(1, "request"), counted(2, "request")), ("1 request".into(), "2 requests".into()));
    }

    #[test]
    fn a_share_is_nothing_or_all_only_when_it_is() {
        let shares = [0.0, 0.000_001, 0.0123, 0.123, 0.999_9, 1.0, 1.34];
        assert_eq!(shares.map(percent), ["0 %", "< 0.01 %", "1.23 %", "12.3 %", "> 99.9 %", "100 %", "134 %"]);
    }
}
