//! Addresses: which of the pool each Gateway is bound to.
//!
//! A Gateway that asks for addresses gets those of them that the pool has, shared if need be. Any other keeps the
//! address that it has (its status says it after a restart) or gets the first free one. When none is free it shares
//! one, where possible one on which its ports are free; what clashes then is said in status, never merged.
//! Whoever is older goes first, so the result does not depend on the order in which Gateways are seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::str::FromStr;

use k8s_openapi::jiff::Timestamp;
use purlin_traffic::model::ObjectName;
use purlin_traffic::{AddressProblem, GatewayAddresses};

/// The addresses that Gateways may be bound to, in the order in which they are given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPool(Vec<Range>);

/// Why a text is no pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("gateway addresses: {0:?} is neither an address nor a CIDR; give for example 127.0.0.1,127.77.0.0/16")]
pub struct ParseError(String);

/// Addresses in a row, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    v4: bool,
    first: u128,
    last: u128,
}

impl FromStr for AddressPool {
    type Err = ParseError;

    /// Reads addresses and CIDRs, separated by commas.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let range = |part: &str| Range::parse(part.trim()).ok_or_else(|| ParseError(part.trim().to_owned()));
        Ok(AddressPool(text.split(',').map(range).collect::<Result<_, _>>()?))
    }
}

impl Range {
    /// Of a CIDR with more than two addresses the first (network) and, with IPv4, the last (broadcast) are left out.
    fn parse(text: &str) -> Option<Range> {
        let (ip, length) = match text.split_once('/') {
            Some((ip, length)) => (ip.parse().ok()?, Some(length.parse::<u32>().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let (v4, number, bits) = match ip {
            IpAddr::V4(ip) => (true, u128::from(u32::from(ip)), 32),
            IpAddr::V6(ip) => (false, u128::from(ip), 128),
        };
        let host_bits = u32::checked_sub(bits, length.unwrap_or(bits))?;
        let mask = u128::MAX.checked_shr(128 - host_bits).unwrap_or(0);
        let (mut first, mut last) = (number & !mask, number | mask);
        if host_bits > 1 {
            first += 1;
            last -= u128::from(v4);
        }
        Some(Range { v4, first, last })
    }

    fn contains(self, ip: IpAddr) -> bool {
        let (v4, number) = match ip {
            IpAddr::V4(ip) => (true, u128::from(u32::from(ip))),
            IpAddr::V6(ip) => (false, u128::from(ip)),
        };
        v4 == self.v4 && (self.first..=self.last).contains(&number)
    }

    fn iter(self) -> impl Iterator<Item = IpAddr> {
        (self.first..=self.last).map(move |number| match u32::try_from(number) {
            Ok(number) if self.v4 => IpAddr::V4(number.into()),
            _ => IpAddr::V6(number.into()),
        })
    }
}

impl Default for AddressPool {
    /// 127.0.0.1, then 127.77.0.0/16 where the system has it (Linux has all of 127.0.0.0/8).
    fn default() -> Self {
        let more = TcpListener::bind((Ipv4Addr::new(127, 77, 0, 1), 0)).is_ok();
        let parts: &[&str] = if more { &["127.0.0.1", "127.77.0.0/16"] } else { &["127.0.0.1"] };
        AddressPool(parts.iter().filter_map(|part| Range::parse(part)).collect())
    }
}

/// What a Gateway asks for.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The Gateway.
    pub name: ObjectName,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// `spec.addresses`: each a value, or none for "any address".
    pub wanted: Vec<Option<String>>,
    /// The addresses that it has, from the last assignment or its status.
    pub held: Vec<IpAddr>,
    /// The ports of its listeners.
    pub ports: BTreeSet<u16>,
}

impl Claim {
    /// How many addresses of our choice it needs.
    fn any(&self) -> usize {
        if self.wanted.is_empty() { 1 } else { self.wanted.iter().filter(|w| w.is_none()).count() }
    }
}

/// Who is on an address: the ports in use, and whether one was given it rather than asked for it.
#[derive(Default)]
struct Use {
    ports: BTreeSet<u16>,
    given: bool,
}

impl AddressPool {
    /// Whether a Gateway may be bound to it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(ip))
    }

    /// Gives each Gateway its addresses.
    pub fn assign(&self, mut claims: Vec<Claim>) -> BTreeMap<ObjectName, GatewayAddresses> {
        claims.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.name.cmp(&b.name)));
        let mut used: BTreeMap<IpAddr, Use> = BTreeMap::new();
        let mut assigned: BTreeMap<ObjectName, GatewayAddresses> = BTreeMap::new();
        for claim in &claims {
            let addresses = self.asked_for(claim);
            for ip in &addresses.assigned {
                used.entry(*ip).or_default().ports.extend(&claim.ports);
            }
            assigned.insert(claim.name.clone(), addresses);
        }
        // All that hold an address keep it before the first new one is given out.
        for claim in &claims {
            let Some(addresses) = assigned.get_mut(&claim.name) else { continue };
            let mut missing = claim.any();
            for ip in claim.held.iter().filter(|ip| self.contains(**ip)) {
                if missing == 0 || addresses.assigned.contains(ip) || used.get(ip).is_some_and(|u| u.given) {
                    continue;
                }
                give(*ip, claim, addresses, &mut used);
                missing -= 1;
            }
        }
        for claim in &claims {
            let Some(addresses) = assigned.get_mut(&claim.name) else { continue };
            let asked =
                claim.wanted.iter().flatten().filter(|w| w.parse().is_ok_and(|ip| addresses.assigned.contains(&ip)));
            let has = addresses.assigned.len() - asked.count();
            for _ in has..claim.any() {
                match self.free(claim, addresses, &used) {
                    Some(ip) => give(ip, claim, addresses, &mut used),
                    None => {
                        let message = "no address is left; start with more --gateway-addresses or delete a Gateway";
                        addresses.problem.get_or_insert(AddressProblem::NotAssigned(message.to_owned()));
                    }
                }
            }
        }
        assigned
    }

    /// The addresses of a Gateway's spec that it can have.
    fn asked_for(&self, claim: &Claim) -> GatewayAddresses {
        let mut addresses = GatewayAddresses::default();
        for wanted in claim.wanted.iter().flatten() {
            match wanted.parse::<IpAddr>() {
                Ok(ip) if self.contains(ip) => {
                    if !addresses.assigned.contains(&ip) {
                        addresses.assigned.push(ip);
                    }
                }
                _ => {
                    let message =
                        format!("address {wanted} is not one of --gateway-addresses; ask for one of those or none");
                    addresses.problem.get_or_insert(AddressProblem::NotUsable(message));
                }
            }
        }
        addresses
    }

    /// An address that nobody uses; else one on which the Gateway's ports are free; else any that it has not yet.
    fn free(&self, claim: &Claim, has: &GatewayAddresses, used: &BTreeMap<IpAddr, Use>) -> Option<IpAddr> {
        // As many addresses as are in use and one more are looked at, however large the pool is.
        let unused = self.0.iter().find_map(|range| range.iter().find(|ip| !used.contains_key(ip)));
        let others = || {
            self.0
                .iter()
                .flat_map(|r| used.keys().filter(|ip| r.contains(**ip)))
                .filter(|ip| !has.assigned.contains(ip))
        };
        let clear = |ip: &&IpAddr| used.get(*ip).is_none_or(|u| u.ports.is_disjoint(&claim.ports));
        unused.or_else(|| others().find(clear).copied()).or_else(|| others().next().copied())
    }
}

fn give(ip: IpAddr, claim: &Claim, addresses: &mut GatewayAddresses, used: &mut BTreeMap<IpAddr, Use>) {
    let entry = used.entry(ip).or_default();
    entry.ports.extend(&claim.ports);
    entry.given = true;
    addresses.assigned.push(ip);
}

#[cfg(test)]
mod tests;
