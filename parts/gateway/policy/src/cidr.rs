//! Sets of address ranges: who is trusted, allowed, denied.
//!
//! An IPv4 address that comes mapped into IPv6 (`::ffff:a.b.c.d`) is the IPv4 address.

use std::net::IpAddr;

use purlin_traffic::model::Cidr;

/// Ranges of addresses; small sets, looked through in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CidrSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl CidrSet {
    /// The union of the ranges. Bits of an address behind its prefix are not looked at.
    pub fn new<'a>(ranges: impl IntoIterator<Item = &'a Cidr>) -> Self {
        let mut set = Self::default();
        for Cidr { address, prefix } in ranges {
            let prefix = u32::from(*prefix);
            match address {
                IpAddr::V4(at) => {
                    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix)).unwrap_or(0);
                    set.v4.push((at.to_bits() & mask, mask));
                }
                IpAddr::V6(at) => {
                    let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix)).unwrap_or(0);
                    set.v6.push((at.to_bits() & mask, mask));
                }
            }
        }
        set
    }

    /// Whether there is no range.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether one of the ranges has the address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(at) => self.v4.iter().any(|(range, mask)| at.to_bits() & mask == *range),
            IpAddr::V6(at) => self.v6.iter().any(|(range, mask)| at.to_bits() & mask == *range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ranges: &[&str], inside: &[&str], outside: &[&str]) {
        let ranges: Vec<Cidr> = ranges
            .iter()
            .map(|text| {
                let (address, prefix) = text.split_once('/').unwrap();
                Cidr { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
            })
            .collect();
        let set = CidrSet::new(&ranges);
        for address in inside {
            assert!(set.contains(address.parse().unwrap()), "{address} in {ranges:?}");
        }
        for address in outside {
            assert!(!set.contains(address.parse().unwrap()), "{address} not in {ranges:?}");
        }
    }

    #[test]
    fn ranges() {
        check(
            &["10.1.2.3/8"],
            &["10.0.0.0", "10.255.255.255", "::ffff:10.9.9.9"],
            &["11.0.0.0", "9.9.9.9", "::10.1.2.3"],
        );
        check(&["10.1.2.3/32", "fd00::/8"], &["10.1.2.3", "fdff::1"], &["10.1.2.4", "fc00::1"]);
        check(&["0.0.0.0/0"], &["1.2.3.4"], &["::1"]);
        check(&["::/0"], &["::1", "ffff::"], &["1.2.3.4", "::ffff:1.2.3.4"]);
        check(&[], &[], &["1.2.3.4", "::1"]);
    }
}
