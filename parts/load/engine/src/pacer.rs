//! Hands intended starts to senders, each at its instant.
//!
//! One pacer a thread. A sender (a connection, or a stream of one) that is free asks for the next start. Is one due, it
//! takes it at once; else it waits in a queue, and a timer hands each start to the sender that has waited longest. So an
//! arrival is late only if no sender was free, or if this thread did not run; which of the two is told apart here.
//! A start that was handed out is never lost: what no sender took is told by [`Pacer::leftovers`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::timer::Timer;
use purlin_load_model::arrivals::Arrivals;

/// How long after the end of the load starts that were due before it are still handed out, late as they are: an end
/// that comes while a thread is held up must not turn its last starts into requests that were never sent.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

/// An iteration that is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// When it is meant to.
    pub intended: Instant,
    /// Which one of this thread, from 0.
    pub number: u64,
    /// Whether no sender was free at its instant.
    pub busy: bool,
}

/// Where starts come from.
pub(crate) enum Source {
    /// Their instants are known before.
    Open(Box<Arrivals>),
    /// A sender that is free begins.
    Closed,
}

/// Hands intended starts to senders.
pub(crate) struct Pacer(RefCell<State>);

struct State {
    source: Source,
    began: Instant,
    ends: Instant,
    number: u64,
    stopped: bool,
    slots: Vec<Slot>,
    /// Slots that wait for a start, the longest waiting first.
    waiting: VecDeque<usize>,
    /// Of the timer, while no sender waits.
    timer: Option<Waker>,
}

#[derive(Default)]
struct Slot {
    given: Option<Start>,
    waits: bool,
    waker: Option<Waker>,
}

impl Pacer {
    /// One that begins at `began` and gives no start after `ends`.
    pub(crate) fn new(source: Source, began: Instant, ends: Instant, slots: usize) -> Pacer {
        Pacer(RefCell::new(State {
            source,
            began,
            ends,
            number: 0,
            stopped: false,
            slots: (0..slots).map(|_| Slot::default()).collect(),
            waiting: VecDeque::with_capacity(slots),
            timer: None,
        }))
    }

    /// The next start for the sender `slot`; none when the load has ended.
    pub(crate) async fn next(&self, slot: usize) -> Option<Start> {
        poll_fn(|cx| self.0.borrow_mut().poll(slot, Instant::now(), cx)).await
    }

    /// Gives no start from now on, however many are due.
    pub(crate) fn stop(&self) {
        let mut state = self.0.borrow_mut();
        state.stopped = true;
        state.release();
    }

    /// Hands starts to waiting senders until the load has ended.
    pub(crate) async fn run(&self, timer: &mut Timer) -> io::Result<()> {
        loop {
            let next = poll_fn(|cx| self.0.borrow_mut().hand_out(Instant::now(), cx)).await;
            let Some(instant) = next else { return Ok(()) };
            timer.sleep_until(instant).await?;
        }
    }

    /// The starts that no sender took; none are left afterwards.
    pub(crate) fn leftovers(&self) -> Leftovers {
        let state = &mut *self.0.borrow_mut();
        let arrivals = match std::mem::replace(&mut state.source, Source::Closed) {
            Source::Open(arrivals) => Some(arrivals),
            Source::Closed => None,
        };
        let given = state.slots.iter_mut().filter_map(|slot| slot.given.take()).collect();
        Leftovers { given, number: state.number, arrivals }
    }
}

/// Starts that no sender took.
pub(crate) struct Leftovers {
    /// Those that were handed out: they were due.
    pub given: Vec<Start>,
    /// The number of the next one of `arrivals`.
    pub number: u64,
    /// Those that were not, due or not; none with a closed pace.
    pub arrivals: Option<Box<Arrivals>>,
}

impl State {
    fn poll(&mut self, slot: usize, now: Instant, cx: &Context<'_>) -> Poll<Option<Start>> {
        if let Some(start) = self.slots[slot].given.take() {
            return Poll::Ready(Some(start));
        }
        if self.stopped || now >= self.ends + GRACE {
            return Poll::Ready(None);
        }
        let due = match &mut self.source {
            Source::Closed if now >= self.ends => return Poll::Ready(None),
            Source::Closed => Some(now),
            Source::Open(arrivals) => match arrivals.peek() {
                None => return Poll::Ready(None),
                Some(at) => Some(self.began + at).filter(|instant| *instant <= now),
            },
        };
        if let Some(intended) = due {
            // Had others waited, the timer should have given it to one of them.
            let busy = self.waiting.is_empty();
            return Poll::Ready(Some(self.take(intended, busy)));
        }
        let waiter = &mut self.slots[slot];
        waiter.waker = Some(cx.waker().clone());
        if !std::mem::replace(&mut waiter.waits, true) {
            self.waiting.push_back(slot);
        }
        if let Some(timer) = self.timer.take() {
            timer.wake();
        }
        Poll::Pending
    }

    fn take(&mut self, intended: Instant, busy: bool) -> Start {
        if let Source::Open(arrivals) = &mut self.source {
            arrivals.next();
        }
        let number = self.number;
        self.number += 1;
        Start { intended, number, busy }
    }

    /// Gives what is due to those who wait; ready with the next instant to do so, none when the load has ended.
    fn hand_out(&mut self, now: Instant, cx: &Context<'_>) -> Poll<Option<Instant>> {
        loop {
            let Source::Open(arrivals) = &mut self.source else { return self.end_at(now) };
            let next = arrivals.peek().map(|at| self.began + at);
            let Some(intended) = next.filter(|_| !self.stopped) else {
                self.release();
                return Poll::Ready(None);
            };
            if now >= self.ends + GRACE {
                return self.end_at(now);
            }
            if intended > now {
                return Poll::Ready(Some(intended));
            }
            let Some(slot) = self.waiting.pop_front() else {
                // Whoever waits next wakes the timer. The end is the worker's to see.
                self.timer = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let start = self.take(intended, false);
            let slot = &mut self.slots[slot];
            slot.waits = false;
            slot.given = Some(start);
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
    }

    fn end_at(&mut self, now: Instant) -> Poll<Option<Instant>> {
        if now < self.ends && !self.stopped {
            return Poll::Ready(Some(self.ends));
        }
        self.release();
        Poll::Ready(None)
    }

    /// Lets all who wait see that there is nothing to wait for.
    fn release(&mut self) {
        self.waiting.clear();
        for slot in &mut self.slots {
            slot.waits = false;
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
        if let Some(timer) = self.timer.take() {
            timer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use purlin_load_model::arrivals::Shard;
    use purlin_load_model::plan::{Spacing, Stage};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Ten starts, 100 ms apart, and two senders.
    fn pacer(began: Instant) -> Pacer {
        let stages = [Stage { duration: MS * 1000, from: 10.0, to: 10.0 }];
        let arrivals = Arrivals::new(&stages, Spacing::Constant, Shard { index: 0, count: 1 }, 0);
        Pacer::new(Source::Open(Box::new(arrivals)), began, began + MS * 1000, 2)
    }

    fn ask(pacer: &Pacer, slot: usize, now: Instant) -> Poll<Option<Start>> {
        pacer.0.borrow_mut().poll(slot, now, &Context::from_waker(Waker::noop()))
    }

    fn hand_out(pacer: &Pacer, now: Instant) -> Poll<Option<Instant>> {
        pacer.0.borrow_mut().hand_out(now, &Context::from_waker(Waker::noop()))
    }

    #[test]
    fn those_who_wait_get_starts_in_turn() {
        let began = Instant::now();
        let pacer = pacer(began);
        let start = |n: u32, busy| Poll::Ready(Some(Start { intended: began + MS * 100 * n, number: n.into(), busy }));
        assert_eq!(ask(&pacer, 0, began), start(0, true));
        assert_eq!(ask(&pacer, 0, began), Poll::Pending);
        assert_eq!(ask(&pacer, 1, began), Poll::Pending);
        assert_eq!(hand_out(&pacer, began), Poll::Ready(Some(began + MS * 100)));
        assert_eq!(hand_out(&pacer, began + MS * 101), Poll::Ready(Some(began + MS * 200)));
        assert_eq!(ask(&pacer, 1, began + MS * 101), Poll::Pending);
        assert_eq!(ask(&pacer, 0, began + MS * 101), start(1, false));
        // 1 waits, 0 is quicker than the timer: that is no fault of the target.
        assert_eq!(ask(&pacer, 0, began + MS * 200), start(2, false));
        // Nobody waits when 3 and 4 are due.
        assert_eq!(hand_out(&pacer, began + MS * 300), Poll::Ready(Some(began + MS * 400)));
        assert_eq!(ask(&pacer, 1, began + MS * 399), start(3, false));
        assert_eq!(hand_out(&pacer, began + MS * 400), Poll::Pending);
        assert_eq!(ask(&pacer, 1, began + MS * 420), start(4, true));
    }

    #[test]
    fn what_nobody_took_is_left_over() {
        let began = Instant::now();
        let pacer = pacer(began);
        assert!(ask(&pacer, 0, began).is_ready());
        assert_eq!(ask(&pacer, 1, began), Poll::Pending);
        assert_eq!(hand_out(&pacer, began + MS * 100), Poll::Ready(Some(began + MS * 200)));
        pacer.stop();
        assert_eq!(ask(&pacer, 0, began + MS * 250), Poll::Ready(None));
        // The one that was given and not taken, and all that follow.
        let left = pacer.leftovers();
        assert_eq!(left.given, [Start { intended: began + MS * 100, number: 1, busy: false }]);
        assert_eq!((left.number, left.arrivals.unwrap().peek()), (2, Some(MS * 200)));
    }

    #[test]
    fn the_end_is_told_to_all() {
        let began = Instant::now();
        let pacer = pacer(began);
        for n in 0..10 {
            assert!(ask(&pacer, 0, began + MS * 100 * n).is_ready());
        }
        assert_eq!(ask(&pacer, 0, began + MS * 950), Poll::Ready(None));
        assert_eq!(hand_out(&pacer, began + MS * 950), Poll::Ready(None));
        let left = pacer.leftovers();
        assert_eq!((left.given.len(), left.arrivals.unwrap().peek()), (0, None));

        let closed = Pacer::new(Source::Closed, began, began + MS * 10, 1);
        assert!(matches!(ask(&closed, 0, began + MS), Poll::Ready(Some(_))));
        assert_eq!(hand_out(&closed, began + MS), Poll::Ready(Some(began + MS * 10)));
        assert_eq!(ask(&closed, 0, began + MS * 10), Poll::Ready(None));
    }
}
