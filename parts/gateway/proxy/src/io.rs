//! A client's byte stream: TCP or TLS, the bytes read ahead first, with a limit on a client that does not read.
//!
//! It closes with patience: a socket closed with unread bytes in it is reset, and the reset destroys the answer on its
//! way to a client that still sends. So the rest of a request that was answered early is read and thrown away, for a
//! while (RFC 9112, section 9.6).

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use crate::body::Silence;

/// How long a client may go on sending after we have ended.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Io {
    stream: Stream,
    /// Read ahead, to be read again.
    ahead: Bytes,
    stall: Silence,
    unread: Unread,
    closing: Option<Closing>,
}

/// Told when a request was answered that had not been read to its end.
pub(crate) type Unread = Arc<AtomicBool>;

/// Our side has ended, the client's may have not.
#[derive(Debug)]
struct Closing {
    patience: Pin<Box<Sleep>>,
    expected: bool,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Io {
    pub(crate) fn plain(stream: TcpStream, ahead: &[u8], stall: Duration) -> Self {
        Self::new(Stream::Plain(stream), Bytes::copy_from_slice(ahead), stall)
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>, stall: Duration) -> Self {
        Self::new(Stream::Tls(Box::new(stream)), Bytes::new(), stall)
    }

    fn new(stream: Stream, ahead: Bytes, stall: Duration) -> Self {
        Self { stream, ahead, stall: Silence::new(stall), unread: Unread::default(), closing: None }
    }

    pub(crate) fn unread(&self) -> Unread {
        Arc::clone(&self.unread)
    }

    /// Reads what still comes, until the client ends or patience does.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut space);
            let read = match &mut self.stream {
                Stream::Plain(stream) => Pin::new(stream).poll_read(cx, &mut buf),
                Stream::Tls(stream) => Pin::new(stream).poll_read(cx, &mut buf),
            };
            let Some(closing) = &mut self.closing else { return Poll::Ready(()) };
            match read {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => closing.expected = true,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if !closing.expected => return Poll::Ready(()),
                Poll::Pending => return closing.patience.as_mut().poll(cx),
            }
        }
    }

    /// Gives up on a client that takes nothing for too long.
    fn stalled<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match polled {
            Poll::Pending if self.stall.poll_too_long(cx) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
            Poll::Ready(done) => {
                self.stall.broken();
                Poll::Ready(done)
            }
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let n = self.ahead.len().min(buf.remaining());
            buf.put_slice(self.ahead.get(..n).unwrap_or_default());
            self.ahead.advance(n);
            return Poll::Ready(Ok(()));
        }
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        self.stalled(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        self.stalled(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        self.stalled(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing.is_none() {
            ready!(match &mut self.stream {
                Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
                Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            })?;
            let expected = self.unread.load(Ordering::Relaxed);
            self.closing = Some(Closing { patience: Box::pin(sleep(PATIENCE)), expected });
        }
        self.poll_discard(cx).map(Ok)
    }
}
