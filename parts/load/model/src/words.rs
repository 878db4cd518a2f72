//! Durations, rates and shares as people write them: `1m30s`, `250ms`; `500/s`, `30000/m`, `100..1000`; `0.05`, `5%`.
//!
//! The same words stand in script files and on the command line.

use std::time::Duration;

/// The longest duration that is taken: a week.
pub const MAX_DURATION: Duration = Duration::from_secs(7 * 24 * 3600);
/// The highest rate that is taken, a second.
pub const MAX_RATE: f64 = 10_000_000.0;

/// The units of a duration in nanoseconds, the longest first.
const UNITS: [(&str, f64); 5] = [("h", 3.6e12), ("m", 6e10), ("s", 1e9), ("ms", 1e6), ("us", 1e3)];

/// Why words are not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// No duration.
    #[error("{0:?} is no duration: write numbers with their units h, m, s, ms or us, as in 10s, 1m30s or 250ms")]
    Duration(String),
    /// Longer than [`MAX_DURATION`].
    #[error("{0:?} is longer than a week")]
    TooLong(String),
    /// No rate.
    #[error(
        "{0:?} is no rate: write 500, 500/s, 30000/m or 3600/h, or 100..1000 for a rate that goes from one to the other"
    )]
    Rate(String),
    /// No share.
    #[error("{0:?} is no share: write a number from 0 to 1, or 0% to 100%")]
    Share(String),
    /// Higher than [`MAX_RATE`].
    #[error("{0:?} is more than 10000000 a second")]
    TooFast(String),
}

/// Iterations a second: from one value to another, or the same twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// At the beginning.
    pub from: f64,
    /// At the end.
    pub to: f64,
}

/// A duration of one or several numbers with units, the longest unit first: `1m30s`, `1.5s`, `250ms`.
pub fn duration(text: &str) -> Result<Duration, WordsError> {
    let wrong = || WordsError::Duration(shown(text));
    let mut nanoseconds = 0.0;
    let mut rest = text.trim();
    let mut units = UNITS.iter();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?);
        let (unit, after) = after.split_at(after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len()));
        // Units come once each and in order, so the search goes on where the last one was found.
        let (_, factor) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        nanoseconds += decimal(number).ok_or_else(wrong)? * factor;
        rest = after;
    }
    if nanoseconds > MAX_DURATION.as_nanos() as f64 {
        return Err(WordsError::TooLong(shown(text)));
    }
    Ok(Duration::from_nanos(nanoseconds.round() as u64))
}

/// A rate, with or without its unit of time: `500`, `500/s`, `30000/m`, `100..1000/s`.
pub fn rate(text: &str) -> Result<Rate, WordsError> {
    let wrong = || WordsError::Rate(shown(text));
    let (numbers, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let (from, to) = numbers.split_once("..").unwrap_or((numbers, numbers));
    let number = |text: &str| decimal(text.trim()).map(|number| number / seconds).ok_or_else(wrong);
    let rate = Rate { from: number(from)?, to: number(to)? };
    if rate.from.max(rate.to) > MAX_RATE {
        return Err(WordsError::TooFast(shown(text)));
    }
    Ok(rate)
}

/// A share, 0 to 1, as a number or in percent: `0.05`, `5%`.
pub fn share(text: &str) -> Result<f64, WordsError> {
    let share = match text.trim().strip_suffix('%') {
        Some(percent) => decimal(percent.trim()).map(|percent| percent / 100.0),
        None => text.trim().parse().ok(),
    };
    share.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| WordsError::Share(shown(text)))
}

/// A duration as it is shown: to three digits, with its unit.
pub fn shown_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (number, unit) = match seconds {
        s if s >= 0.9995 => (s, "s"),
        s if s >= 0.000_999_5 => (s * 1e3, "ms"),
        s => (s * 1e6, "us"),
    };
    let decimals = match number {
        n if n >= 99.95 => 0,
        n if n >= 9.995 => 1,
        _ => 2,
    };
    format!("{number:.decimals$} {unit}")
}

/// A number of digits with at most one point: no sign, no exponent, no infinity.
pub(crate) fn decimal(text: &str) -> Option<f64> {
    let digits = text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let begins = text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(|c: char| c.is_ascii_digit());
    if digits && begins { text.parse().ok() } else { None }
}

/// A text as far as a message shows it.
fn shown(text: &str) -> String {
    text.chars().take(50).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_sums_of_units() {
        let check = |text: &str, nanoseconds: u64| {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        };
        check("10s", 10_000_000_000);
        check("1m30s", 90_000_000_000);
        check("250ms", 250_000_000);
        check("1.5s", 1_500_000_000);
        check("20us", 20_000);
        check("1h1m1s1ms1us", 3_661_001_001_000);
        check("0s", 0);
        check("168h", 604_800_000_000_000);
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", " ", "10", "s", "1s1m", "1s1s", "-1s", "1e3s", "1..5s", ".5s", "5.s", "1d", "infs", "1sm", "١s"]
        {
            assert_eq!(duration(text), Err(WordsError::Duration(text.to_owned())), "{text}");
        }
        for text in ["169h", "99999999999999999999h"] {
            assert_eq!(duration(text), Err(WordsError::TooLong(text.to_owned())));
        }
    }

    #[test]
    fn rates_are_a_second() {
        let check = |text: &str, from: f64, to: f64| assert_eq!(rate(text), Ok(Rate { from, to }), "{text}");
        check("500", 500.0, 500.0);
        check("500/s", 500.0, 500.0);
        check("30000/m", 500.0, 500.0);
        check("1800/h", 0.5, 0.5);
        check("100..1000", 100.0, 1000.0);
        check("60 .. 0 / m", 1.0, 0.0);
        check("0.5", 0.5, 0.5);
        check("0", 0.0, 0.0);
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in ["", "/s", "500/d", "-5", "1...5", "..5", "5..", "1..2..3", "NaN", "inf", "1e3", "5/s/s"] {
            assert_eq!(rate(text), Err(WordsError::Rate(text.to_owned())), "{text}");
        }
        assert_eq!(rate("10000001"), Err(WordsError::TooFast("10000001".into())));
        assert_eq!(rate("1..20000000/s"), Err(WordsError::TooFast("1..20000000/s".into())));
    }

    #[test]
    fn shares_are_numbers_or_percent() {
        for (text, expected) in [("0", 0.0), ("1", 1.0), ("0.05", 0.05), ("1e-3", 1e-3), ("5%", 0.05), ("100 %", 1.0)] {
            assert_eq!(share(text), Ok(expected), "{text}");
        }
        for text in ["", "%", "-1", "1.1", "101%", "-5%", "5%%", "NaN", "inf", "half", "1e-3%"] {
            assert_eq!(share(text), Err(WordsError::Share(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_to_three_digits() {
        let check = |microseconds: f64, expected: &str| {
            assert_eq!(shown_duration(Duration::from_secs_f64(microseconds / 1e6)), expected);
        };
        check(0.0, "0.00 us");
        check(999.9, "1.00 ms");
        check(63_100.0, "63.1 ms");
        check(99_960.0, "100 ms");
        check(999_700.0, "1.00 s");
        check(3_600_000_000.0, "3600 s");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn any_text_is_judged_without_a_panic(text in "[0-9.hmsu/e -]{0,12}|.{0,12}") {
            if let Ok(found) = duration(&text) {
                prop_assert!(found <= MAX_DURATION);
            }
            if let Ok(found) = rate(&text) {
                prop_assert!(found.from >= 0.0 && found.to <= MAX_RATE);
            }
        }
    }
}
