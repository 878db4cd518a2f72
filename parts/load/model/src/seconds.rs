//! Durations in JSON: seconds, as a number with a fraction.
//!
//! For `#[serde(with = "seconds")]`. What is no duration (negative, not finite, beyond what a duration holds) is refused.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes seconds.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// Reads seconds.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| D::Error::custom(format!("{seconds} seconds are no duration")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Holder(#[serde(with = "super")] Duration);

    #[test]
    fn durations_are_seconds() {
        let check = |duration: Duration, text: &str| {
            assert_eq!(serde_json::to_string(&Holder(duration)).unwrap(), text);
            assert_eq!(serde_json::from_str::<Holder>(text).unwrap(), Holder(duration));
        };
        check(Duration::ZERO, "0.0");
        check(Duration::from_nanos(161_527), "0.000161527");
        check(Duration::new(3_600, 1), "3600.000000001");
        assert_eq!(serde_json::from_str::<Holder>("2").unwrap(), Holder(Duration::from_secs(2)));
        for bad in ["-1", "1e300", "\"1s\"", "null"] {
            assert!(serde_json::from_str::<Holder>(bad).is_err(), "{bad}");
        }
    }
}
