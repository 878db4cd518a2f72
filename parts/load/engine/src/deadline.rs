//! A deadline that moves with every request and costs a timer only when it has passed.
//!
//! Registering a timer for each request would cost more than parsing its answer. So the timer is set once, and when it
//! fires it is set again to where the deadline has moved since.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// A deadline of one sender.
pub(crate) struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// One without a timer yet.
    pub(crate) fn new() -> Deadline {
        Deadline(None)
    }

    /// Ready once `deadline` has passed. A deadline that is nearer than an earlier one of this sender is seen late.
    pub(crate) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline.into());
        }
        Poll::Pending
    }
}
