//! What the n-th iteration is: which scenario it runs, which row it takes, and what its variables are worth.
//!
//! All of it follows from the plan's seed and the iteration's number by arithmetic, so workers and processes need not
//! talk to each other. Numbers are unique in a test: of several senders, shard s gives its iterations the numbers s,
//! s + shards, s + 2 shards, ... ([`Shard::number`]). Rows that are taken one after the other are so dealt out without
//! overlap until all have been taken.

use std::borrow::Cow;

use crate::arrivals::Shard;
use crate::plan::{Order, Plan};

/// Variables that are always there. They have the same value in all steps of an iteration.
///
/// `iteration` is its number, from 0; `uuid` is a random UUID (RFC 9562, version 4); `random` a number below 2^32.
pub const BUILT_IN: [&str; 3] = ["iteration", "uuid", "random"];

/// What is drawn from an iteration's number; each has random numbers of its own.
#[derive(Clone, Copy)]
enum Draw {
    Scenario = 1,
    Row,
    Random,
    UuidHigh,
    UuidLow,
}

impl Shard {
    /// The number of this shard's iteration `index`, counted from 0.
    pub fn number(self, index: u64) -> u64 {
        index.wrapping_mul(u64::from(self.count.max(1))).wrapping_add(u64::from(self.index))
    }
}

/// The values of an iteration's variables.
#[derive(Clone, Debug)]
pub struct Variables<'p> {
    plan: &'p Plan,
    number: u64,
    row: Option<&'p [String]>,
    extracted: Vec<(&'p str, String)>,
}

impl Plan {
    /// Which scenario iteration `number` runs, drawn by weight.
    pub fn scenario_of(&self, number: u64) -> usize {
        let total = self.scenarios.iter().map(|scenario| u64::from(scenario.weight)).sum();
        let mut drawn = below(draw(self.seed, number, Draw::Scenario), total);
        for (at, scenario) in self.scenarios.iter().enumerate() {
            match drawn.checked_sub(u64::from(scenario.weight)) {
                None => return at,
                Some(rest) => drawn = rest,
            }
        }
        0
    }

    /// Which row iteration `number` takes.
    pub fn row_of(&self, number: u64) -> Option<&[String]> {
        let data = self.data.as_ref()?;
        let rows = data.rows.len() as u64;
        let at = match data.order {
            Order::Sequential => number.checked_rem(rows)?,
            Order::Random => below(draw(self.seed, number, Draw::Row), rows),
        };
        data.rows.get(usize::try_from(at).ok()?).map(Vec::as_slice)
    }

    /// The variables of iteration `number`.
    pub fn variables(&self, number: u64) -> Variables<'_> {
        Variables { plan: self, number, row: self.row_of(number), extracted: Vec::new() }
    }
}

impl<'p> Variables<'p> {
    /// Sets what was taken from an answer.
    pub fn set(&mut self, name: &'p str, value: String) {
        match self.extracted.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => self.extracted.push((name, value)),
        }
    }

    /// The value of a variable.
    pub fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some((_, value)) = self.extracted.iter().find(|(known, _)| *known == name) {
            return Some(Cow::Borrowed(value));
        }
        let drawn = |what| draw(self.plan.seed, self.number, what);
        match name {
            "iteration" => Some(Cow::Owned(self.number.to_string())),
            "uuid" => Some(Cow::Owned(uuid(drawn(Draw::UuidHigh), drawn(Draw::UuidLow)))),
            "random" => Some(Cow::Owned((drawn(Draw::Random) >> 32).to_string())),
            _ => {
                let columns = &self.plan.data.as_ref()?.columns;
                let column = columns.iter().position(|known| known == name)?;
                self.row?.get(column).map(|value| Cow::Borrowed(value.as_str()))
            }
        }
    }
}

/// 64 random bits that follow from their place: the finalizer of SplitMix64 over it, twice.
fn draw(seed: u64, number: u64, what: Draw) -> u64 {
    mix(mix(seed ^ (what as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(number))
}

fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// A number below `limit`, as likely as any other; 0 where there is none.
fn below(bits: u64, limit: u64) -> u64 {
    ((u128::from(bits) * u128::from(limit)) >> 64) as u64
}

fn uuid(high: u64, low: u64) -> String {
    let (high, low) = ((high & !0xF000) | 0x4000, (low & (u64::MAX >> 2)) | (1 << 63));
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & (u64::MAX >> 16)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::{Data, Scenario};
    use crate::samples;

    fn with_rows(rows: usize, order: Order) -> Plan {
        let row = |at: usize| vec![at.to_string(), format!("name {at}")];
        let data = Data { columns: vec!["id".into(), "name".into()], rows: (0..rows).map(row).collect(), order };
        Plan { data: Some(data), ..samples::plan() }
    }

    #[test]
    fn scenarios_are_drawn_by_weight() {
        let scenario = |weight| Scenario { weight, ..samples::plan().scenarios[0].clone() };
        let plan = Plan { scenarios: vec![scenario(1), scenario(7), scenario(2)], ..samples::plan() };
        let mut counts = [0_u32; 3];
        (0..100_000).for_each(|number| counts[plan.scenario_of(number)] += 1);
        for (count, share) in counts.iter().zip([0.1, 0.7, 0.2]) {
            // Within five standard deviations.
            let deviation = (100_000.0_f64 * share * (1.0 - share)).sqrt();
            assert!((f64::from(*count) - 100_000.0 * share).abs() < 5.0 * deviation, "{counts:?}");
        }
    }

    #[test]
    fn shards_share_rows_without_overlap() {
        let plan = with_rows(12, Order::Sequential);
        let shard = |index| (0..4).map(move |at| Shard { index, count: 3 }.number(at));
        let taken: Vec<&str> = (0..3).flat_map(shard).map(|number| plan.row_of(number).unwrap()[0].as_str()).collect();
        assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), 12, "{taken:?}");
        // From the beginning again.
        assert_eq!(plan.row_of(12), plan.row_of(0));
    }

    #[test]
    fn any_row_is_taken_by_chance_and_by_seed() {
        let plan = with_rows(10, Order::Random);
        let rows = |plan: &Plan| (0..200).map(|n| plan.row_of(n).unwrap()[0].clone()).collect::<Vec<_>>();
        let taken = rows(&plan);
        assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), 10);
        assert_eq!(taken, rows(&plan));
        assert_ne!(taken, rows(&Plan { seed: plan.seed + 1, ..plan }));
        assert_eq!(samples::plan().row_of(0), None);
    }

    #[test]
    fn variables_have_values() {
        let plan = with_rows(3, Order::Sequential);
        let mut variables = plan.variables(4);
        let check = |variables: &Variables<'_>, name: &str, expected: Option<&str>| {
            assert_eq!(variables.value(name).as_deref(), expected, "{name}");
        };
        check(&variables, "iteration", Some("4"));
        check(&variables, "name", Some("name 1"));
        check(&variables, "token", None);
        variables.set("token", "a".into());
        variables.set("token", "b".into());
        check(&variables, "token", Some("b"));
        assert!(variables.value("random").unwrap().parse::<u32>().is_ok());
        assert_eq!(variables.value("uuid"), plan.variables(4).value("uuid"));
    }

    #[test]
    fn uuids_are_of_version_4_and_differ() {
        let plan = samples::plan();
        let mut all = BTreeSet::new();
        for number in 0..1000 {
            let uuid = plan.variables(number).value("uuid").unwrap().into_owned();
            let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12], "{uuid}");
            assert!(&uuid[14..15] == "4" && "89ab".contains(&uuid[19..20]), "{uuid}");
            all.insert(uuid);
        }
        assert_eq!(all.len(), 1000);
    }
}
