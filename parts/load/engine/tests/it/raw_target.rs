//! A target that speaks HTTP/2 frame by frame, and badly.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a target does with a connection.
#[derive(Clone, Debug)]
pub(crate) enum Habit {
    /// Says nothing.
    Mute,
    /// Allows whatever can be allowed, and reads nothing.
    Deaf,
    /// Tells its settings and leaves.
    Hasty,
    /// Sends these bytes once a request has come, and then the others for ever; reads all the while.
    Flood(Vec<u8>, Vec<u8>),
}

/// A target on loopback, until it is dropped.
pub(crate) struct RawTarget {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for RawTarget {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RawTarget {
    /// Starts one.
    pub(crate) async fn start(habit: Habit) -> RawTarget {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, habit.clone()));
            }
        });
        RawTarget { address, task }
    }
}

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    [&length, &[kind, flags, 0, 0, 0, stream][..], payload].concat()
}

async fn serve(mut stream: TcpStream, habit: Habit) -> Option<()> {
    if matches!(habit, Habit::Mute) {
        return std::future::pending().await;
    }
    // Windows of 2^31 - 1 for each stream.
    stream.write_all(&frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])).await.ok()?;
    match habit {
        Habit::Mute | Habit::Hasty => Some(()),
        Habit::Deaf => {
            // And for the connection, which has 65,535 already.
            stream.write_all(&frame(8, 0, 0, &[0x7f, 0xff, 0, 0])).await.ok()?;
            std::future::pending().await
        }
        Habit::Flood(first, others) => {
            let (mut reading, mut writing) = stream.into_split();
            skip_to_request(&mut reading).await?;
            tokio::spawn(async move { while reading.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {} });
            writing.write_all(&first).await.ok()?;
            let others = others.repeat(1 + 65_536 / others.len());
            loop {
                writing.write_all(&others).await.ok()?;
            }
        }
    }
}

/// Reads the preface and all frames up to the first HEADERS.
async fn skip_to_request(reading: &mut OwnedReadHalf) -> Option<()> {
    reading.read_exact(&mut [0; 24]).await.ok()?;
    loop {
        let mut head = [0; 9];
        reading.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        reading.read_exact(&mut payload).await.ok()?;
        if kind == 1 {
            return Some(());
        }
    }
}
