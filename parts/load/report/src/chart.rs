//! Scales and ticks: from values to places on a chart, and which values are worth a line and a label.
//!
//! A place is a share of the chart's length, 0 to 1. What lies outside of the scale is put at its edge.

/// From values to places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

/// What is chosen from, times a power of ten.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];
/// Times that are told in round words, in seconds.
const TIMES: [f64; 17] =
    [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0];

impl Scale {
    /// A linear one from `low` to `high`.
    pub(crate) fn linear(low: f64, high: f64) -> Scale {
        let high = if high > low { high } else { low + 1.0 };
        Scale { low, high, logarithmic: false }
    }

    /// A linear one from zero to a round number from `highest` on.
    pub(crate) fn from_zero(highest: f64) -> Scale {
        let step = round_step(highest.max(f64::MIN_POSITIVE), 6);
        Scale::linear(0.0, if highest > 0.0 { (highest / step).ceil() * step } else { 1.0 })
    }

    /// A logarithmic one from `low` to `high`, both above zero.
    pub(crate) fn logarithmic(low: f64, high: f64) -> Scale {
        let low = low.max(f64::MIN_POSITIVE);
        Scale { low, high: if high > low { high } else { low * 10.0 }, logarithmic: true }
    }

    /// What suits values from `lowest`, above zero, to `highest`: logarithmic, with round ends, where their ratio is
    /// `spread` or more, else linear from zero.
    pub(crate) fn fitting(lowest: f64, highest: f64, spread: f64) -> Scale {
        if lowest > 0.0 && highest / lowest >= spread {
            Scale::logarithmic(round_down(lowest), round_up(highest))
        } else {
            Scale::from_zero(highest)
        }
    }

    /// Whether it is logarithmic.
    pub(crate) fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// Its ends.
    pub(crate) fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Where `value` is put.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let place = if self.logarithmic {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if place.is_nan() { 0.0 } else { place.clamp(0.0, 1.0) }
    }

    /// The value that is put at `place`.
    pub(crate) fn value(&self, place: f64) -> f64 {
        if self.logarithmic {
            self.low * (self.high / self.low).powf(place)
        } else {
            self.low + (self.high - self.low) * place
        }
    }

    /// Round values on it, ascending, some `most` at the most.
    pub(crate) fn ticks(&self, most: usize) -> Vec<f64> {
        if self.logarithmic {
            self.logarithmic_ticks(most)
        } else {
            self.multiples(round_step(self.high - self.low, most))
        }
    }

    /// Round times on it, in seconds.
    pub(crate) fn time_ticks(&self, most: usize) -> Vec<f64> {
        let length = self.high - self.low;
        let step = TIMES.into_iter().find(|step| length / step <= most as f64);
        self.multiples(step.unwrap_or_else(|| round_step(length / 3_600.0, most) * 3_600.0))
    }

    fn multiples(&self, step: f64) -> Vec<f64> {
        // A thousandth of a step for what the division of decimals leaves.
        let (first, last) = ((self.low / step - 1e-3).ceil(), (self.high / step + 1e-3).floor());
        if !(first.is_finite() && last.is_finite()) || last - first > 1_000.0 {
            return Vec::new();
        }
        (0..=(last - first).max(0.0) as u32).map(|index| (first + f64::from(index)) * step).collect()
    }

    /// Powers of ten; 1, 2 and 5 times those where there is room; every other, third, ... power where there is none.
    fn logarithmic_ticks(&self, most: usize) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let within = |value: &f64| *value >= self.low * 0.999 && *value <= self.high * 1.001;
        let powers = |steps: &[f64], every: usize| -> Vec<f64> {
            let powers = (first..=last).step_by(every);
            powers.flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power))).filter(within).collect()
        };
        let fine = powers(&STEPS, 1);
        if fine.len() <= most {
            return fine;
        }
        let coarse = |every| powers(&[1.0], every);
        (1..=100).map(coarse).find(|ticks| ticks.len() <= most.max(1)).unwrap_or_default()
    }
}

/// The smallest round step of which at most `most` make up `length`.
fn round_step(length: f64, most: usize) -> f64 {
    round_up(length / most.max(1) as f64)
}

/// The next number of the form 1, 2 or 5 times a power of ten that is not below `value`, which is above zero.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = STEPS.iter().map(|step| step * power);
    steps.into_iter().find(|step| *step >= value * (1.0 - 1e-9)).unwrap_or(power * 10.0)
}

/// As [`round_up`], not above `value`.
fn round_down(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = STEPS.iter().rev().map(|step| step * power);
    steps.into_iter().find(|step| *step <= value * (1.0 + 1e-9)).unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f64], expected: &[f64]) {
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= b.abs() * 1e-9 + 1e-12;
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(near), "{found:?} {expected:?}");
    }

    #[test]
    fn linear_ticks_are_round() {
        let check = |low, high, most, expected: &[f64]| close(&Scale::linear(low, high).ticks(most), expected);
        check(0.0, 10.0, 5, &[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        check(0.0, 0.3, 4, &[0.0, 0.1, 0.2, 0.3]);
        check(3.0, 19.0, 4, &[5.0, 10.0, 15.0]);
        check(5.0, 5.0, 2, &[5.0, 5.5, 6.0]);
    }

    #[test]
    fn time_ticks_are_told_in_round_words() {
        let check = |high, expected: &[f64]| close(&Scale::linear(0.0, high).time_ticks(6), expected);
        check(1.0, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        check(30.0, &[0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
        check(100.0, &[0.0, 30.0, 60.0, 90.0]);
        check(3_600.0, &[0.0, 600.0, 1_200.0, 1_800.0, 2_400.0, 3_000.0, 3_600.0]);
        check(86_400.0, &[0.0, 18_000.0, 36_000.0, 54_000.0, 72_000.0]);
    }

    #[test]
    fn logarithmic_ticks_are_powers_of_ten_and_more_where_there_is_room() {
        let check = |low, high, most, expected: &[f64]| close(&Scale::logarithmic(low, high).ticks(most), expected);
        check(1.0, 100.0, 8, &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        check(1e3, 1e6, 6, &[1e3, 1e4, 1e5, 1e6]);
        check(1.0, 1e12, 5, &[1.0, 1e3, 1e6, 1e9, 1e12]);
        check(0.2, 0.5, 5, &[0.2, 0.5]);
    }

    #[test]
    fn a_scale_fits_its_values() {
        assert_eq!(Scale::fitting(3.0, 70.0, 30.0), Scale::linear(0.0, 80.0));
        assert!(!Scale::fitting(0.0, 7e9, 30.0).is_logarithmic());
        let wide = Scale::fitting(3e5, 1.2e9, 30.0);
        assert!(wide.is_logarithmic());
        close(&[wide.ends().0, wide.ends().1], &[2e5, 2e9]);
        assert_eq!(Scale::from_zero(0.0), Scale::linear(0.0, 1.0));
    }

    #[test]
    fn places_are_shares_of_the_length() {
        let linear = Scale::linear(0.0, 200.0);
        assert_eq!(
            [-5.0, 0.0, 50.0, 200.0, 999.0, f64::NAN].map(|value| linear.place(value)),
            [0.0, 0.0, 0.25, 1.0, 1.0, 0.0]
        );
        let logarithmic = Scale::logarithmic(1.0, 10_000.0);
        close(&[0.0, 1.0, 100.0, 1e9].map(|value| logarithmic.place(value)), &[0.0, 0.0, 0.5, 1.0]);
        close(&[0.0, 0.25, 1.0].map(|place| linear.value(place)), &[0.0, 50.0, 200.0]);
        close(&[0.0, 0.5, 1.0].map(|place| logarithmic.value(place)), &[1.0, 100.0, 10_000.0]);
    }
}
