//! How long ago something was, in the few characters of a table's cell (`45s`, `3m20s`, `5d4h`).
//!
//! Follows `duration.HumanDuration` of k8s.io/apimachinery: two units while the first one is small, one above.

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// The cell for an age of `seconds`. A clock that is a second ahead counts as now, more is `<invalid>`.
pub fn human_duration(seconds: i64) -> String {
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(s / MINUTE, "m", s % MINUTE, "s"),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(s / HOUR, "h", s % HOUR / MINUTE, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(s / DAY, "d", s % DAY / HOUR, "h"),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => two(s / YEAR, "y", s % YEAR / DAY, "d"),
        s => format!("{}y", s / YEAR),
    }
}

/// How long before `now` (seconds since 1970) an RFC 3339 time was; `None` where it is not one.
pub fn age(time: &str, now: i64) -> Option<String> {
    let time: jiff::Timestamp = time.parse().ok()?;
    Some(human_duration(now.saturating_sub(time.as_second())))
}

/// `5d4h`, or `5d` where the smaller unit is zero.
fn two(big: i64, big_unit: &str, small: i64, small_unit: &str) -> String {
    if small == 0 { format!("{big}{big_unit}") } else { format!("{big}{big_unit}{small}{small_unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (seconds, expected) in [
            (i64::MIN, "<invalid>"),
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (599, "9m59s"),
            (600, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (7 * HOUR + 5 * MINUTE, "7h5m"),
            (8 * HOUR + 59 * MINUTE, "8h"),
            (47 * HOUR, "47h"),
            (48 * HOUR, "2d"),
            (5 * DAY + 4 * HOUR, "5d4h"),
            (8 * DAY + 4 * HOUR, "8d"),
            (729 * DAY, "729d"),
            (2 * YEAR, "2y"),
            (2 * YEAR + 3 * DAY, "2y3d"),
            (8 * YEAR + 3 * DAY, "8y"),
            (i64::MAX, "292471208677y"),
        ] {
            assert_eq!(human_duration(seconds), expected, "{seconds} seconds");
        }
    }

    #[test]
    fn ages_of_times() {
        assert_eq!(age("1970-01-01T00:01:00Z", 90).as_deref(), Some("30s"));
        assert_eq!(age("1970-01-01T00:01:00.999999Z", 60).as_deref(), Some("0s"));
        assert_eq!(age("1970-01-01T01:01:00+01:00", 60).as_deref(), Some("0s"));
        assert_eq!(age("yesterday", 60), None);
        assert_eq!(age("", 60), None);
    }
}
