//! A TCP relay that misbehaves: it passes bytes on until it is told to stall, or cuts its connections off.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    Stall,
    Cut,
}

/// A relay in front of a server. Dropped, it cuts everything off.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    // Aborted when dropped.
    _accepting: JoinSet<()>,
}

impl Peer {
    /// Listens on a free port and relays to `upstream`.
    pub async fn in_front_of(upstream: SocketAddr) -> anyhow::Result<Peer> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("failed to listen")?;
        let address = listener.local_addr()?;
        let (mode, watched) = watch::channel(Mode::Pass);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(relay(client, upstream, watched.clone()));
            }
        });
        Ok(Peer { address, mode, _accepting: accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes nothing on any more, while connections stay open.
    pub fn stall(&self) {
        self.mode.send_replace(Mode::Stall);
    }

    /// Passes bytes on again, and accepts connections again.
    pub fn resume(&self) {
        self.mode.send_replace(Mode::Pass);
    }

    /// Resets all connections, and new ones as they come.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }
}

async fn relay(client: TcpStream, upstream: SocketAddr, mut mode: watch::Receiver<Mode>) {
    // Closing then resets the connection: the other side sees a cut, not an orderly end.
    let _ = client.set_zero_linger();
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let _ = server.set_zero_linger();
    let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
    let (up, down) = (mode.clone(), mode.clone());
    let pass = async { tokio::join!(copy(client_in, server_out, up), copy(server_in, client_out, down)) };
    tokio::select! {
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
        _ = pass => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if mode.wait_for(|mode| *mode == Mode::Pass).await.is_err() || to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::PATIENCE;

    /// A server that sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn ask(stream: &mut TcpStream) -> std::io::Result<u8> {
        stream.write_u8(7).await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn a_peer_passes_stalls_and_cuts() {
        let peer = Peer::in_front_of(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(peer.address()).await.unwrap();
        assert_eq!(timeout(PATIENCE, ask(&mut stream)).await.unwrap().unwrap(), 7);
        peer.stall();
        stream.write_u8(8).await.unwrap();
        assert!(timeout(Duration::from_millis(30), stream.read_u8()).await.is_err());
        peer.resume();
        assert_eq!(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap(), 8);
        peer.cut();
        assert!(timeout(PATIENCE, stream.read_u8()).await.unwrap().is_err());
        peer.resume();
        let mut stream = TcpStream::connect(peer.address()).await.unwrap();
        assert_eq!(timeout(PATIENCE, ask(&mut stream)).await.unwrap().unwrap(), 7);
    }
}
