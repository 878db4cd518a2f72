//! Rate limits by the generic cell rate algorithm: a token bucket whose whole state is one word.
//!
//! The word is the theoretical arrival time: when the bucket is full again. A request moves it on by one interval, and
//! may do so while it is not further ahead than the burst. So a bucket is an atomic word that needs no refilling and no
//! lock, and one whose time has passed is as good as none: that is what lets [`Table`] forget.
//!
//! Times are in sixteenths of a nanosecond since a start that the caller chose: an interval is exact to 0.1 % at three
//! million requests a second, and the word lasts 36 years.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An instant or a span, in sixteenths of a nanosecond.
pub type Ticks = u64;

/// Converts; what is too long is the longest there is.
pub fn ticks(time: Duration) -> Ticks {
    Ticks::try_from(time.as_nanos().saturating_mul(16)).unwrap_or(Ticks::MAX)
}

fn duration(ticks: Ticks) -> Duration {
    Duration::from_nanos(ticks.div_ceil(16))
}

/// How much may be asked: so many at once, and one more each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Between two requests; never zero.
    interval: Ticks,
    burst: u32,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Admitted {
        /// So many more may at once.
        remaining: u32,
        /// Then the bucket is full again.
        reset: Duration,
    },
    /// It may not.
    Denied {
        /// The next one may then.
        retry: Duration,
    },
}

impl Quota {
    /// `requests` in each window, and `burst` at once (at least one). None where nothing may be asked at all.
    pub fn new(requests: u32, window: Duration, burst: u32) -> Option<Self> {
        // Rounded up, so that rounding lets nothing more through.
        let interval = ticks(window).checked_div(u64::from(requests))?;
        let exact = interval.saturating_mul(u64::from(requests)) == ticks(window);
        let interval = interval.saturating_add(u64::from(!exact)).max(1);
        Some(Self { interval, burst: burst.max(1) })
    }

    /// Between two requests.
    pub fn interval(self) -> Ticks {
        self.interval
    }

    /// How many may be asked at once.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// How many requests a time is worth.
    pub fn in_window(self, window: Duration) -> u64 {
        (ticks(window).saturating_add(self.interval / 2)) / self.interval
    }

    /// Takes `want` from a bucket, or as many as it has; yields its new word, how many were taken, and when the next
    /// one is there.
    pub fn take(self, word: u64, now: Ticks, want: u32) -> (u64, u32, Ticks) {
        let ahead = word.saturating_sub(now);
        let room = self.interval.saturating_mul(u64::from(self.burst)).saturating_sub(ahead);
        let taken = u32::try_from(room / self.interval).unwrap_or(u32::MAX).min(want);
        let ahead = ahead.saturating_add(self.interval.saturating_mul(u64::from(taken)));
        let next = ahead.saturating_sub(self.interval.saturating_mul(u64::from(self.burst - 1)));
        (now.saturating_add(ahead), taken, next)
    }

    /// One request against a bucket.
    pub fn admit(self, bucket: &AtomicU64, now: Ticks) -> Decision {
        let mut word = bucket.load(Ordering::Relaxed);
        loop {
            let (new, taken, next) = self.take(word, now, 1);
            if taken == 0 {
                return Decision::Denied { retry: duration(next) };
            }
            match bucket.compare_exchange_weak(word, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let ahead = new.saturating_sub(now);
                    let room = self.interval.saturating_mul(u64::from(self.burst)).saturating_sub(ahead);
                    let remaining = u32::try_from(room / self.interval).unwrap_or(u32::MAX);
                    return Decision::Admitted { remaining, reset: duration(ahead) };
                }
                Err(changed) => word = changed,
            }
        }
    }

    /// Gives back what [`Self::admit`] took, for a request that did not go on.
    pub fn give_back(self, bucket: &AtomicU64) {
        bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| word.checked_sub(self.interval)).ok();
    }
}

/// Buckets that are looked at together for a key.
const WAYS: usize = 8;
/// Sets that are made at once, when the first of their keys comes.
const SETS: usize = 8;
const CHUNKS: usize = 1024;

#[derive(Debug, Default)]
struct Slot {
    /// Zero: none.
    key: AtomicU64,
    word: AtomicU64,
}

type Chunk = [[Slot; WAYS]; SETS];

/// Buckets by key: 65,536 at most, in one MiB at most, without a lock.
///
/// A key has its place in a set of eight. Where the set is full the bucket that is the first to be full again is
/// forgotten: mostly it is full already, and nothing is lost. Whoever makes up keys faster than they are forgotten can
/// have others' forgotten early, which lets these ask more, never less.
#[derive(Debug)]
pub struct Table {
    chunks: Box<[OnceLock<Box<Chunk>>]>,
}

impl Default for Table {
    fn default() -> Self {
        Self { chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect() }
    }
}

impl Table {
    /// How many keys are remembered.
    pub const CAPACITY: usize = CHUNKS * SETS * WAYS;

    /// The bucket of a key, which is a good hash with a secret.
    pub fn bucket(&self, key: u64, now: Ticks) -> &AtomicU64 {
        let key = key.max(1);
        let set = self.set(key);
        loop {
            if let Some(slot) = set.iter().find(|slot| slot.key.load(Ordering::Acquire) == key) {
                return &slot.word;
            }
            let seen = set.iter().map(|slot| {
                let old = slot.key.load(Ordering::Acquire);
                (slot, old, slot.word.load(Ordering::Acquire))
            });
            // A full bucket is like one that was never used.
            let victim = seen.min_by_key(|(_, _, word)| word.saturating_sub(now));
            let Some((victim, old, word)) = victim else { return &EMPTY };
            if old == key || victim.key.compare_exchange(old, key, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            if word > now {
                // Unless a request of another key has just moved it: then this one inherits it, and is the stricter for it.
                victim.word.compare_exchange(word, now, Ordering::Relaxed, Ordering::Relaxed).ok();
            }
            return &victim.word;
        }
    }

    fn set(&self, key: u64) -> &[Slot] {
        let at = |shift: u32, of: usize| (key >> shift) as usize % of;
        let chunk = self.chunks.get(at(0, CHUNKS)).map(|chunk| chunk.get_or_init(Box::default));
        chunk.and_then(|chunk| chunk.get(at(32, SETS))).map_or(&[], |set| set)
    }
}

/// Never used: every set has slots.
static EMPTY: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    const SECOND: Ticks = 16_000_000_000;

    fn quota(requests: u32, seconds: u64, burst: u32) -> Quota {
        Quota::new(requests, Duration::from_secs(seconds), burst).unwrap()
    }

    #[test]
    fn a_bucket_over_time() {
        let (quota, bucket) = (quota(10, 10, 3), AtomicU64::new(0));
        let admit = |at: Ticks| quota.admit(&bucket, at);
        let seconds = Duration::from_secs;
        let start = 100 * SECOND;
        assert_eq!(admit(start), Decision::Admitted { remaining: 2, reset: seconds(1) });
        assert_eq!(admit(start), Decision::Admitted { remaining: 1, reset: seconds(2) });
        assert_eq!(admit(start), Decision::Admitted { remaining: 0, reset: seconds(3) });
        assert_eq!(admit(start), Decision::Denied { retry: seconds(1) });
        assert_eq!(admit(start + SECOND / 2), Decision::Denied { retry: seconds(1) / 2 });
        assert_eq!(admit(start + SECOND), Decision::Admitted { remaining: 0, reset: seconds(3) });
        quota.give_back(&bucket);
        assert_eq!(admit(start + SECOND), Decision::Admitted { remaining: 0, reset: seconds(3) });
        // The clock of another thread may be behind.
        assert!(matches!(admit(start), Decision::Denied { .. }));
        assert_eq!(admit(start + 1000 * SECOND), Decision::Admitted { remaining: 2, reset: seconds(1) });
    }

    #[test]
    fn extremes() {
        assert_eq!(Quota::new(0, Duration::from_secs(1), 5), None);
        let forever = Quota::new(1, Duration::MAX, u32::MAX).unwrap();
        let bucket = AtomicU64::new(u64::MAX);
        assert!(matches!(forever.admit(&bucket, u64::MAX), Decision::Admitted { .. }));
        let never = Quota::new(1, Duration::MAX, 1).unwrap();
        assert!(matches!(never.admit(&AtomicU64::new(u64::MAX), 0), Decision::Denied { .. }));
        assert!(Quota::new(u32::MAX, Duration::ZERO, 0).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// In any span no more than the burst and what the span is worth is admitted, and a patient client gets it all.
        #[test]
        fn law(requests in 1u32..2000, burst in 1u32..50, steps in prop::collection::vec(0u64..SECOND / 50, 1..400)) {
            let (quota, bucket) = (quota(requests, 1, burst), AtomicU64::new(0));
            let (mut now, mut times) = (SECOND, Vec::new());
            for step in steps {
                now += step;
                if matches!(quota.admit(&bucket, now), Decision::Admitted { .. }) {
                    times.push(now);
                }
            }
            for (first, at) in times.iter().enumerate() {
                for (last, until) in times.iter().enumerate().skip(first) {
                    let worth = (until - at) / quota.interval + u64::from(burst);
                    prop_assert!((last - first + 1) as u64 <= worth);
                }
            }
        }

        /// Taking several is the same as taking one by one.
        #[test]
        fn several(word in 0u64..SECOND * 4, want in 0u32..40, burst in 1u32..30) {
            let (quota, now) = (quota(10, 1, burst), SECOND * 2);
            let (mut one_by_one, mut count) = (word.max(now), 0);
            for _ in 0..want {
                let (new, taken, _) = quota.take(one_by_one, now, 1);
                one_by_one = new;
                count += taken;
            }
            let (new, taken, next) = quota.take(word, now, want);
            prop_assert_eq!((new, taken), (one_by_one, count));
            prop_assert_eq!(quota.take(new, now + next, 1).1, 1);
            if next > 0 {
                prop_assert_eq!(quota.take(new, now + next - 1, 1).1, 0);
            }
        }
    }

    #[test]
    fn keys_have_buckets_of_their_own() {
        let (table, quota) = (Table::default(), quota(1, 3600, 1));
        let mut random = StdRng::seed_from_u64(3);
        let keys: Vec<u64> = (0..2000).map(|_| random.next_u64()).collect();
        for key in &keys {
            assert!(matches!(quota.admit(table.bucket(*key, SECOND), SECOND), Decision::Admitted { .. }));
        }
        for key in &keys {
            assert!(matches!(quota.admit(table.bucket(*key, SECOND), SECOND), Decision::Denied { .. }));
        }
    }

    /// More keys than there is room for: those that are back to full are forgotten first, and never more than fit are kept.
    #[test]
    fn a_full_table_forgets_the_idle() {
        let table = Table::default();
        let (short, long) = (quota(1, 1, 1), quota(1, 3600, 1));
        let mut random = StdRng::seed_from_u64(4);
        let kept: Vec<u64> = (0..1000).map(|_| random.next_u64()).collect();
        for key in &kept {
            long.admit(table.bucket(*key, SECOND), SECOND);
        }
        for at in 0..4 * Table::CAPACITY as u64 {
            let now = SECOND + at * SECOND / 8192;
            short.admit(table.bucket(random.next_u64(), now), now);
        }
        let now = SECOND * 40;
        let forgotten =
            kept.iter().filter(|key| matches!(long.admit(table.bucket(**key, now), now), Decision::Admitted { .. }));
        assert_eq!(forgotten.count(), 0);
    }

    #[test]
    fn threads_share_a_bucket_and_a_table() {
        let (table, quota) = (Table::default(), quota(1, 3600, 500));
        let admitted: Vec<AtomicU32> = (0..10).map(|_| AtomicU32::new(0)).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..10_000_u64 {
                        let key = round % 10;
                        if matches!(quota.admit(table.bucket(key << 32 | 7, SECOND), SECOND), Decision::Admitted { .. })
                        {
                            admitted[key as usize].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert!(admitted.iter().all(|count| count.load(Ordering::Relaxed) == 500), "{admitted:?}");
    }
}
