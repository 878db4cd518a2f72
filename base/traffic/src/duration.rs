//! Durations of Gateway API (GEP-2257): one to four components of one to five digits and `h`, `m`, `s` or `ms`.

use std::time::Duration;

/// Reads `1h30m`, `500ms`, `0s`; None when the text is no such duration.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    for _ in 0..4 {
        let (component, after) = component(rest)?;
        total += component;
        rest = after;
        if rest.is_empty() {
            return Some(total);
        }
    }
    None
}

fn component(text: &str) -> Option<(Duration, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > 5 {
        return None;
    }
    let (number, rest) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    for (unit, millis) in [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if let Some(rest) = rest.strip_prefix(unit) {
            return Some((Duration::from_millis(number * millis), rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected_ms: Option<u64>) {
        assert_eq!(parse(text), expected_ms.map(Duration::from_millis), "{text:?}");
    }

    #[test]
    fn durations() {
        check("0s", Some(0));
        check("10s", Some(10_000));
        check("1h30m", Some(5_400_000));
        check("1m500ms", Some(60_500));
        check("1h2h20m10m", Some(12_600_000));
        check("99999h", Some(99_999 * 3_600_000));
        for bad in ["", "0", "1", "s", "1.5s", "-1s", "1s ", "100000s", "1h1m1s1ms1s", "1us", "1d", "١s"] {
            check(bad, None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn never_panics(text in "\\PC{0,20}") {
            let _ = parse(&text);
        }

        #[test]
        fn adds_up(parts in proptest::collection::vec((0u64..100_000, 0usize..4), 1..5)) {
            let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
            let text: String = parts.iter().map(|(n, u)| format!("{n}{}", units[*u].0)).collect();
            let sum: u64 = parts.iter().map(|(n, u)| n * units[*u].1).sum();
            prop_assert_eq!(parse(&text), Some(Duration::from_millis(sum)));
        }
    }
}
