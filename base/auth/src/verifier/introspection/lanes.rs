//! Which opaque tokens may be asked about now: a state machine without I/O or clock.
//!
//! An issuer that is asked about every token that strangers make up is taken down by them, or through it the valid clients.
//! So questions go in three lanes, each with a limit of its own: tokens that were active before, tokens of clients that
//! have brought an active one before, and the rest. Whoever fills one lane leaves the others free. Beside that a client
//! may fail only so often, until time has passed; tokens that were active before are exempt, whoever brings them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::verifier::cache::{TokenHash, Valid};
use crate::verifier::client::{Client, Failures};
use crate::verifier::recent::Recent;

/// What was not active is not asked about again for this long.
const INACTIVE_LIFE: Duration = Duration::from_secs(10);
/// Tokens and clients that are remembered, of each sort.
const REMEMBERED: usize = 16 * 1024;
/// What an answer takes beside its claims.
const OVERHEAD: usize = 256;
/// So much wider is the lane of known tokens: no stranger gets into it, and answers that came together lapse together.
const KNOWN_WIDTH: usize = 8;

/// Which limit a question counts towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The token was active before.
    Known,
    /// The client had an active token before.
    Trusted,
    /// All others.
    Stranger,
}

/// What is to be done about a token.
#[derive(Clone, Debug)]
pub(crate) enum Begin {
    /// Its issuer has said not long ago that it is active.
    Active(Arc<Valid>),
    /// Or that it is not.
    Inactive,
    /// It is being asked about.
    Join,
    /// Ask about it, then say how that ended.
    Ask,
    /// It must not be asked about now.
    Busy,
}

/// How a question has ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// It is active; that may be believed for so long.
    Active(Arc<Valid>, Duration),
    /// It is not.
    Inactive,
    /// There was no answer.
    Failed,
}

/// The state. Times are since any fixed point and never go back.
#[derive(Debug)]
pub(crate) struct Lanes {
    concurrency: usize,
    active: Recent<TokenHash, Active>,
    inactive: Recent<TokenHash, Duration>,
    trusted: Recent<Client, ()>,
    failures: Failures,
    running: HashMap<TokenHash, (Lane, Client)>,
    /// How many of `running` are in each lane.
    counts: [usize; 3],
}

/// Stays when its time is over, as a sign that the token was active once.
#[derive(Debug)]
struct Active {
    valid: Arc<Valid>,
    until: Duration,
}

impl Lanes {
    /// Up to `concurrency` questions at once for clients that are trusted, half of it for strangers, eight times as many
    /// for tokens that are known; and `bytes` of answers.
    pub(crate) fn new(concurrency: usize, bytes: usize) -> Self {
        Lanes {
            concurrency: concurrency.max(1),
            active: Recent::new(bytes),
            inactive: Recent::new(REMEMBERED),
            trusted: Recent::new(REMEMBERED),
            failures: Failures::default(),
            running: HashMap::new(),
            counts: [0; 3],
        }
    }

    /// A client brings a token.
    pub(crate) fn begin(&mut self, token: &TokenHash, client: Client, now: Duration) -> Begin {
        let known = match self.active.get(token) {
            Some(active) if now < active.until => return Begin::Active(Arc::clone(&active.valid)),
            found => found.is_some(),
        };
        if self.inactive.get(token).is_some_and(|until| now < *until) {
            return Begin::Inactive;
        }
        if self.running.contains_key(token) {
            return Begin::Join;
        }
        let lane = match known {
            true => Lane::Known,
            false if self.trusted.get(&client).is_some() => Lane::Trusted,
            false => Lane::Stranger,
        };
        let most = match lane {
            Lane::Known => self.concurrency.saturating_mul(KNOWN_WIDTH),
            Lane::Trusted => self.concurrency,
            Lane::Stranger => self.concurrency.div_ceil(2),
        };
        if *self.count(lane) >= most || (lane != Lane::Known && !self.failures.charge(client, now)) {
            return Begin::Busy;
        }
        *self.count(lane) += 1;
        self.running.insert(*token, (lane, client));
        Begin::Ask
    }

    /// A question has ended.
    pub(crate) fn finish(&mut self, token: &TokenHash, end: End, now: Duration) {
        let Some((lane, client)) = self.running.remove(token) else { return };
        let count = self.count(lane);
        *count = count.saturating_sub(1);
        let innocent = !matches!(end, End::Inactive);
        match end {
            End::Active(valid, life) => {
                let weight = OVERHEAD.saturating_add(valid.claims.heap());
                drop(self.active.insert(*token, Active { valid, until: now.saturating_add(life) }, weight));
                drop(self.trusted.insert(client, (), 1));
            }
            End::Inactive => {
                self.active.remove(token);
                drop(self.inactive.insert(*token, now.saturating_add(INACTIVE_LIFE), 1));
            }
            End::Failed => {}
        }
        if innocent && lane != Lane::Known {
            self.failures.refund(client);
        }
    }

    fn count(&mut self, lane: Lane) -> &mut usize {
        let [known, trusted, stranger] = &mut self.counts;
        match lane {
            Lane::Known => known,
            Lane::Trusted => trusted,
            Lane::Stranger => stranger,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;
    use crate::verifier::claims::Claims;
    use crate::verifier::client::FAILURES;
    use crate::verifier::jws::Typ;

    const LIFE: Duration = Duration::from_secs(60);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn token(n: u32) -> TokenHash {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        hash
    }

    fn client(n: u8) -> Client {
        Client(u128::from(n) << 32)
    }

    fn active() -> End {
        let claims = Claims::parse(b"{}").unwrap();
        End::Active(Arc::new(Valid { claims, typ: Typ::AccessToken, issuer: "i".into(), leeway: 0 }), LIFE)
    }

    fn check(begin: Begin, expected: &str) {
        assert!(format!("{begin:?}").starts_with(expected), "{begin:?} is not {expected}");
    }

    #[test]
    fn an_answer_is_believed_for_a_while() {
        let mut lanes = Lanes::new(8, 1 << 20);
        check(lanes.begin(&token(1), client(1), s(0)), "Ask");
        check(lanes.begin(&token(1), client(2), s(0)), "Join");
        lanes.finish(&token(1), active(), s(1));
        check(lanes.begin(&token(1), client(2), s(60)), "Active");
        check(lanes.begin(&token(1), client(2), s(61)), "Ask");
        // No answer: closed, and asked again.
        lanes.finish(&token(1), End::Failed, s(62));
        check(lanes.begin(&token(1), client(2), s(62)), "Ask");
        lanes.finish(&token(1), End::Inactive, s(63));
        check(lanes.begin(&token(1), client(2), s(72)), "Inactive");
        check(lanes.begin(&token(1), client(2), s(73)), "Ask");
    }

    #[test]
    fn a_client_may_fail_so_often() {
        let mut lanes = Lanes::new(100, 1 << 20);
        for n in 0..FAILURES {
            check(lanes.begin(&token(n), client(1), s(0)), "Ask");
            lanes.finish(&token(n), End::Inactive, s(0));
        }
        check(lanes.begin(&token(100), client(1), s(0)), "Busy");
        check(lanes.begin(&token(101), client(2), s(0)), "Ask");
        // One more each second; what is no fault of the client's does not count.
        for n in 200..300 {
            check(lanes.begin(&token(n), client(1), s(1)), "Ask");
            lanes.finish(&token(n), if n % 2 == 0 { End::Failed } else { active() }, s(1));
        }
        check(lanes.begin(&token(300), client(1), s(1)), "Ask");
        check(lanes.begin(&token(301), client(1), s(1)), "Busy");
    }

    #[test]
    fn a_full_lane_leaves_the_others() {
        let mut lanes = Lanes::new(8, 1 << 20);
        lanes.begin(&token(1), client(1), s(0));
        lanes.finish(&token(1), active(), s(0));
        for n in 0..4 {
            check(lanes.begin(&token(100 + n), client(50), s(1)), "Ask");
        }
        check(lanes.begin(&token(200), client(51), s(1)), "Busy");
        check(lanes.begin(&token(201), client(1), s(1)), "Ask");
        check(lanes.begin(&token(1), client(52), s(100)), "Ask");
    }

    /// 10,000 random tokens a second from many clients, for some minutes: the tokens that were active go on.
    #[test]
    fn random_tokens_harm_no_valid_ones() {
        for seed in 0..if std::env::var_os("PURLIN_SOAK").is_some() { 100 } else { 2 } {
            let mut random = StdRng::seed_from_u64(seed);
            let mut lanes = Lanes::new(16, 1 << 20);
            let mut running: Vec<(Duration, TokenHash, bool)> = Vec::new();
            for n in 0..30 {
                lanes.begin(&token(n), client(1), s(0));
                lanes.finish(&token(n), active(), s(0));
            }
            let (mut asked, seconds) = (0, 130);
            for millisecond in 0..seconds * 1000 {
                let now = Duration::from_millis(millisecond);
                for (_, hash, good) in running.extract_if(.., |(ends, ..)| *ends <= now) {
                    lanes.finish(&hash, if good { active() } else { End::Inactive }, now);
                }
                // Of one client that the attacker shares an address with, and of thousands of others.
                for _ in 0..10 {
                    let hash = token(random.random_range(1 << 16..u32::MAX));
                    let clients = if random.random() { 2 } else { 5000 };
                    let from = Client(client(1).0 + random.random_range(0..clients));
                    match lanes.begin(&hash, from, now) {
                        Begin::Ask => {
                            asked += 1;
                            running.push((now + Duration::from_millis(random.random_range(5..50)), hash, false));
                        }
                        Begin::Busy | Begin::Join | Begin::Inactive => {}
                        Begin::Active(_) => panic!("a random token is active"),
                    }
                }
                let hash = token(random.random_range(0..30));
                match lanes.begin(&hash, client(1), now) {
                    Begin::Active(_) | Begin::Join => {}
                    Begin::Ask => running.push((now + Duration::from_millis(random.random_range(5..50)), hash, true)),
                    other => panic!("seed {seed}: a valid token is {other:?} at {now:?}"),
                }
                assert!(lanes.running.len() <= 30 + 16 + 8);
                assert_eq!(lanes.counts.iter().sum::<usize>(), lanes.running.len());
            }
            // The lanes of strangers and of the shared address, each full of questions of 5 ms at least.
            assert!(asked <= seconds * 24 * 200, "seed {seed}: {asked}");
        }
    }
}
