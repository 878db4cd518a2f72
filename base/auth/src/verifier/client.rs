//! How often a client may be wrong: what it brings costs work before it is known to be worthless.
//!
//! A client is an address, or the network of IPv6 that one client can have. It may fail some times at once and once more
//! each second. Of the many clients that there can be, those that failed last are remembered.

use std::net::IpAddr;
use std::time::Duration;

use super::recent::Recent;

/// A client may fail so often at once.
pub(crate) const FAILURES: u32 = 20;
/// Clients that are remembered.
const REMEMBERED: usize = 16 * 1024;

/// Where requests come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Client(pub(crate) u128);

impl Client {
    pub(crate) fn new(address: IpAddr) -> Client {
        match address.to_canonical() {
            IpAddr::V4(address) => Client(address.to_bits().into()),
            IpAddr::V6(address) => Client(address.to_bits() >> 64 << 64),
        }
    }
}

/// How often which client has failed. Times are since any fixed point.
#[derive(Debug)]
pub(crate) struct Failures(Recent<Client, Count>);

#[derive(Clone, Copy, Debug)]
struct Count {
    count: u32,
    /// When `count` was last right.
    at: Duration,
}

impl Default for Failures {
    fn default() -> Self {
        Failures(Recent::new(REMEMBERED))
    }
}

impl Failures {
    /// Counts a failure in advance, so that many at once are counted; whether the client may go on.
    pub(crate) fn charge(&mut self, client: Client, now: Duration) -> bool {
        let Some(failures) = self.0.get(&client) else {
            drop(self.0.insert(client, Count { count: 1, at: now }, 1));
            return true;
        };
        let passed = now.saturating_sub(failures.at).as_secs();
        failures.count = failures.count.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX));
        // What is left of a second counts later.
        failures.at = failures.at.saturating_add(Duration::from_secs(passed));
        let may = failures.count < FAILURES;
        failures.count = failures.count.saturating_add(may.into());
        may
    }

    /// It was no failure.
    pub(crate) fn refund(&mut self, client: Client) {
        if let Some(failures) = self.0.get(&client) {
            failures.count = failures.count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_is_its_network() {
        let parse = |text: &str| Client::new(text.parse().unwrap());
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff:1"));
        assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
    }

    #[test]
    fn time_forgives() {
        let mut failures = Failures::default();
        let mut count = |now: u64| (0..100).filter(|_| failures.charge(Client(1), Duration::from_millis(now))).count();
        assert_eq!([0, 900, 1000, 1999, 4500, 1_000_000].map(&mut count), [20, 0, 1, 0, 3, 20]);
        failures.refund(Client(1));
        assert!(
            failures.charge(Client(1), Duration::from_secs(1000))
                && !failures.charge(Client(1), Duration::from_secs(1000))
        );
    }
}
