//! Hashes that every gateway agrees on: the same key leads to the same endpoint in all processes and releases, so the
//! function is fixed (FNV-1a, mixed by the finalizer of SplitMix64).

/// A hash of bytes.
pub fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3_u64));
    mix(fnv)
}

/// Spreads a difference in any bit over all of them.
pub fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Which of the parts of a whole a hash falls into: the part's share of all hashes is exact, but for one in 2^64.
/// None where the whole is nothing.
pub fn part(hash: u64, weights: impl IntoIterator<Item = u32>, total: u64) -> Option<usize> {
    let mut at = (u128::from(hash) * u128::from(total)) >> 64;
    weights.into_iter().position(|weight| {
        let here = at < u128::from(weight);
        at = at.saturating_sub(u128::from(weight));
        here
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_fixed() {
        assert_eq!(hash(b""), mix(0xcbf2_9ce4_8422_2325));
        // FNV-1a of "a" is published.
        assert_eq!(hash(b"a"), mix(0xaf63_dc4c_8601_ec8c));
        // So is the first number of SplitMix64 from 0.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn parts_are_exact() {
        let weights = [1, 0, 3];
        let of = |hash| part(hash, weights, 4);
        assert_eq!(of(0), Some(0));
        assert_eq!(of((1 << 62) - 1), Some(0));
        assert_eq!(of(1 << 62), Some(2));
        assert_eq!(of(u64::MAX), Some(2));
        assert_eq!(part(5, [0, 0], 0), None);
        assert_eq!(part(5, [], 0), None);
    }
}
