use proptest::prelude::*;
use purlin_traffic::model::HashKey;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::Out;

fn endpoints(n: usize) -> Vec<EndpointState> {
    (0..n).map(|n| EndpointState::new(&format!("10.0.0.{n}:80"), 0)).collect()
}

fn hashed() -> Balancing {
    Balancing::ConsistentHash(HashKey::ClientAddress)
}

fn every() -> [Balancing; 5] {
    [
        Balancing::RoundRobin,
        Balancing::Random,
        Balancing::LeastRequest,
        Balancing::PeakEwma(Duration::from_secs(10)),
        hashed(),
    ]
}

fn ask(balancing: &Balancing) -> Ask<'_> {
    Ask { balancing, slow_start: None, now: 0, hash: None, tried: &[], again: false }
}

/// How many of 10,000 requests each takes, with a hash of its own each, none of which lasts.
fn shares(all: &[EndpointState], ask: &Ask<'_>) -> Vec<u32> {
    let (turn, mut random) = (AtomicUsize::new(0), StdRng::seed_from_u64(1));
    let mut counts = vec![0; all.len()];
    for n in 0..10_000_u64 {
        let ask = Ask { hash: Some(crate::mix(n)), ..*ask };
        counts[pick(all, &ask, &turn, &mut random).unwrap()] += 1;
    }
    counts
}

#[track_caller]
fn check(counts: &[u32], expected: &[u32]) {
    assert_eq!(counts.len(), expected.len());
    let near = |(count, expected): (&u32, &u32)| count.abs_diff(*expected) <= if *expected == 0 { 0 } else { 200 };
    assert!(counts.iter().zip(expected).all(near), "{counts:?}, not {expected:?}");
}

#[test]
fn shares_are_equal() {
    for balancing in every() {
        check(&shares(&endpoints(4), &ask(&balancing)), &[2500; 4]);
    }
}

#[test]
fn what_one_that_is_out_would_take_goes_to_all_others() {
    for balancing in every() {
        let all = endpoints(5);
        all[1].leave_out(Out::Ejected);
        check(&shares(&all, &ask(&balancing)), &[2500, 0, 2500, 2500, 2500]);
        all.iter().for_each(|endpoint| assert!(endpoint.leave_out(Out::Unhealthy)));
        check(&shares(&all, &ask(&balancing)), &[2000; 5]);
    }
}

#[test]
fn what_was_tried_is_not_tried_again_if_there_is_another() {
    for balancing in every() {
        let all = endpoints(3);
        all[2].leave_out(Out::Ejected);
        let (turn, mut random) = (AtomicUsize::new(0), StdRng::seed_from_u64(1));
        let mut with = |tried: &[usize], again| {
            let ask = Ask { tried, again, hash: Some(7), ..ask(&balancing) };
            pick(&all, &ask, &turn, &mut random)
        };
        for _ in 0..20 {
            assert_eq!(with(&[0], false), Some(1));
            assert_eq!(with(&[0, 1], false), Some(2), "it is out, but none is left");
            assert_eq!(with(&[0, 1, 2], false), None);
            assert!(with(&[0, 1, 2], true).is_some());
        }
    }
    assert_eq!(pick(&endpoints(0), &ask(&Balancing::Random), &AtomicUsize::new(0), &mut rand::rng()), None);
}

#[test]
fn a_new_one_begins_slowly() {
    for balancing in &every()[..4] {
        let all = [EndpointState::new("a", 0), EndpointState::new("b", 0), EndpointState::new("c", 100_000_000)];
        let at = |second: u64| {
            let ask = Ask { slow_start: Some(Duration::from_secs(10)), now: second * 1_000_000, ..ask(balancing) };
            shares(&all, &ask)[2]
        };
        let (first, half, whole) = (at(100), at(105), at(110));
        assert!((300..1100).contains(&first), "{balancing:?}: {first}");
        assert!((first + 500..whole - 500).contains(&half), "{balancing:?}: {half}");
        assert!(whole.abs_diff(3333) <= 200, "{balancing:?}: {whole}");
    }
}

#[test]
fn the_lesser_load_is_taken() {
    let all = endpoints(2);
    all[0].began();
    check(&shares(&all, &ask(&Balancing::LeastRequest)), &[0, 10_000]);
    let decay = Duration::from_secs(10);
    for (endpoint, ms) in all.iter().zip([10, 50]) {
        endpoint.latency.observe(0, Duration::from_millis(ms), decay);
    }
    // Two at 10 ms each cost less than one at 50.
    check(&shares(&all, &ask(&Balancing::PeakEwma(decay))), &[10_000, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A key moves only when its endpoint goes, or to an endpoint that comes.
    #[test]
    fn keys_stay(hash: u64, n in 2_usize..20, gone in 0_usize..20) {
        let gone = gone % n;
        let balancing = hashed();
        let ask = Ask { hash: Some(hash), ..ask(&balancing) };
        let of = |all: &[EndpointState]| pick(all, &ask, &AtomicUsize::new(0), &mut rand::rng()).unwrap();
        let before = of(&endpoints(n));
        let out = endpoints(n);
        out[gone].leave_out(Out::Ejected);
        let after = of(&out);
        prop_assert_eq!(before == gone, before != after);
        let mut more = endpoints(n + 1);
        let with_more = of(&more);
        prop_assert!(with_more == before || with_more == n);
        // Their order does not matter.
        more.reverse();
        prop_assert_eq!(of(&more), n - with_more);
    }
}
