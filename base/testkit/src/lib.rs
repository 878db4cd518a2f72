//! What tests of every crate need: places to work in, processes to kill, peers that misbehave, a disk that loses power.
//!
//! Nothing here decides a test by time: waits end with what they wait for, and their limit is only there to fail.

pub mod peer;
pub mod power;
pub mod process;

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// A wait that takes longer than this has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A directory for this user alone, removed when dropped.
pub fn temp_dir() -> anyhow::Result<tempfile::TempDir> {
    let private = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix("purlin-").permissions(private).tempdir().context("failed to create a directory")
}

/// The same in memory, where the system has a place for that: for tests that sync more than they keep.
pub fn memory_dir() -> anyhow::Result<tempfile::TempDir> {
    let private = std::fs::Permissions::from_mode(0o700);
    let made = tempfile::Builder::new().prefix("purlin-").permissions(private).tempdir_in("/dev/shm");
    made.or_else(|_| temp_dir())
}

/// Loopback ports that were free a moment ago, all different. Who can listen on port 0 should do that instead.
pub fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port")?;
        *port = listener.local_addr()?.port();
        // Held until all are found, so that none is found twice.
        listeners.push(listener);
    }
    Ok(ports)
}

/// Asks `check` again and again until it says yes; `what` stands in the error when it does not within `limit`.
pub async fn wait_until(what: &str, limit: Duration, mut check: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    while !check().await {
        anyhow::ensure!(Instant::now() < end, "waited {limit:?} in vain until {what}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn places_are_private_and_ports_differ() {
        for dir in [temp_dir().unwrap(), memory_dir().unwrap()] {
            assert_eq!(std::fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
        }
        let ports: HashSet<u16> = free_ports::<20>().unwrap().into();
        assert!(ports.len() == 20 && !ports.contains(&0));
    }

    #[tokio::test]
    async fn waits_end_with_what_they_wait_for_or_say_what_it_was() {
        let mut asked = 0;
        let third = async || {
            asked += 1;
            asked == 3
        };
        wait_until("asked three times", PATIENCE, third).await.unwrap();
        let failed = wait_until("pigs fly", Duration::ZERO, async || false).await.unwrap_err();
        assert_eq!(failed.to_string(), "waited 0ns in vain until pigs fly");
    }
}
