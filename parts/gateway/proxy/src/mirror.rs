//! Copies of requests for other backends (`RequestMirror`), whose answers nobody waits for.
//!
//! The parts of a body are handed to its copies as they pass, by reference. A copy whose backend takes them more slowly
//! than the request's own is given up once [`MAX_WAITING`] bytes wait for it; so is one when too many are under way. So
//! nothing that happens to a copy holds up or fails the request. An upgrade is not copied: its bytes could not be.
//!
//! A copy is the request as its own backend gets it, filters applied.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use purlin_gateway_policy::Fraction;
use purlin_telemetry::metrics::Counter;
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::body::BoxError;
use crate::forward::{Onward, choose, request};
use crate::record::Record;
use crate::snapshot::Cluster;
use crate::worker::Worker;

/// Bytes of a body that may wait for a slow copy.
const MAX_WAITING: usize = 256 << 10;
/// Copies that a worker has under way at once.
const MAX_COPIES: usize = 1024;
/// A copy and its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// More of an answer is not read: its connection is closed instead of used again.
const MAX_ANSWER: usize = 1 << 20;

/// Where copies go, and how many.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) fraction: Fraction,
}

/// Sends the copies that are due.
pub(crate) fn copy<'a>(mirrors: impl Iterator<Item = &'a Mirror>, onward: &mut Onward, record: &Record) {
    if onward.upgrade.is_some() {
        return;
    }
    let worker = &record.downstream.worker;
    for mirror in mirrors.filter(|mirror| mirror.fraction.falls()) {
        if Rc::strong_count(&worker.copies) > MAX_COPIES {
            worker.shared.metrics.policies.mirrors_dropped.inc();
            continue;
        }
        let copy = Onward {
            method: onward.method.clone(),
            headers: onward.headers.clone(),
            authority: onward.authority.clone(),
            path: onward.path.clone(),
            upload: onward.upload.copied(worker.shared.limits.body_idle),
            upgrade: None,
        };
        let (version, cluster) = (record.version, Arc::clone(&mirror.cluster));
        let (worker, under_way) = (Rc::clone(worker), Rc::clone(&worker.copies));
        spawn_local(async move {
            let metrics = &worker.shared.metrics.policies;
            let sent = timeout(PATIENCE, send(&worker, &cluster, copy, version)).await;
            let counter: &Counter = match sent {
                Ok(Some(())) => &metrics.mirrors_answered,
                Ok(None) | Err(_) => &metrics.mirrors_failed,
            };
            counter.inc();
            drop(under_way);
        });
    }
}

/// None where it was not answered.
async fn send(worker: &Worker, cluster: &Cluster, copy: Onward, version: http::Version) -> Option<()> {
    let request = request(copy, version, cluster.protocol, None)?;
    let upstream = choose(worker, cluster, None)?;
    let mut lease = upstream.lease(&worker.shared.limits, &worker.shared.metrics, false).await.ok()?;
    let response = lease.send(request).await.ok()?;
    if discard(response.into_body()).await {
        lease.give_back();
    }
    Some(())
}

/// Reads a body to its end; false where it has none in sight.
async fn discard(mut body: Incoming) -> bool {
    let mut read = 0;
    while read <= MAX_ANSWER {
        match std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => return body.is_end_stream(),
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) => return false,
        }
    }
    false
}

#[derive(Debug, Default)]
struct Queue {
    parts: VecDeque<Part>,
    bytes: usize,
    state: State,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Ended,
    GivenUp,
}

/// The end that parts are put in; dropped before the body's end, it gives the copy up.
#[derive(Debug)]
pub(crate) struct Feed(Rc<RefCell<Queue>>);

/// The end that the copy is read from.
#[derive(Debug)]
pub(crate) struct Copied(Rc<RefCell<Queue>>);

/// A way for the parts of a body to a copy.
pub(crate) fn channel() -> (Feed, Copied) {
    let queue = Rc::default();
    (Feed(Rc::clone(&queue)), Copied(queue))
}

impl Feed {
    pub(crate) fn put(&self, frame: &Frame<Bytes>) {
        let mut queue = self.0.borrow_mut();
        if queue.state != State::Open {
            return;
        }
        let part = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Part::Data(data.clone()),
            (None, Some(trailers)) => Part::Trailers(trailers.clone()),
            (None, None) => return,
        };
        if let Part::Data(data) = &part {
            queue.bytes += data.len();
        }
        queue.parts.push_back(part);
        if queue.bytes > MAX_WAITING {
            queue.set(State::GivenUp);
        }
        queue.wake();
    }

    pub(crate) fn end(&self) {
        let mut queue = self.0.borrow_mut();
        if queue.state == State::Open {
            queue.set(State::Ended);
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut queue = self.0.borrow_mut();
        if queue.state == State::Open {
            queue.set(State::GivenUp);
        }
    }
}

impl Queue {
    fn set(&mut self, state: State) {
        self.state = state;
        if state == State::GivenUp {
            self.parts.clear();
        }
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Copied {
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut queue = self.0.borrow_mut();
        match (queue.parts.pop_front(), queue.state) {
            (Some(Part::Data(data)), _) => {
                queue.bytes -= data.len();
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            (Some(Part::Trailers(trailers)), _) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            (None, State::Ended) => Poll::Ready(None),
            (None, State::GivenUp) => Poll::Ready(Some(Err("the copy was given up".into()))),
            (None, State::Open) => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(crate) fn is_end(&self) -> bool {
        let queue = self.0.borrow();
        queue.state == State::Ended && queue.parts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(copied: &mut Copied) -> String {
        match copied.poll(&Context::from_waker(Waker::noop())) {
            Poll::Pending => "pending".to_owned(),
            Poll::Ready(None) => "end".to_owned(),
            Poll::Ready(Some(Err(_))) => "given up".to_owned(),
            Poll::Ready(Some(Ok(frame))) => String::from_utf8_lossy(&frame.into_data().unwrap()).into_owned(),
        }
    }

    #[test]
    fn parts_pass() {
        let (feed, mut copied) = channel();
        assert_eq!(poll(&mut copied), "pending");
        feed.put(&Frame::data(Bytes::from_static(b"a")));
        feed.put(&Frame::data(Bytes::from_static(b"b")));
        assert_eq!([poll(&mut copied), poll(&mut copied), poll(&mut copied)], ["a", "b", "pending"]);
        feed.end();
        drop(feed);
        assert!(copied.is_end());
        assert_eq!(poll(&mut copied), "end");
    }

    #[test]
    fn a_slow_copy_is_given_up() {
        let (feed, mut copied) = channel();
        let part = Bytes::from(vec![0; MAX_WAITING / 2]);
        for _ in 0..3 {
            feed.put(&Frame::data(part.clone()));
        }
        assert!(copied.0.borrow().parts.is_empty());
        assert_eq!(poll(&mut copied), "given up");
    }

    #[test]
    fn a_body_that_breaks_off_is_no_whole_one() {
        let (feed, mut copied) = channel();
        feed.put(&Frame::data(Bytes::from_static(b"a")));
        drop(feed);
        assert_eq!(poll(&mut copied), "given up");
    }
}
