//! Durations as counts, to three significant digits.
//!
//! An HDR histogram of nanoseconds. Two of them are added up exactly, which averages of percentiles never are: that is
//! what makes workers, processes and seconds of a run add up to one result. As JSON it is the list of its buckets that
//! hold something, `[[nanoseconds, count], ...]`, from which the same histogram is made again.

use std::time::Duration;

use hdrhistogram::Histogram as Hdr;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest duration that is told apart; what is longer counts as this.
const LONGEST: Duration = Duration::from_secs(3600);
/// The most buckets that JSON may list: more than three digits of an hour in nanoseconds have.
const MAX_BUCKETS: usize = 65_536;

/// Durations as counts, to three significant digits.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram(Hdr<u64>);

impl Default for Histogram {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "fails for a number of digits above 5 only")]
        Histogram(Hdr::new(3).expect("three digits"))
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        self.record_n(duration, 1);
    }

    /// The shortest duration that counts as the same as `duration` does.
    pub fn shortest_like(&self, duration: Duration) -> Duration {
        let nanoseconds = u64::try_from(duration.min(LONGEST).as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.0.lowest_equivalent(nanoseconds))
    }

    /// Counts one duration `count` times.
    pub(crate) fn record_n(&mut self, duration: Duration, count: u64) {
        let nanoseconds = u64::try_from(duration.min(LONGEST).as_nanos()).unwrap_or(u64::MAX);
        // It grows by itself; it could only fail where memory has ended.
        let _ = self.0.record_n(nanoseconds, count);
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Histogram) {
        // As above: both hold three digits.
        let _ = self.0.add(&other.0);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration that the share `quantile` (0 to 1) of all does not exceed; zero where there is none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(quantile))
    }

    /// How many durations are at most `duration`, as exactly as the buckets are.
    pub fn at_most(&self, duration: Duration) -> u64 {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.0.count_between(0, nanoseconds)
    }

    /// The mean; zero where there is none.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos_u128(self.0.mean() as u128)
    }

    /// The shortest; zero where there is none.
    pub fn min(&self) -> Duration {
        if self.0.is_empty() { Duration::ZERO } else { Duration::from_nanos(self.0.min()) }
    }

    /// The longest; zero where there is none.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    /// The buckets that hold something, each with the longest duration that it stands for, ascending.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.0.iter_recorded().map(|bucket| (Duration::from_nanos(bucket.value_iterated_to()), bucket.count_at_value()))
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        serializer.collect_seq(self.buckets().map(|(duration, count)| (nanoseconds(duration), count)))
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let buckets = Vec::<(u64, u64)>::deserialize(deserializer)?;
        if buckets.len() > MAX_BUCKETS {
            return Err(D::Error::custom("a histogram has too many buckets"));
        }
        let total = buckets.iter().try_fold(0_u64, |total, (_, count)| total.checked_add(*count));
        if total.is_none() {
            return Err(D::Error::custom("the counts of a histogram overflow"));
        }
        let mut histogram = Histogram::default();
        for (nanoseconds, count) in buckets {
            histogram.record_n(Duration::from_nanos(nanoseconds), count);
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.record(Duration::from_nanos(*value)));
        histogram
    }

    #[test]
    fn quantiles_have_three_digits() {
        let histogram = of(&(1..=10_000).map(|n| n * 1_000).collect::<Vec<_>>());
        for quantile in [0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let (found, exact) = (histogram.quantile(quantile).as_secs_f64(), quantile * 0.01);
            assert!((found / exact - 1.0).abs() <= 0.001, "{quantile}: {found} {exact}");
        }
        assert_eq!(histogram.count(), 10_000);
        assert_eq!(histogram.at_most(Duration::from_millis(20)), 10_000);
    }

    #[test]
    fn what_counts_as_the_same_is_known_before() {
        for nanoseconds in [1, 999, 2047, 2048, 123_456_789, 7_200_000_000_000] {
            let (mut histogram, waited) = (Histogram::default(), Duration::from_nanos(nanoseconds));
            let shortest = histogram.shortest_like(waited);
            histogram.record(shortest);
            histogram.record(waited);
            assert_eq!((histogram.buckets().count(), shortest <= waited), (1, true), "{nanoseconds}");
            histogram.record(shortest - Duration::from_nanos(1));
            assert_eq!(histogram.buckets().count(), 2, "{nanoseconds}");
        }
    }

    #[test]
    fn an_empty_one_is_zero() {
        let empty = Histogram::default();
        let all = [empty.quantile(0.5), empty.mean(), empty.min(), empty.max()];
        assert_eq!((empty.count(), all), (0, [Duration::ZERO; 4]));
    }

    #[test]
    fn what_is_too_long_counts_as_an_hour() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::MAX);
        let hour = LONGEST.as_secs_f64();
        assert!((histogram.max().as_secs_f64() / hour - 1.0).abs() < 0.001);
    }

    #[test]
    fn hostile_json_is_refused() {
        assert!(serde_json::from_str::<Histogram>("[[1, 18446744073709551615], [2, 1]]").is_err());
        assert!(serde_json::from_str::<Histogram>("[[1, -1]]").is_err());
        let max = serde_json::from_str::<Histogram>("[[18446744073709551615, 1]]").unwrap();
        assert_eq!(max.count(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn merging_is_exact(a in prop::collection::vec(0..10_000_000_000_u64, 0..50), b in prop::collection::vec(0..10_000_000_000_u64, 0..50)) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let both: Vec<u64> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(&merged, &of(&both));
            let read: Histogram = serde_json::from_str(&serde_json::to_string(&merged).unwrap()).unwrap();
            prop_assert_eq!(read.buckets().collect::<Vec<_>>(), merged.buckets().collect::<Vec<_>>());
        }
    }
}
