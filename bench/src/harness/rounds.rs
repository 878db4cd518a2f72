//! Contestants, one after the other, round by round: what drifts on the machine meets all of them alike.

use std::io::Write as _;

use super::stats::{self, Spread};

/// What one contestant showed in one round, by name.
pub(crate) type Figures = Vec<(&'static str, f64)>;

/// What all contestants showed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// Each contestant with its rounds; a round that failed has no figures.
    contestants: Vec<(String, Vec<Option<Figures>>)>,
    /// What went wrong, and in which rounds it did.
    failures: Vec<(String, Vec<u32>)>,
}

impl Samples {
    /// Their names, in the order in which they were given.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.contestants.iter().map(|(name, _)| name.as_str())
    }

    /// What went wrong, in words.
    pub(crate) fn failures(&self) -> Vec<String> {
        let words = |(what, rounds): &(String, Vec<u32>)| {
            let rounds: Vec<String> = rounds.iter().map(u32::to_string).collect();
            format!("failed in round {}: {what}", rounds.join(", "))
        };
        self.failures.iter().map(words).collect()
    }

    /// The names of all figures of `contestant`.
    pub(crate) fn figures(&self, contestant: &str) -> Vec<&'static str> {
        let mut names = Vec::new();
        for (name, _) in self.rounds(contestant).iter().flatten().flatten() {
            if !names.contains(name) {
                names.push(*name);
            }
        }
        names
    }

    /// A figure by round; empty where the contestant or the figure is not there.
    pub(crate) fn by_round(&self, contestant: &str, figure: &str) -> Vec<Option<f64>> {
        let find = |figures: &Figures| figures.iter().find(|(name, _)| *name == figure).map(|(_, value)| *value);
        self.rounds(contestant).iter().map(|round| round.as_ref().and_then(find)).collect()
    }

    /// The spread of a figure over the rounds.
    pub(crate) fn spread(&self, contestant: &str, figure: &str) -> Option<Spread> {
        stats::spread(&self.by_round(contestant, figure).into_iter().flatten().collect::<Vec<_>>())
    }

    /// The ratio of a figure of two contestants.
    pub(crate) fn ratio(&self, ours: &str, theirs: &str, figure: &str) -> Option<Spread> {
        stats::ratio(&self.by_round(ours, figure), &self.by_round(theirs, figure))
    }

    /// The ratio of a figure of `ours` to the median of all `others`.
    pub(crate) fn ratio_to_median(&self, ours: &str, others: &[&str], figure: &str) -> Option<Spread> {
        let ours = self.by_round(ours, figure);
        let theirs: Vec<_> = others.iter().map(|name| self.by_round(name, figure)).collect();
        let median_of = |round: usize| {
            let values: Vec<f64> = theirs.iter().filter_map(|rounds| *rounds.get(round)?).collect();
            stats::spread(&values).map(|spread| spread.median)
        };
        stats::ratio(&ours, &(0..ours.len()).map(median_of).collect::<Vec<_>>())
    }

    fn note_failure(&mut self, what: String, round: u32) {
        match self.failures.iter_mut().find(|(known, _)| *known == what) {
            Some((_, rounds)) => rounds.push(round),
            None => self.failures.push((what, vec![round])),
        }
    }

    fn rounds(&self, contestant: &str) -> &[Option<Figures>] {
        self.contestants.iter().find(|(name, _)| name == contestant).map_or(&[], |(_, rounds)| rounds)
    }
}

/// Who comes when: each round begins with the next one.
fn order(contestants: usize, round: u32) -> impl Iterator<Item = usize> {
    let first = round as usize;
    (0..contestants).map(move |place| (first + place) % contestants)
}

/// Runs each of the named contestants once a round. One that fails is noted, and tried again in the next round.
pub(crate) async fn interleave<C>(
    rounds: u32,
    contestants: &[(String, C)],
    mut run: impl AsyncFnMut(&C, u32) -> anyhow::Result<Figures>,
) -> Samples {
    let empty = contestants.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
    let mut samples = Samples { contestants: empty, failures: Vec::new() };
    for round in 0..rounds {
        for index in order(contestants.len(), round) {
            let (name, contestant) = &contestants[index];
            progress(&format!("round {} of {rounds}: {name}", round + 1));
            let figures = run(contestant, round).await;
            if let Err(error) = &figures {
                samples.note_failure(format!("{name}: {error:#}"), round + 1);
            }
            samples.contestants[index].1.push(figures.ok());
        }
    }
    samples
}

/// Says on standard error what is going on.
pub(crate) fn progress(what: &str) {
    // Nobody is left to tell when it is gone.
    let _ = writeln!(std::io::stderr(), "{what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_begins_with_another_one() {
        let orders: Vec<Vec<usize>> = (0..4).map(|round| order(3, round).collect()).collect();
        assert_eq!(orders, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
    }

    async fn samples() -> Samples {
        let contestants = [("ours", 2.0), ("a", 1.0), ("b", 3.0)].map(|(name, value)| (name.to_owned(), value));
        interleave(3, &contestants, async |value, round| {
            anyhow::ensure!(!(*value == 3.0 && round == 1), "broke");
            Ok(vec![("cost", value * f64::from(round + 1))])
        })
        .await
    }

    #[tokio::test]
    async fn figures_stay_in_their_rounds() {
        let samples = samples().await;
        assert_eq!(samples.names().collect::<Vec<_>>(), ["ours", "a", "b"]);
        assert_eq!(samples.by_round("b", "cost"), [Some(3.0), None, Some(9.0)]);
        assert_eq!(samples.spread("ours", "cost").unwrap(), Spread { median: 4.0, min: 2.0, max: 6.0 });
        assert_eq!(samples.failures(), ["failed in round 2: b: broke"]);
        assert_eq!(samples.figures("a"), ["cost"]);
        assert!(samples.by_round("c", "cost").is_empty() && samples.spread("a", "other").is_none());
    }

    #[test]
    fn the_same_failure_is_told_once() {
        let mut samples = Samples::default();
        [("a", 1), ("b", 1), ("a", 2)]
            .into_iter()
            .for_each(|(what, round)| samples.note_failure(what.to_owned(), round));
        assert_eq!(samples.failures(), ["failed in round 1, 2: a", "failed in round 1: b"]);
    }

    #[tokio::test]
    async fn ratios_compare_within_rounds() {
        let samples = samples().await;
        assert_eq!(samples.ratio("ours", "a", "cost").unwrap(), Spread { median: 2.0, min: 2.0, max: 2.0 });
        // The median of a and b is 2, 2 (a alone), 6.
        let found = samples.ratio_to_median("ours", &["a", "b"], "cost").unwrap();
        assert_eq!(found, Spread { median: 2.0, min: 1.0, max: 2.0 });
    }
}
