//! Who asks, behind proxies that are trusted (`X-Forwarded-For`, RFC 7239's `Forwarded`).
//!
//! Each proxy appends whom it was asked by, so the list is read from the right: while an address is one of the trusted,
//! what it said of the one before it is believed. The first that is not is the client, whatever stands to its left. What
//! cannot be read ends the search too: the client is then the last that could.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::FORWARDED;

use crate::CidrSet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Who asks, as `peer` says it, where it may. `Forwarded` is read where there is no `X-Forwarded-For`.
pub fn client(headers: &HeaderMap, peer: IpAddr, trusted: &CidrSet) -> IpAddr {
    let name = if headers.contains_key(FORWARDED_FOR) { FORWARDED_FOR } else { FORWARDED.as_str() };
    let lines = headers.get_all(name).iter().rev();
    let mut elements = lines.flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
    let mut client = peer.to_canonical();
    while trusted.contains(client) {
        let element = elements.next().and_then(|element| str::from_utf8(element).ok());
        let before = element.and_then(|e| if name == FORWARDED_FOR { address(e) } else { address(parameter(e)?) });
        let Some(before) = before else { break };
        client = before;
    }
    client
}

/// The value of `for` in an element of `Forwarded`.
fn parameter(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    Some(value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value))
}

/// An address, perhaps with a port, an IPv6 one perhaps in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|at| at.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;
    use purlin_traffic::model::Cidr;

    use super::*;

    fn trusted() -> CidrSet {
        let range = |at: &str, prefix| Cidr { address: at.parse().unwrap(), prefix };
        CidrSet::new(&[range("10.0.0.0", 8), range("fd00::", 8)])
    }

    fn of(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        client(&headers, peer.parse().unwrap(), &trusted()).to_string()
    }

    #[track_caller]
    fn check(peer: &str, lines: &[(&'static str, &str)], expected: &str) {
        assert_eq!(of(peer, lines), expected, "{peer} {lines:?}");
    }

    #[test]
    fn who_asks() {
        let xff = |value| [("x-forwarded-for", value)];
        check("9.9.9.9", &xff("1.1.1.1"), "9.9.9.9");
        check("10.0.0.1", &xff("1.1.1.1"), "1.1.1.1");
        check("::ffff:10.0.0.1", &xff("1.1.1.1"), "1.1.1.1");
        check("10.0.0.1", &xff("6.6.6.6, 1.1.1.1,10.2.2.2 , 10.3.3.3"), "1.1.1.1");
        check("10.0.0.1", &xff("10.2.2.2, 10.3.3.3"), "10.2.2.2");
        check("10.0.0.1", &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "10.2.2.2")], "1.1.1.1");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &xff("1.1.1.1, unknown, 10.2.2.2"), "10.2.2.2");
        check("10.0.0.1", &xff("1.1.1.1,"), "10.0.0.1");
        check("10.0.0.1", &xff("1.1.1.1:80"), "1.1.1.1");
        check("fd00::1", &xff("[2001:db8::1]:80"), "2001:db8::1");
        check("fd00::1", &xff("2001:db8::1"), "2001:db8::1");
        let forwarded = |value| [("forwarded", value)];
        check("10.0.0.1", &forwarded("for=6.6.6.6, proto=https;For=\"[2001:db8::1]:4711\";by=_x"), "2001:db8::1");
        check("10.0.0.1", &forwarded("for=1.1.1.1, for=10.2.2.2"), "1.1.1.1");
        check("10.0.0.1", &forwarded("for=_hidden"), "10.0.0.1");
        check("10.0.0.1", &[("forwarded", "for=2.2.2.2"), ("x-forwarded-for", "1.1.1.1")], "1.1.1.1");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Nobody can say anything about himself: what stands to the left of what our own proxy wrote changes nothing.
        #[test]
        fn strangers_choose_nothing(claim in "[ -~]{0,60}", stranger in "9\\.[0-9]\\.[0-9]\\.[0-9]") {
            prop_assert_eq!(of("10.0.0.1", &[("x-forwarded-for", &format!("{claim}, {stranger}"))]), stranger.clone());
            prop_assert_eq!(of(&stranger, &[("x-forwarded-for", &claim)]), stranger);
        }
    }
}
