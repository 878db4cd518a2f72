//! A target that misbehaves as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// What a target does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Sends these bytes.
    Answer(Vec<u8>),
    /// As above, but during the second half of each such period it answers nobody.
    Stall(Vec<u8>, Duration),
    /// Sends these bytes one by one, with this pause between them.
    Drip(Vec<u8>, Duration),
    /// Never answers.
    Silent,
    /// Resets the connection.
    Reset,
    /// Closes the connection.
    Close,
    /// Sends a header for ever.
    Endless,
}

/// A target on loopback, until it is dropped.
pub(crate) struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// How many requests it has got.
    pub requests: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer that keeps the connection.
pub(crate) fn ok() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Token: abc\r\n\r\nhello".to_vec()
}

impl Target {
    /// Starts one.
    pub(crate) async fn start(manner: Manner) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let counter = requests.clone();
        let began = Instant::now();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, manner.clone(), counter.clone(), began));
            }
        });
        Target { address, requests, task }
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, requests: Arc<AtomicU64>, began: Instant) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut seen = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        seen.extend_from_slice(&buffer[..read]);
        while let Some(end) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            seen.drain(..end + 4);
            requests.fetch_add(1, Ordering::Relaxed);
            answer(&mut stream, &manner, began).await?;
        }
    }
}

async fn answer(stream: &mut TcpStream, manner: &Manner, began: Instant) -> Option<()> {
    match manner {
        Manner::Answer(bytes) => stream.write_all(bytes).await.ok(),
        Manner::Stall(bytes, period) => {
            let into = began.elapsed().as_nanos() % period.as_nanos();
            if into >= period.as_nanos() / 2 {
                let rest = period.as_nanos() - into;
                sleep_until(Instant::now() + Duration::from_nanos(rest as u64)).await;
            }
            stream.write_all(bytes).await.ok()
        }
        Manner::Drip(bytes, pause) => {
            for byte in bytes {
                stream.write_all(&[*byte]).await.ok()?;
                sleep(*pause).await;
            }
            Some(())
        }
        Manner::Silent => std::future::pending().await,
        Manner::Reset => {
            let _ = stream.set_zero_linger();
            None
        }
        Manner::Close => None,
        Manner::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await.ok()?;
            loop {
                stream.write_all(&[b'x'; 4096]).await.ok()?;
            }
        }
    }
}
