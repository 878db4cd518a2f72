//! Flow control (RFC 9113, section 5.2), for a connection and for a stream alike.

/// The largest window (section 6.9.1).
pub(super) const LARGEST: u32 = (1 << 31) - 1;
/// What a window is at first, unless settings say otherwise.
pub(super) const DEFAULT: u32 = 65_535;

/// What the peer may send. Data counts as consumed when it has arrived, and room is given back in large pieces.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveWindow {
    size: u32,
    used: u32,
}

impl ReceiveWindow {
    pub(super) fn new(size: u32) -> ReceiveWindow {
        ReceiveWindow { size, used: 0 }
    }

    /// `length` has arrived. `Err` when that is more than was allowed; otherwise what is to be given back now, if
    /// anything.
    pub(super) fn take(&mut self, length: usize) -> Result<Option<u32>, ()> {
        // Below 2^31 + 2^24.
        let used = self.used + length as u32;
        if used > self.size {
            return Err(());
        }
        let half = used > self.size / 2;
        self.used = if half { 0 } else { used };
        Ok(half.then_some(used))
    }
}

/// What may be sent to the peer. It is below 0 when a setting took back what had been used.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendWindow(i64);

impl SendWindow {
    pub(super) fn new(size: u32) -> SendWindow {
        SendWindow(i64::from(size))
    }

    pub(super) fn available(self) -> usize {
        self.0.max(0) as usize
    }

    /// `length` is at most what is available.
    pub(super) fn take(&mut self, length: usize) {
        self.0 -= length as i64;
    }

    /// Makes it larger or smaller. `Err` when it becomes larger than windows can be.
    pub(super) fn change(&mut self, by: i64) -> Result<(), ()> {
        self.0 += by;
        if self.0 > i64::from(LARGEST) { Err(()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_by_halves() {
        let mut window = ReceiveWindow::new(100);
        assert_eq!(window.take(50), Ok(None));
        assert_eq!(window.take(1), Ok(Some(51)));
        assert_eq!(window.take(100), Ok(Some(100)));
        assert_eq!(window.take(101), Err(()));
        assert_eq!(ReceiveWindow::new(0).take(0), Ok(None));
    }

    #[test]
    fn a_window_can_be_below_nothing_but_not_too_large() {
        let mut window = SendWindow::new(10);
        window.take(10);
        window.change(-5).unwrap();
        assert_eq!(window.available(), 0);
        window.change(6).unwrap();
        assert_eq!(window.available(), 1);
        assert_eq!(window.change(i64::from(LARGEST)), Err(()));
    }
}
