//! A deadline that moves with every request and costs a timer only when it has passed.
//!
//! Registering a timer for each request would cost more than parsing its answer. So the timer is set once, and when it
//! fires it is set again to where the deadline has moved since.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use purlin_load_model::tally::ErrorKind;
use tokio::task::unconstrained;
use tokio::time::{Sleep, sleep_until};

/// A deadline of one sender.
pub(crate) struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// One without a timer yet.
    pub(crate) fn new() -> Deadline {
        Deadline(None)
    }

    /// Polls `advance` until it is ready, or `deadline` has passed.
    pub(crate) async fn bound<T>(
        &mut self,
        deadline: Instant,
        mut advance: impl FnMut(&mut Context<'_>) -> Poll<Result<T, ErrorKind>>,
    ) -> Result<T, ErrorKind> {
        poll_fn(|cx| match advance(cx) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => self.poll(deadline, cx).map(|()| Err(ErrorKind::Timeout)),
        })
        .await
    }

    /// Ready once `deadline` has passed. A deadline that is nearer than an earlier one of this sender is seen late.
    pub(crate) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
        // A timer is never ready for a task that has used up what tokio lets it do at a time, as one does whose server
        // never stops sending: just that is what a deadline is for.
        while Pin::new(&mut unconstrained(sleep.as_mut())).poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline.into());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::coop::{has_budget_remaining, poll_proceed};

    use super::*;

    #[tokio::test]
    async fn a_task_that_never_stops_still_meets_its_deadline() {
        let mut deadline = Deadline::new();
        let busy = |cx: &mut Context<'_>| -> Poll<Result<(), ErrorKind>> {
            while has_budget_remaining() {
                let _ = poll_proceed(cx).map(|progress| progress.made_progress());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        };
        let soon = Instant::now() + Duration::from_millis(5);
        let bound = deadline.bound(soon, busy);
        // The outer limit is a task of its own: it has what the other used up.
        let ended = tokio::select! {
            ended = bound => Some(ended),
            () = unconstrained(tokio::time::sleep(Duration::from_secs(5))) => None,
        };
        assert_eq!(ended, Some(Err(ErrorKind::Timeout)));
        assert!(Instant::now() >= soon);
    }
}
