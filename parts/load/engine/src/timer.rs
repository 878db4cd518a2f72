//! A timer that is as exact as the system's clock.
//!
//! Tokio's timers have a granularity of a millisecond, which is an age at 10,000 starts a second. This one is a Linux
//! timerfd: the same epoll wakes the thread, within some ten microseconds.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::time::Instant;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

/// A timer of one thread.
pub(crate) struct Timer(AsyncFd<Descriptor>);

/// Its descriptor, as tokio wants to see it.
struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Timer {
    /// Must be called within a runtime.
    pub(crate) fn new() -> io::Result<Timer> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        #[expect(deprecated, reason = "its successor is unsafe; this descriptor lives as long as its registration")]
        Ok(Timer(AsyncFd::new(Descriptor(timer))?))
    }

    /// Waits until `instant`.
    pub(crate) async fn sleep_until(&mut self, instant: Instant) -> io::Result<()> {
        let left = instant.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let expiration = Expiration::OneShot(TimeSpec::from_duration(left));
        self.0.get_ref().0.set(expiration, TimerSetTimeFlags::empty())?;
        loop {
            let mut ready = self.0.readable().await?;
            // Setting it anew forgets an expiration that nobody read; an early event is of such a one.
            ready.clear_ready();
            if Instant::now() >= instant {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_never_wakes_early() {
        let mut timer = Timer::new().unwrap();
        for microseconds in [0, 1, 50, 300, 2000, 100] {
            let instant = Instant::now() + Duration::from_micros(microseconds);
            timer.sleep_until(instant).await.unwrap();
            assert!(Instant::now() >= instant);
        }
    }
}
