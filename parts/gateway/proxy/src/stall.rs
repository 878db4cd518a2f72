//! HTTP/2 streams whose client takes nothing.
//!
//! On HTTP/1.1 such a client blocks the socket, which [`crate::io`] limits. An HTTP/2 client can leave the socket open
//! and a stream's window shut: hyper then holds the next part of the body and asks for no more, so no timer of the body
//! runs. [`Streams`] runs each stream with a note of when a part was handed over; it drops one whose part is held for too
//! long, which resets that stream and closes its connection to the backend. The others of the connection go on.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

tokio::task_local! {
    /// When this stream's last part was handed over, until it asks for the next.
    static HANDED_OVER: Rc<Cell<Option<Instant>>>;
}

/// Runs the streams of a client's HTTP/2 connection in this thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams {
    /// How long a part of a body may be held.
    pub(crate) limit: Duration,
}

impl<F: Future + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        drop(tokio::task::spawn_local(run(stream, self.limit)));
    }
}

/// A body was asked for its next part, and had one or had not.
pub(crate) fn asked(had_one: bool) {
    // Not set on HTTP/1.1.
    let _ = HANDED_OVER.try_with(|at| at.set(had_one.then(Instant::now)));
}

async fn run<F: Future>(stream: F, limit: Duration) {
    let handed_over = Rc::new(Cell::new(None));
    let mut stream = pin!(HANDED_OVER.scope(Rc::clone(&handed_over), stream));
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(at) = handed_over.get() else { return Poll::Pending };
        let until = at + limit;
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(())
    })
    .await;
}
