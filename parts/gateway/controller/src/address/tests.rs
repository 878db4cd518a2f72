use proptest::prelude::*;

use super::*;

fn pool(text: &str) -> AddressPool {
    text.parse().unwrap()
}

#[track_caller]
fn check_pool(text: &str, expected: &[&str]) {
    let pool = pool(text);
    let addresses: Vec<String> = pool.0.iter().flat_map(|r| r.iter()).map(|ip| ip.to_string()).collect();
    assert_eq!(addresses, expected, "{text}");
    assert!(pool.0.iter().flat_map(|r| r.iter()).all(|ip| pool.contains(ip)));
}

#[test]
fn pools() {
    check_pool("127.0.0.1", &["127.0.0.1"]);
    check_pool(" 10.0.0.9 , ::1", &["10.0.0.9", "::1"]);
    check_pool("10.0.0.1/32", &["10.0.0.1"]);
    check_pool("10.0.0.1/31", &["10.0.0.0", "10.0.0.1"]);
    check_pool("10.0.0.7/30", &["10.0.0.5", "10.0.0.6"]);
    check_pool("fd00::/126", &["fd00::1", "fd00::2", "fd00::3"]);
    check_pool("::/127", &["::", "::1"]);
    assert!(pool("0.0.0.0/0").contains("255.255.255.254".parse().unwrap()));
    assert!(pool("::/0").contains("ffff::".parse().unwrap()));
    assert!(!pool("::/0").contains("1.2.3.4".parse().unwrap()));
    assert!(!pool("127.77.0.0/16").contains("127.77.0.0".parse().unwrap()));
    assert!(!pool("127.77.0.0/16").contains("127.77.255.255".parse().unwrap()));
    for bad in ["", "1.2.3", "1.2.3.4/33", "1.2.3.4/", "::/129", "1.2.3.4/-1", "localhost", "1.2.3.4,"] {
        assert!(bad.parse::<AddressPool>().is_err(), "{bad}");
    }
    assert!(AddressPool::default().contains("127.0.0.1".parse().unwrap()));
}

/// `NAME@AGE [want=ADDRESS|any]... [has=ADDRESS]... [PORT]...`
fn claim(text: &str) -> Claim {
    let mut words = text.split(' ');
    let (name, age) = words.next().unwrap().split_once('@').unwrap();
    let mut claim = Claim {
        name: ObjectName::new("default", name),
        created: Some(Timestamp::from_second(age.parse().unwrap()).unwrap()),
        wanted: vec![],
        held: vec![],
        ports: BTreeSet::new(),
    };
    for word in words {
        match word.split_once('=') {
            Some(("want", "any")) => claim.wanted.push(None),
            Some(("want", address)) => claim.wanted.push(Some(address.to_owned())),
            Some((_, address)) => claim.held.push(address.parse().unwrap()),
            None => drop(claim.ports.insert(word.parse().unwrap())),
        }
    }
    claim
}

fn assign(addresses: &str, claims: &[&str]) -> Vec<String> {
    let assigned = pool(addresses).assign(claims.iter().map(|c| claim(c)).collect());
    let show = |(name, addresses): (ObjectName, GatewayAddresses)| {
        let mut out = format!("{}:", name.name);
        for ip in addresses.assigned {
            out += &format!(" {ip}");
        }
        out += match addresses.problem {
            None => "",
            Some(AddressProblem::NotUsable(_)) => " not usable",
            Some(AddressProblem::NotAssigned(_)) => " not assigned",
        };
        out
    };
    assigned.into_iter().map(show).collect()
}

#[track_caller]
fn check(addresses: &str, claims: &[&str], expected: &[&str]) {
    assert_eq!(assign(addresses, claims), expected);
}

#[test]
fn the_oldest_gets_the_first_address() {
    check("10.0.0.1,10.0.1.0/24", &["a@3", "b@1", "c@2"], &["a: 10.0.1.2", "b: 10.0.0.1", "c: 10.0.1.1"]);
}

#[test]
fn a_gateway_keeps_its_address() {
    check("10.0.0.0/29", &["new@1", "old@2 has=10.0.0.1"], &["new: 10.0.0.2", "old: 10.0.0.1"]);
    // One that is no longer in the pool is given up; one that two claim is kept by the older.
    check("10.0.0.0/29", &["a@1 has=10.9.0.1"], &["a: 10.0.0.1"]);
    check("10.0.0.0/29", &["a@2 has=10.0.0.5", "b@1 has=10.0.0.5"], &["a: 10.0.0.1", "b: 10.0.0.5"]);
    // Somebody who asks for it does not drive it out.
    check("10.0.0.0/29", &["a@2 has=10.0.0.5", "b@1 want=10.0.0.5"], &["a: 10.0.0.5", "b: 10.0.0.5"]);
}

#[test]
fn requested_addresses() {
    check("10.0.0.0/29", &["a@1 want=10.0.0.4 want=10.0.0.3"], &["a: 10.0.0.4 10.0.0.3"]);
    check("10.0.0.0/29", &["a@1 want=10.0.0.4 want=10.1.0.1"], &["a: 10.0.0.4 not usable"]);
    check("10.0.0.0/29", &["a@1 want=nonsense"], &["a: not usable"]);
    check("10.0.0.0/29", &["a@1 want=any", "b@2 want=10.0.0.1"], &["a: 10.0.0.2", "b: 10.0.0.1"]);
    check("10.0.0.0/29", &["a@1 want=any want=10.0.0.1 has=10.0.0.1 has=10.0.0.6"], &["a: 10.0.0.1 10.0.0.6"]);
}

#[test]
fn with_too_few_addresses_they_are_shared() {
    check("10.0.0.1", &["a@1 80", "b@2 80"], &["a: 10.0.0.1", "b: 10.0.0.1"]);
    check("10.0.0.1,10.0.0.2", &["a@1 80", "b@2 81", "c@3 80"], &["a: 10.0.0.1", "b: 10.0.0.2", "c: 10.0.0.2"]);
    check("10.0.0.1,10.0.0.2", &["a@1 80", "b@2 80", "c@3 80"], &["a: 10.0.0.1", "b: 10.0.0.2", "c: 10.0.0.1"]);
    check("10.0.0.1", &["a@1 want=any want=any"], &["a: 10.0.0.1 not assigned"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// What was assigned is assigned again: after a restart, and whatever the order.
    #[test]
    fn assignments_are_stable(ages in proptest::collection::vec(0..4i64, 1..9), reversed in any::<bool>()) {
        let mut claims: Vec<Claim> = ages.iter().enumerate().map(|(i, age)| claim(&format!("g{i}@{age} 80"))).collect();
        let pool = pool("10.0.0.0/29");
        let first = pool.assign(claims.clone());
        for claim in &mut claims {
            claim.held = first[&claim.name].assigned.clone();
        }
        if reversed {
            claims.reverse();
        }
        // With more Gateways than addresses the youngest share; who shares is decided anew, and the same way.
        prop_assert_eq!(pool.assign(claims), first);
    }
}
