//! A map of a bounded weight that forgets what was not used for long.
//!
//! Two generations: what is used moves to the young one; when that has half of the weight it becomes the old one, and what
//! was still in the old one is forgotten. That is close to least-recently-used, and costs a look-up and no list.

use std::collections::HashMap;
use std::hash::Hash;

/// The map. Its hash is keyed at random, so that nobody can choose colliding keys.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, Weighed<V>>,
    old: HashMap<K, Weighed<V>>,
    /// Of the young.
    weight: usize,
    /// Of the young, at most.
    most: usize,
}

#[derive(Debug)]
struct Weighed<V> {
    value: V,
    weight: usize,
}

/// What was forgotten; to be dropped where no lock is held, since it may be much.
#[derive(Debug)]
#[must_use]
pub(crate) struct Forgotten<K, V>(
    #[expect(dead_code, reason = "it is only kept to be dropped")] HashMap<K, Weighed<V>>,
);

impl<K: Eq + Hash, V> Recent<K, V> {
    /// Holds up to `most` of weight.
    pub(crate) fn new(most: usize) -> Self {
        Recent { young: HashMap::new(), old: HashMap::new(), weight: 0, most: most / 2 }
    }

    /// What stands under `key`, which is then young again.
    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        if !self.young.contains_key(key) {
            // It came out of the old one, so that both together weigh no more than before.
            let (key, value) = self.old.remove_entry(key)?;
            self.weight = self.weight.saturating_add(value.weight);
            return Some(&mut self.young.entry(key).or_insert(value).value);
        }
        self.young.get_mut(key).map(|weighed| &mut weighed.value)
    }

    /// Puts `value`, which weighs `weight` with its key. What weighs more than there is room for is not kept.
    pub(crate) fn insert(&mut self, key: K, value: V, weight: usize) -> Forgotten<K, V> {
        self.remove(&key);
        let mut forgotten = HashMap::new();
        if self.weight.saturating_add(weight) > self.most {
            forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.weight = 0;
        }
        if weight <= self.most {
            self.weight = self.weight.saturating_add(weight);
            self.young.insert(key, Weighed { value, weight });
        }
        Forgotten(forgotten)
    }

    /// Takes out what stands under `key`.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        if let Some(weighed) = self.young.remove(key) {
            self.weight = self.weight.saturating_sub(weighed.weight);
            return Some(weighed.value);
        }
        self.old.remove(key).map(|weighed| weighed.value)
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_used_stays() {
        let mut map = Recent::new(8);
        for i in 0..100 {
            let _ = map.insert(i, i, 1);
            assert_eq!(map.get(&0).copied(), Some(0), "{i}");
            assert!(map.len() <= 8);
        }
        assert_eq!((map.get(&99).copied(), map.get(&1)), (Some(99), None));
        assert_eq!((map.remove(&99), map.get(&99)), (Some(99), None));
        let _ = map.insert(7, 7, 5);
        assert_eq!(map.get(&7), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_never_weighs_more(steps in prop::collection::vec((0_u8..20, 0_usize..6, 0_u8..4), 0..200)) {
            let mut map = Recent::new(20);
            for (key, weight, what) in steps {
                match what {
                    0 => drop(map.remove(&key)),
                    1 => drop(map.get(&key).copied()),
                    _ => drop(map.insert(key, key, weight)),
                }
                let weights = |half: &HashMap<u8, Weighed<u8>>| half.values().map(|weighed| weighed.weight).sum::<usize>();
                prop_assert_eq!(weights(&map.young), map.weight);
                prop_assert!(weights(&map.young) + weights(&map.old) <= 30);
                prop_assert!(map.young.iter().chain(&map.old).all(|(key, weighed)| *key == weighed.value));
                prop_assert!(map.young.keys().all(|key| !map.old.contains_key(key)));
            }
        }
    }
}
