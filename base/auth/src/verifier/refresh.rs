//! When an issuer's keys are fetched: a state machine without I/O, clock or randomness of its own.
//!
//! - In the background, each 0.75 to 0.9 of the interval after the last start, so that a key that is published one interval
//!   ahead of its use is known before it is used, the time of the fetch included.
//! - By force, when a token names a key that is not known: at most once in [`GAP`], counted from whatever fetch was last.
//! - After a failure, later and later. Keys that are there stay; there is no time after which they are dropped.
//!
//! Whoever sends tokens can cause a fetch in [`GAP`] and no more. A name of a key that a fetch did not bring causes none
//! for a while, twice as long each time, so that a client with an old token does not keep an issuer busy.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use super::recent::Recent;

/// Between two fetches, once there are keys.
pub const GAP: Duration = Duration::from_secs(30);

/// How many names of unknown keys are remembered.
const MISSES: usize = 2048;

/// How often to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    interval: Duration,
    gap: Duration,
    retry: Duration,
}

impl Pace {
    /// A key that is published this long ahead of its use is never unknown; a minute at least, a day at most.
    pub fn every(interval: Duration) -> Pace {
        let interval = interval.clamp(Duration::from_secs(60), Duration::from_secs(86_400));
        Pace { interval, gap: GAP, retry: Duration::from_secs(1) }
    }

    /// A fetch may take this long.
    pub fn timeout(&self) -> Duration {
        (self.interval / 10).min(Duration::from_secs(10))
    }

    /// For tests that run in real time.
    #[cfg(test)]
    pub(crate) fn quick() -> Pace {
        let [interval, gap, retry] = [60_000, 1, 1].map(Duration::from_millis);
        Pace { interval, gap, retry }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Pace::every(Duration::from_secs(300))
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Fetch, then say how it ended.
    Fetch,
    /// Nothing before that time, unless something asks.
    Sleep(Duration),
}

/// What becomes of a question for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A fetch runs, or begins at that time.
    At(Duration),
    /// The key was looked for not long ago.
    InVain,
}

/// The state. Times are since any fixed point and never go back; `random` is from 0 to 1.
#[derive(Debug)]
pub struct Refresh {
    pace: Pace,
    /// When the last fetch began.
    started: Option<Duration>,
    running: bool,
    has_keys: bool,
    failures: u32,
    /// When the next fetch begins that nobody asks for.
    due: Duration,
    /// Somebody asks.
    wanted: bool,
    misses: Recent<u64, Miss>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Miss {
    asked: Duration,
    count: u32,
    until: Duration,
}

impl Refresh {
    /// Fetches at once.
    pub fn new(pace: Pace) -> Self {
        Refresh {
            pace,
            started: None,
            running: false,
            has_keys: false,
            failures: 0,
            due: Duration::ZERO,
            wanted: false,
            misses: Recent::new(MISSES),
            hasher: RandomState::new(),
        }
    }

    /// What to do now. After [`Step::Fetch`] comes [`Refresh::finished`].
    pub fn step(&mut self, now: Duration) -> Step {
        if self.running {
            return Step::Sleep(Duration::MAX);
        }
        let at = self.next();
        if now < at {
            return Step::Sleep(at);
        }
        self.started = Some(now);
        self.running = true;
        self.wanted = false;
        Step::Fetch
    }

    /// The fetch has ended; `good` when there are keys by it.
    pub fn finished(&mut self, now: Duration, good: bool, random: f64) {
        let random = random.clamp(0.0, 1.0);
        self.running = false;
        let started = self.started.unwrap_or(now);
        if good {
            self.failures = 0;
            self.has_keys = true;
            self.due = started.saturating_add(self.pace.interval.mul_f64(0.75 + 0.15 * random));
            return;
        }
        let (first, most) = match self.has_keys {
            true => (self.pace.gap, self.pace.interval),
            false => (self.pace.retry, self.pace.gap),
        };
        let wait = first.saturating_mul(1 << self.failures.min(16)).min(most);
        self.failures = self.failures.saturating_add(1);
        self.due = now.saturating_add(wait.mul_f64(1.0 + 0.25 * random));
    }

    /// A token names a key that is not known.
    pub fn ask(&mut self, kid: &str, now: Duration) -> Ask {
        let key = self.hasher.hash_one(kid);
        let fetched = self.started.filter(|_| !self.running && self.failures == 0);
        match self.misses.get(&key) {
            Some(miss) if now < miss.until => return Ask::InVain,
            // A fetch that began after the last question has not brought it.
            Some(miss) if fetched.is_some_and(|started| started >= miss.asked) => {
                let wait = self.pace.gap.saturating_mul(1 << miss.count.min(16)).min(self.pace.interval);
                let until = fetched.unwrap_or(now).saturating_add(wait);
                *miss = Miss { asked: now, count: miss.count.saturating_add(1), until };
                if now < until {
                    return Ask::InVain;
                }
            }
            Some(_) => {}
            None => drop(self.misses.insert(key, Miss { asked: now, count: 0, until: Duration::ZERO }, 1)),
        }
        if self.running {
            return Ask::At(now);
        }
        self.wanted = true;
        Ask::At(self.next().max(now))
    }

    fn next(&self) -> Duration {
        match self.started {
            Some(started) if self.wanted => started.saturating_add(self.pace.gap).min(self.due),
            _ => self.due,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    fn s(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_stale_name_is_asked_for_less_and_less() {
        let mut refresh = Refresh::new(Pace::default());
        let fetch = |refresh: &mut Refresh, at: f64| {
            assert_eq!(refresh.step(s(at)), Step::Fetch, "{at}");
            refresh.finished(s(at), true, 0.0);
        };
        fetch(&mut refresh, 0.0);
        assert_eq!(refresh.ask("old", s(40.0)), Ask::At(s(40.0)));
        fetch(&mut refresh, 40.0);
        assert_eq!(refresh.ask("old", s(41.0)), Ask::InVain);
        assert_eq!(refresh.ask("other", s(41.0)), Ask::At(s(70.0)));
        assert_eq!(refresh.step(s(41.0)), Step::Sleep(s(70.0)));
        fetch(&mut refresh, 70.0);
        assert_eq!(refresh.ask("old", s(71.0)), Ask::InVain);
        assert_eq!(refresh.step(s(71.0)), Step::Sleep(s(295.0)));
        // 60 s after the fetch of second 70, which was the second in vain.
        assert_eq!(refresh.ask("old", s(129.0)), Ask::InVain);
        assert_eq!(refresh.ask("old", s(131.0)), Ask::At(s(131.0)));
    }

    #[test]
    fn before_the_first_keys_it_tries_often() {
        let mut refresh = Refresh::new(Pace::default());
        let (mut now, mut starts) = (0.0, Vec::new());
        while starts.len() < 8 {
            match refresh.step(s(now)) {
                Step::Fetch => {
                    starts.push(now as u32);
                    refresh.finished(s(now), false, 0.0);
                }
                Step::Sleep(at) => now = at.as_secs_f64(),
            }
        }
        assert_eq!(starts, [0, 1, 3, 7, 15, 31, 61, 91]);
    }

    /// An issuer, clients and the state machine over some hours.
    struct World {
        random: StdRng,
        refresh: Refresh,
        now: f64,
        /// The names that the verifier has.
        known: Vec<u32>,
        /// From when to when the issuer publishes each.
        published: Vec<(f64, f64)>,
        /// When the issuer cannot be reached.
        down: (f64, f64),
        /// The fetch that runs: when it ends and what it brings.
        running: Option<(f64, Option<Vec<u32>>)>,
        starts: Vec<f64>,
        first_good: f64,
    }

    impl World {
        fn new(seed: u64) -> Self {
            World {
                random: StdRng::seed_from_u64(seed),
                refresh: Refresh::new(Pace::every(s(300.0))),
                now: 0.0,
                known: Vec::new(),
                published: vec![(0.0, f64::MAX)],
                down: (f64::MAX, f64::MAX),
                running: None,
                starts: Vec::new(),
                first_good: f64::MAX,
            }
        }

        /// Goes on to `until`, asking for unknown keys `flood` times a second about.
        fn run(&mut self, until: f64, flood: f64) {
            while self.now < until {
                let ends = self.running.as_ref().map_or(f64::MAX, |(ends, _)| *ends);
                if ends <= self.now {
                    let (_, keys) = self.running.take().unwrap();
                    if keys.is_some() {
                        self.first_good = self.first_good.min(self.now);
                    }
                    self.refresh.finished(s(self.now), keys.is_some(), self.random.random());
                    self.known = keys.unwrap_or_else(|| self.known.clone());
                }
                let next = match self.refresh.step(s(self.now)) {
                    Step::Sleep(at) => at.as_secs_f64(),
                    Step::Fetch => {
                        assert!(self.running.is_none(), "two fetches at once");
                        self.starts.push(self.now);
                        self.running = Some(self.fetch());
                        continue;
                    }
                };
                let question = match flood > 0.0 {
                    true => self.now + self.random.random_range(0.0..2.0 / flood),
                    false => f64::MAX,
                };
                // Times of the state machine are nanoseconds.
                let ends = self.running.as_ref().map_or(f64::MAX, |(ends, _)| *ends);
                self.now = (next + 1e-6).min(question).min(ends).min(until);
                if self.now == question {
                    let kid = format!("random {}", self.random.random_range(0..5000));
                    self.refresh.ask(&kid, s(self.now));
                }
            }
        }

        fn fetch(&mut self) -> (f64, Option<Vec<u32>>) {
            let ends = self.now + self.random.random_range(0.01..9.9);
            // What is published when the issuer reads the request, which is at once: the worst case.
            let keys = (0..).zip(&self.published).filter(|(_, (from, to))| *from <= self.now && self.now < *to);
            let up = !(self.down.0..self.down.1).contains(&self.now);
            (ends, up.then(|| keys.map(|(kid, _)| kid).collect()))
        }

        fn check_gaps(&self) {
            for pair in self.starts.windows(2) {
                let gap = pair[1] - pair[0];
                assert!(pair[0] < self.first_good || gap >= 30.0 - 1e-5, "a gap of {gap} s at {}", pair[0]);
            }
        }
    }

    fn seeds() -> u64 {
        if std::env::var_os("PURLIN_SOAK").is_some() { 20_000 } else { 200 }
    }

    #[test]
    fn a_key_that_is_announced_is_never_unknown() {
        for seed in 0..seeds() {
            let mut world = World::new(seed);
            let flood = world.random.random_range(0.0..3.0);
            let from = world.random.random_range(20.0..2000.0);
            world.run(from, flood);
            world.published.push((from, f64::MAX));
            world.run(from + 300.0, flood);
            assert!(world.known.contains(&1), "seed {seed}");
            world.check_gaps();
        }
    }

    #[test]
    fn a_key_that_is_not_announced_is_known_in_half_a_minute() {
        for seed in 0..seeds() {
            let mut world = World::new(seed);
            let flood = world.random.random_range(0.0..20.0);
            let from = world.random.random_range(50.0..2000.0);
            world.run(from, flood);
            world.published.push((from, f64::MAX));
            world.refresh.ask("1", s(world.now));
            // A fetch that runs may have begun too early; then the gap; then a fetch takes up to 9.9 s.
            for _ in 0..4 {
                world.run(world.now + 10.0, flood);
                if !world.known.contains(&1) {
                    world.refresh.ask("1", s(world.now));
                }
            }
            assert!(world.known.contains(&1), "seed {seed}");
            let learned = world.starts.iter().find(|start| **start >= from).unwrap();
            assert!(learned - from <= 30.0 + 1e-5, "seed {seed}: {}", learned - from);
            world.check_gaps();
        }
    }

    #[test]
    fn keys_outlive_their_issuer() {
        for seed in 0..seeds() {
            let mut world = World::new(seed);
            let flood = world.random.random_range(0.0..5.0);
            world.run(40.0, flood);
            let from = world.random.random_range(40.0..500.0);
            world.down = (from, from + 3600.0);
            world.run(from + 3600.0, flood);
            assert_eq!(world.known, [0], "seed {seed}");
            world.published[0].1 = world.now;
            world.published.push((world.now, f64::MAX));
            world.run(world.now + 400.0, flood);
            assert_eq!(world.known, [1], "seed {seed}");
            world.check_gaps();
        }
    }
}
