//! Which endpoint takes a request ([`Balancing`]), with those left out that fail.
//!
//! Endpoints that are left out are passed by for as long as another one is there. Where none is (all unhealthy, or tried
//! already) they are used all the same: a request that may fail is better than one that does. What an endpoint that is
//! passed by would have taken is spread over the others evenly.
//!
//! Costs: one or two draws, whatever the number of endpoints; [`Balancing::ConsistentHash`] a multiplication or three for
//! each endpoint (1,000 endpoints: some 2 µs).

use std::cmp::Ordering;
use std::sync::atomic::{AtomicUsize, Ordering as Memory};
use std::time::Duration;

use purlin_traffic::model::Balancing;
use rand::{Rng, RngExt as _};

use crate::{Candidate, EndpointState, Micros};

/// Draws before the eligible endpoints are counted.
const DRAWS: u32 = 4;
/// What an endpoint with requests under way costs, in microseconds of latency each, while it has not answered yet.
const UNKNOWN: f32 = 1e6;

/// What is asked for.
#[derive(Debug)]
pub struct Ask<'a> {
    /// How it is chosen.
    pub balancing: &'a Balancing,
    /// Of new endpoints.
    pub slow_start: Option<Duration>,
    /// Now.
    pub now: Micros,
    /// What of the request is hashed, for [`Balancing::ConsistentHash`].
    pub hash: Option<u64>,
    /// Endpoints that were tried, and are not tried again if there is another one.
    pub tried: &'a [usize],
    /// They are tried again where there is none.
    pub again: bool,
}

/// The index of the endpoint that takes a request. `turn` counts requests of [`Balancing::RoundRobin`] over all workers.
pub fn pick<C: Candidate>(all: &[C], ask: &Ask<'_>, turn: &AtomicUsize, random: &mut impl Rng) -> Option<usize> {
    if all.len() == 1 && ask.tried.is_empty() {
        return Some(0);
    }
    let untried = |at: usize, _: &EndpointState| !ask.tried.contains(&at);
    among(all, ask, turn, random, |at, state| state.is_in() && untried(at, state))
        .or_else(|| among(all, ask, turn, random, untried))
        .or_else(|| if ask.again { among(all, ask, turn, random, |_, _| true) } else { None })
}

fn among<C: Candidate>(
    all: &[C],
    ask: &Ask<'_>,
    turn: &AtomicUsize,
    random: &mut impl Rng,
    eligible: impl Fn(usize, &EndpointState) -> bool + Copy,
) -> Option<usize> {
    let state = |at: usize| all.get(at).map(Candidate::state);
    match ask.balancing {
        Balancing::RoundRobin => {
            let at = turn.fetch_add(1, Memory::Relaxed).checked_rem(all.len())?;
            let taken = state(at).is_some_and(|state| eligible(at, state) && begun(state, ask, random));
            if taken { Some(at) } else { draw(all, ask, random, eligible) }
        }
        Balancing::Random => draw(all, ask, random, eligible),
        Balancing::LeastRequest => two(all, ask, random, eligible, |a, b| a.active().cmp(&b.active())),
        Balancing::PeakEwma(decay) => {
            let cost = |state: &EndpointState| {
                let (latency, active) = (state.latency.get(ask.now, *decay), state.active());
                if latency == 0.0 { UNKNOWN * active as f32 } else { latency * (active as f32 + 1.0) }
            };
            two(all, ask, random, eligible, |a, b| cost(a).total_cmp(&cost(b)))
        }
        Balancing::ConsistentHash(_) => match ask.hash {
            Some(hash) => {
                let states = all.iter().map(Candidate::state).enumerate();
                let eligible = states.filter(|(at, state)| eligible(*at, state));
                eligible.max_by_key(|(_, state)| state.score(hash)).map(|(at, _)| at)
            }
            None => draw(all, ask, random, eligible),
        },
    }
}

/// The lesser of two random ones.
fn two<C: Candidate>(
    all: &[C],
    ask: &Ask<'_>,
    random: &mut impl Rng,
    eligible: impl Fn(usize, &EndpointState) -> bool + Copy,
    compare: impl Fn(&EndpointState, &EndpointState) -> Ordering,
) -> Option<usize> {
    let first = draw(all, ask, random, eligible)?;
    let Some(second) = draw(all, ask, random, |at, state| at != first && eligible(at, state)) else {
        return Some(first);
    };
    let swap = match compare(all.get(first)?.state(), all.get(second)?.state()) {
        Ordering::Less => false,
        Ordering::Equal => random.random(),
        Ordering::Greater => true,
    };
    Some(if swap { second } else { first })
}

/// Any that is eligible; one that begins more seldom.
fn draw<C: Candidate>(
    all: &[C],
    ask: &Ask<'_>,
    random: &mut impl Rng,
    eligible: impl Fn(usize, &EndpointState) -> bool + Copy,
) -> Option<usize> {
    if all.is_empty() {
        return None;
    }
    for _ in 0..DRAWS {
        let at = random.random_range(0..all.len());
        let state = all.get(at)?.state();
        if eligible(at, state) && begun(state, ask, random) {
            return Some(at);
        }
    }
    let those = || all.iter().map(Candidate::state).enumerate().filter(|(at, state)| eligible(*at, state));
    let count = those().count();
    let nth = if count > 0 { random.random_range(0..count) } else { return None };
    // Another worker may have left one out meanwhile.
    those().nth(nth).or_else(|| those().next()).map(|(at, _)| at)
}

/// Whether an endpoint takes what would be its own, while its share grows.
fn begun(state: &EndpointState, ask: &Ask<'_>, random: &mut impl Rng) -> bool {
    let Some(slow_start) = ask.slow_start else { return true };
    let share = state.share(ask.now, slow_start);
    share >= 1.0 || random.random_bool(share)
}

#[cfg(test)]
mod tests;
