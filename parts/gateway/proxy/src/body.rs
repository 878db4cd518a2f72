//! Bodies on their way: nothing is copied, but bytes are counted, silence is limited and ends are noticed.
//!
//! [`Upload`] is a client's body on its way to an endpoint, [`Out`] what a client gets. The upload's state is shared
//! with the exchange, which times the response from the last byte sent.

use std::cell::Cell;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use crate::answer::Failure;
use crate::coded::Coded;
use crate::headers::strip_trailers;
use crate::mirror::{Copied, Feed, channel};
use crate::pool::Lease;
use crate::record::Record;
use crate::stall;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A limit on silence; its timer exists only once there is some.
#[derive(Debug)]
pub(crate) struct Silence {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    since: bool,
}

impl Silence {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, timer: None, since: false }
    }

    /// Something moved.
    pub(crate) fn broken(&mut self) {
        self.since = false;
    }

    /// Nothing moved: true when that is so for too long. Wakes the task then.
    pub(crate) fn poll_too_long(&mut self, cx: &mut Context<'_>) -> bool {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.limit)));
        if !self.since {
            self.since = true;
            timer.as_mut().reset(Instant::now() + self.limit);
        }
        timer.as_mut().poll(cx).is_ready()
    }
}

/// How far an upload is.
#[derive(Debug)]
pub(crate) struct UploadState {
    pub(crate) bytes: Cell<u64>,
    /// The last time that something of it moved.
    pub(crate) moved: Cell<Instant>,
    /// Why it will not be read to its end, through the client's fault.
    pub(crate) failed: Cell<Option<Failure>>,
    /// All of it has been read.
    pub(crate) ended: Cell<bool>,
}

#[derive(Debug)]
pub(crate) struct Upload {
    inner: Source,
    h2: bool,
    state: Rc<UploadState>,
    silence: Silence,
    /// Bytes that may come, where a policy says so.
    limit: Option<u64>,
    /// Copies of it that are made on the way.
    copies: Vec<Feed>,
}

/// Where an upload comes from.
#[derive(Debug)]
enum Source {
    Client(Incoming),
    /// Of another upload; its size as far as it is known.
    Copy(Copied, SizeHint),
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self {
            Self::Client(body) => Pin::new(body).poll_frame(cx).map_err(BoxError::from),
            Self::Copy(copied, _) => copied.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Client(body) => body.is_end_stream(),
            Self::Copy(copied, _) => copied.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Client(body) => body.size_hint(),
            Self::Copy(_, hint) => *hint,
        }
    }
}

impl Upload {
    pub(crate) fn new(inner: Incoming, version: Version, limit: Duration) -> (Self, Rc<UploadState>) {
        let state = Rc::new(UploadState {
            bytes: Cell::new(0),
            moved: Cell::new(Instant::now()),
            failed: Cell::new(None),
            ended: Cell::new(inner.is_end_stream()),
        });
        let h2 = version == Version::HTTP_2;
        let (inner, silence) = (Source::Client(inner), Silence::new(limit));
        (Self { inner, h2, state: Rc::clone(&state), silence, limit: None, copies: Vec::new() }, state)
    }

    /// A copy, which gets the parts of this one as they pass.
    pub(crate) fn copied(&mut self, limit: Duration) -> Self {
        let (feed, copied) = channel();
        if self.is_end_stream() {
            feed.end();
        } else {
            self.copies.push(feed);
        }
        let state = Rc::new(UploadState {
            bytes: Cell::new(0),
            moved: Cell::new(Instant::now()),
            failed: Cell::new(None),
            ended: Cell::new(false),
        });
        let (inner, silence) = (Source::Copy(copied, self.size_hint()), Silence::new(limit));
        Self { inner, h2: false, state, silence, limit: None, copies: Vec::new() }
    }

    /// Ends in an error after so many bytes.
    pub(crate) fn limit(&mut self, bytes: u64) {
        self.limit = Some(bytes);
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Poll::Ready(next) = this.inner.poll_frame(cx) else {
            if this.silence.poll_too_long(cx) {
                this.state.failed.set(Some(Failure::UPLOAD));
                return Poll::Ready(Some(Err("the client stopped sending".into())));
            }
            return Poll::Pending;
        };
        this.silence.broken();
        this.state.moved.set(Instant::now());
        let broken_off = next.is_none() && this.h2 && !this.inner.is_end_stream();
        this.state.ended.set(!broken_off && (this.inner.is_end_stream() || next.is_none()));
        Poll::Ready(match next {
            None if broken_off => {
                this.state.failed.set(Some(Failure::UPLOAD));
                Some(Err(BROKEN_OFF.into()))
            }
            None => {
                this.copies.drain(..).for_each(|copy| copy.end());
                None
            }
            Some(Ok(frame)) => {
                let frame = counted(frame, |n| this.state.bytes.set(this.state.bytes.get() + n));
                if this.limit.is_some_and(|limit| this.state.bytes.get() > limit) {
                    this.state.ended.set(false);
                    this.state.failed.set(Some(Failure::BODY_TOO_LARGE));
                    return Poll::Ready(Some(Err("the body is larger than the route allows".into())));
                }
                this.copies.iter().for_each(|copy| copy.put(&frame));
                if this.inner.is_end_stream() {
                    this.copies.drain(..).for_each(|copy| copy.end());
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                this.state.failed.set(Some(if malformed(&*error) { Failure::BAD_UPLOAD } else { Failure::UPLOAD }));
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

const BROKEN_OFF: &str = "the stream was reset before its end";

/// Whether a body has no more parts because its HTTP/2 stream was reset: where the code is NO_ERROR, hyper calls that an
/// end as any other, and what was cut would be passed on as whole.
fn breaks_off(body: &Incoming, h2: bool) -> bool {
    h2 && !body.is_end_stream()
}

/// Whether a body cannot be read because of what was sent, not because sending ended: hyper wraps an I/O error then.
fn malformed(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let kinds = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.into_iter().any(|kind| matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
}

fn counted(mut frame: Frame<Bytes>, count: impl FnOnce(u64)) -> Frame<Bytes> {
    if let Some(data) = frame.data_ref() {
        count(data.len() as u64);
    } else if let Some(trailers) = frame.trailers_mut() {
        strip_trailers(trailers);
    }
    frame
}

/// What a client gets. The record is written when it is dropped.
#[derive(Debug)]
pub(crate) enum Out {
    /// Made here.
    Local { data: Option<Bytes>, record: Option<Box<Record>> },
    /// From an endpoint.
    Stream(Box<Download>),
    /// The same, compressed.
    Coded(Box<Coded>),
}

/// A response on its way from an endpoint.
#[derive(Debug)]
pub(crate) struct Download {
    pub(crate) inner: Incoming,
    pub(crate) h2: bool,
    /// The connection that it comes from, until it may serve another request.
    pub(crate) lease: Option<Lease>,
    pub(crate) record: Box<Record>,
    pub(crate) silence: Silence,
    /// When the route's timeouts end it.
    pub(crate) deadline: Option<Pin<Box<Sleep>>>,
}

impl Download {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(next) = Pin::new(&mut self.inner).poll_frame(cx) else {
            let late = self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
            if late || self.silence.poll_too_long(cx) {
                self.record.flag = "response_timeout";
                self.lease = None;
                return Poll::Ready(Some(Err("the response took too long".into())));
            }
            return Poll::Pending;
        };
        self.silence.broken();
        Poll::Ready(match next {
            None if breaks_off(&self.inner, self.h2) => {
                self.record.flag = "upstream_broke_off";
                self.lease = None;
                Some(Err(BROKEN_OFF.into()))
            }
            None => {
                self.finish();
                None
            }
            Some(Ok(frame)) => {
                let frame = counted(frame, |n| self.record.bytes_out += n);
                if self.inner.is_end_stream() {
                    self.finish();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                self.record.flag = "upstream_broke_off";
                self.lease = None;
                Some(Err(error.into()))
            }
        })
    }

    fn finish(&mut self) {
        self.record.complete = true;
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // A body that ends with the head (HEAD, 204, 304, length 0) may never be asked for.
        if self.inner.is_end_stream() {
            self.finish();
        }
    }
}

impl Out {
    /// What is remembered of its request; a tunnel keeps that to itself.
    pub(crate) fn record(&mut self) -> Option<&mut Record> {
        match self {
            Self::Local { record, .. } => record.as_deref_mut(),
            Self::Stream(download) => Some(&mut download.record),
            Self::Coded(coded) => Some(&mut coded.download.record),
        }
    }
}

impl Body for Out {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = match &mut *self {
            Self::Local { data, .. } => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            Self::Stream(download) => download.poll(cx),
            Self::Coded(coded) => coded.poll(cx),
        };
        stall::asked(polled.is_ready());
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Local { data, .. } => data.is_none(),
            Self::Stream(download) => download.inner.is_end_stream(),
            Self::Coded(coded) => coded.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Local { data, .. } => SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64)),
            Self::Stream(download) => download.inner.size_hint(),
            Self::Coded(_) => SizeHint::default(),
        }
    }
}
