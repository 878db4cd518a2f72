//! Refuses to load what is not one's own: only loopback and private addresses, unless the host is named twice.

use std::net::{IpAddr, SocketAddr};

use crate::Error;

/// Whether `addresses` of `host` may be loaded; `allowed` are the hosts that were named for it.
pub(crate) fn check(host: &str, addresses: &[SocketAddr], allowed: &[String]) -> Result<(), Error> {
    if allowed.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    match addresses.iter().find(|address| !is_near(address.ip())) {
        None => Ok(()),
        Some(address) => Err(Error::Foreign { host: host.to_owned(), address: address.ip() }),
    }
}

/// Loopback, private (RFC 1918, RFC 4193) or link-local, as such or mapped into IPv6.
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_addresses_are_loaded_unasked() {
        let check =
            |address: &str, expected: bool| assert_eq!(is_near(address.parse().unwrap()), expected, "{address}");
        for near in [
            "127.0.0.1",
            "127.77.3.4",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            check(near, true);
        }
        for far in ["0.0.0.0", "172.32.0.1", "8.8.8.8", "100.64.0.1", "2001:db8::1", "::", "::ffff:8.8.8.8"] {
            check(far, false);
        }
    }

    #[test]
    fn one_far_address_among_several_is_enough_to_refuse() {
        let addresses = ["10.0.0.1:80".parse().unwrap(), "192.0.2.1:80".parse().unwrap()];
        let refused = super::check("example.com", &addresses, &["other.com".to_owned()]).unwrap_err().to_string();
        assert!(refused.contains("192.0.2.1") && refused.contains("--i-may-load-this-target example.com"), "{refused}");
        assert!(super::check("example.com", &addresses, &["Example.com".to_owned()]).is_ok());
        assert!(super::check("example.com", &addresses[..1], &[]).is_ok());
    }
}
