//! A response on its way through a coding.
//!
//! Bytes are gathered while the backend has more at hand; when it has not, what was taken is flushed and sent. So large
//! bodies compress well, and an event of a stream (server-sent events) is never held back.

use std::mem::take;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, ETAG};
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body as _, Frame};
use purlin_gateway_policy::Encoder;
use purlin_traffic::model::Coding;

use crate::body::{BoxError, Download, Out};

/// So much is sent in one part.
const PART: usize = 16 << 10;
/// After so many bytes of the backend others have their turn.
const TURN: usize = 128 << 10;

#[derive(Debug)]
pub(crate) struct Coded {
    pub(crate) download: Box<Download>,
    /// None once it has ended.
    encoder: Option<Encoder>,
    out: Vec<u8>,
    /// Something was taken since the last flush.
    unflushed: bool,
    trailers: Option<HeaderMap>,
    sent: u64,
}

/// Compresses an answer; as it is, where it has no body or memory fails.
pub(crate) fn code(answer: Response<Out>, coding: Coding) -> Response<Out> {
    let (mut head, body) = answer.into_parts();
    let (download, encoder) = match (body, Encoder::new(coding)) {
        (Out::Stream(download), Ok(encoder)) if !download.inner.is_end_stream() => (download, encoder),
        (body, _) => return Response::from_parts(head, body),
    };
    head.headers.remove(CONTENT_LENGTH);
    head.headers.remove(ACCEPT_RANGES);
    head.headers.insert(CONTENT_ENCODING, Encoder::name(coding));
    if let Some(tag) = head.headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/")) {
        match HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
            Ok(weak) => head.headers.insert(ETAG, weak),
            Err(_) => head.headers.remove(ETAG),
        };
    }
    let (out, trailers) = (Vec::new(), None);
    let coded = Coded { download, encoder: Some(encoder), out, unflushed: false, trailers, sent: 0 };
    Response::from_parts(head, Out::Coded(Box::new(coded)))
}

impl Coded {
    pub(crate) fn is_end(&self) -> bool {
        self.encoder.is_none() && self.out.is_empty() && self.trailers.is_none()
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = self.poll_coded(cx);
        // What the client gets counts, not what the backend sent.
        self.download.record.bytes_out = self.sent;
        polled
    }

    fn poll_coded(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut taken = 0;
        while let Some(encoder) = &mut self.encoder {
            let came_out = match self.download.poll(cx) {
                Poll::Pending if self.unflushed => {
                    self.unflushed = false;
                    encoder.flush()
                }
                Poll::Pending => return self.part().map_or(Poll::Pending, |part| Poll::Ready(Some(Ok(part)))),
                Poll::Ready(Some(Err(error))) => {
                    self.encoder = None;
                    self.out.clear();
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => self.end(),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        taken += data.len();
                        self.unflushed = true;
                        encoder.write(&data)
                    }
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        self.end()
                    }
                },
            };
            match came_out {
                Ok(bytes) if self.out.is_empty() => self.out = bytes,
                Ok(bytes) => self.out.extend_from_slice(&bytes),
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
            if self.out.len() >= PART || (!self.unflushed && !self.out.is_empty()) {
                break;
            }
            if taken >= TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(self.part().or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn end(&mut self) -> std::io::Result<Vec<u8>> {
        self.unflushed = false;
        self.encoder.take().map_or(Ok(Vec::new()), Encoder::finish)
    }

    fn part(&mut self) -> Option<Frame<Bytes>> {
        if self.out.is_empty() {
            return None;
        }
        let part = Bytes::from(take(&mut self.out));
        self.sent += part.len() as u64;
        Some(Frame::data(part))
    }
}
