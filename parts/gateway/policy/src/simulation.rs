//! Clients, a balancer and endpoints in simulated time, from a seed: what a client sees when an endpoint turns bad.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use purlin_traffic::model::{Balancing, Outliers};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::{Ask, EndpointState, Micros, Outcome, eject, pick, review};

const SECOND: Micros = 1_000_000;
/// One endpoint of three turns slow here...
const TURNS: Micros = 10 * SECOND;
/// ... and requests end here.
const END: Micros = 70 * SECOND;
const BETWEEN: Micros = 2_000;
const USUAL: f64 = 10_000.0;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives,
    Answered { endpoint: usize, began: Micros },
    Interval,
}

struct Cluster {
    endpoints: Vec<EndpointState>,
    balancing: Balancing,
    outliers: Option<Outliers>,
}

/// The 99th percentile of latency from when the endpoint turns slow, in milliseconds.
fn p99(balancing: Balancing, outliers: Option<Outliers>, seed: u64) -> f64 {
    let endpoints = (0..3).map(|n| EndpointState::new(&n.to_string(), 0)).collect();
    let cluster = Cluster { endpoints, balancing, outliers };
    let (turn, mut random) = (AtomicUsize::new(0), StdRng::seed_from_u64(seed));
    let mut events = BinaryHeap::from([Reverse((0, Event::Arrives)), Reverse((SECOND, Event::Interval))]);
    let mut seen = Vec::new();
    while let Some(Reverse((now, event))) = events.pop() {
        match event {
            Event::Arrives => {
                let ask =
                    Ask { balancing: &cluster.balancing, slow_start: None, now, hash: None, tried: &[], again: false };
                let endpoint = pick(&cluster.endpoints, &ask, &turn, &mut random).unwrap();
                cluster.endpoints[endpoint].began();
                let mut took = USUAL * random.random_range(0.5..1.5);
                if endpoint == 2 && now >= TURNS {
                    took *= 50.0;
                }
                let answered = Event::Answered { endpoint, began: now };
                events.push(Reverse((now + took as Micros, answered)));
                if now < END {
                    let next = now + random.random_range(0..2 * BETWEEN);
                    events.push(Reverse((next, Event::Arrives)));
                }
            }
            Event::Answered { endpoint, began } => {
                let took = Duration::from_micros(now - began);
                let state = &cluster.endpoints[endpoint];
                state.ended();
                if let Balancing::PeakEwma(decay) = &cluster.balancing {
                    state.latency.observe(now, took, *decay);
                }
                if let Some(settings) = &cluster.outliers {
                    state.outlier.took(took);
                    if state.outlier.ended(settings, Outcome::Good) {
                        eject(&cluster.endpoints, state, settings, now);
                    }
                }
                if began >= TURNS {
                    seen.push(took.as_secs_f64() * 1e3);
                }
            }
            Event::Interval => {
                if let Some(settings) = &cluster.outliers {
                    review(&cluster.endpoints, settings, now);
                }
                if now < END {
                    events.push(Reverse((now + SECOND, Event::Interval)));
                }
            }
        }
    }
    seen.sort_by(f64::total_cmp);
    seen[seen.len() * 99 / 100]
}

fn outliers() -> Outliers {
    Outliers {
        consecutive_errors: Some(5),
        consecutive_gateway_errors: None,
        slow_factor: Some(5.0),
        interval: Duration::from_secs(1),
        base_ejection: Duration::from_secs(30),
        max_ejection: Duration::from_secs(300),
        max_percent: 50,
    }
}

#[test]
fn one_of_three_turns_slow() {
    let decay = Duration::from_secs(10);
    for seed in 0..5 {
        let plain = p99(Balancing::RoundRobin, None, seed);
        let check = |what: &str, balancing, outliers| {
            let p99 = p99(balancing, outliers, seed);
            assert!(p99 * 4.0 <= plain, "{what}, seed {seed}: {p99:.1} ms, round robin {plain:.1} ms");
        };
        check("peak EWMA", Balancing::PeakEwma(decay), None);
        check("least request, ejection", Balancing::LeastRequest, Some(outliers()));
    }
}
