//! Few values, told honestly: the median of the rounds, and the least and the most of them.

use serde::Serialize;

/// The middle of some values, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// Half of the values are below.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

/// The spread of `values`; none where there are none, or one is not a number.
pub(crate) fn spread(values: &[f64]) -> Option<Spread> {
    let mut sorted = values.to_vec();
    if sorted.iter().any(|value| !value.is_finite()) {
        return None;
    }
    sorted.sort_by(f64::total_cmp);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let lower = if sorted.len().is_multiple_of(2) { *sorted.get(middle - 1)? } else { upper };
    Some(Spread { median: (lower + upper) / 2.0, min, max })
}

/// `ours` to `theirs`: the ratio of the medians. Its spread is that of the ratios within each round, where both met the
/// same state of the machine. A round that lacks one of the two does not count.
pub(crate) fn ratio(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Option<Spread> {
    let pairs: Vec<(f64, f64)> = ours.iter().zip(theirs).filter_map(|(a, b)| Some(((*a)?, (*b)?))).collect();
    let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let median = spread(&ours)?.median / spread(&theirs)?.median;
    let each: Vec<f64> = pairs.iter().map(|(a, b)| a / b).collect();
    let Spread { min, max, .. } = spread(&each)?;
    median.is_finite().then_some(Spread { median, min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let check = |values: &[f64], expected: Option<(f64, f64, f64)>| {
            let expected = expected.map(|(median, min, max)| Spread { median, min, max });
            assert_eq!(spread(values), expected, "{values:?}");
        };
        check(&[], None);
        check(&[2.0], Some((2.0, 2.0, 2.0)));
        check(&[9.0, 1.0, 2.0], Some((2.0, 1.0, 9.0)));
        check(&[4.0, 1.0, 2.0, 9.0], Some((3.0, 1.0, 9.0)));
        check(&[1.0, f64::NAN], None);
    }

    #[test]
    fn a_ratio_is_of_medians_and_spreads_by_round() {
        let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        let found = ratio(&some(&[2.0, 3.0, 10.0]), &some(&[1.0, 2.0, 4.0])).unwrap();
        assert_eq!(found, Spread { median: 1.5, min: 1.5, max: 2.5 });
        // The second round was not finished by one of them.
        let found = ratio(&[Some(2.0), Some(100.0), Some(4.0)], &[Some(1.0), None, Some(2.0)]).unwrap();
        assert_eq!(found, Spread { median: 2.0, min: 2.0, max: 2.0 });
        assert_eq!(ratio(&some(&[1.0]), &some(&[0.0])), None);
        assert_eq!(ratio(&[None], &some(&[1.0])), None);
    }
}
