//! A server to load that counts what arrives, and stops to answer when it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use purlin_testkit::{PATIENCE, wait_until};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The server, gone when dropped.
pub(super) struct Target {
    address: SocketAddr,
    counts: Arc<Counts>,
    _serving: JoinSet<()>,
}

struct Counts {
    requests: AtomicU64,
    answers: AtomicU64,
}

impl Target {
    /// Starts one that answers all requests.
    pub(super) async fn start() -> anyhow::Result<Target> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts { requests: AtomicU64::new(0), answers: AtomicU64::new(u64::MAX) });
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, counts.clone()));
        Ok(Target { address, counts, _serving: serving })
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Answers so many requests, and none after them.
    pub(super) fn answer_only(&self, answers: u64) {
        self.counts.answers.store(answers, Ordering::SeqCst);
    }

    /// How many requests have arrived.
    pub(super) fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// Waits until more than `requests` have arrived.
    pub(super) async fn has_more_than(&self, requests: u64) -> anyhow::Result<()> {
        wait_until("requests arrive", PATIENCE, async || self.requests() > requests).await
    }
}

async fn serve(listener: TcpListener, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, counts.clone()));
    }
}

/// Answers the requests of one connection; they have no body.
async fn answer(stream: TcpStream, counts: Arc<Counts>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        if line == "\r\n" {
            let number = counts.requests.fetch_add(1, Ordering::SeqCst);
            if number < counts.answers.load(Ordering::SeqCst) {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
            }
        }
        line.clear();
    }
    Ok(())
}
