//! A disk that loses power: finds commits that were acknowledged before they were durable.
//!
//! `kill -9` cannot find a missing fsync, since the system's page cache survives it. Here SQLite works through a VFS
//! ([`vfs`], a shim over the default `unix` one) that tells a model ([`disk`]) of each write, truncation, sync and
//! deletion. [`PowerLoss::lose_power`] writes what the model says would be found after a loss of power into another
//! directory; the original goes on working, so that power can be lost at every acknowledgement of a run.
//!
//! ```text
//! let disk = PowerLoss::new();
//! let db = Connection::open_with_flags_and_vfs(path, OpenFlags::default(), disk.vfs_name())?;
//! ..commit; disk.acknowledge(1)..
//! disk.lose_power(into, Damage::Torn(seed))?; // then open what is there with an ordinary connection
//! ```

mod disk;
#[cfg(test)]
mod tests;
mod vfs;

use std::io;
use std::path::Path;
use std::sync::Arc;

use disk::Disk;

pub use disk::{Damage, Event, Fault};

/// A disk whose power can be lost, under a VFS of its own.
#[derive(Clone)]
pub struct PowerLoss {
    disk: Arc<Disk>,
    vfs: String,
}

impl PowerLoss {
    /// Registers a VFS, which stays until the process ends.
    pub fn new() -> anyhow::Result<Self> {
        let disk = Arc::<Disk>::default();
        let vfs = vfs::register(disk.clone())?;
        Ok(PowerLoss { disk, vfs })
    }

    /// The name to open databases with.
    pub fn vfs_name(&self) -> &str {
        &self.vfs
    }

    /// Notes that commit number `n` is acknowledged to whoever asked for it.
    pub fn acknowledge(&self, n: u64) {
        self.disk.lock().note(Event::Acknowledged(n));
    }

    /// Lets `changes` more writes, truncations, syncs and deletions succeed; the next ones meet `fault`.
    ///
    /// What a program does when its disk breaks can be seen by this; and a loss of power in the middle of something,
    /// when power is lost after it has broken.
    pub fn break_after(&self, changes: usize, fault: Fault) {
        self.disk.lock().breaks = Some((fault, changes));
    }

    /// Whether it has come to the fault.
    pub fn is_broken(&self) -> bool {
        matches!(self.disk.lock().breaks, Some((_, 0)))
    }

    /// Ends the fault.
    pub fn mend(&self) {
        self.disk.lock().breaks = None;
    }

    /// All that has happened so far, in order.
    pub fn events(&self) -> Vec<Event> {
        self.disk.lock().events.clone()
    }

    /// Writes the files that a loss of power at this moment would leave into the directory `into`.
    pub fn lose_power(&self, into: &Path, damage: Damage) -> io::Result<()> {
        // The image is computed under the lock, and so of one moment; it is written after that.
        let image = self.disk.lock().image(damage);
        for (path, content) in image {
            if let Some(name) = path.file_name() {
                std::fs::write(into.join(name), content)?;
            }
        }
        Ok(())
    }

    /// The first acknowledgement that came while the write-ahead log held bytes that had not been synced.
    /// Says something of databases in WAL mode only.
    pub fn early_acknowledgement(&self) -> Option<u64> {
        let mut unsynced = std::collections::HashSet::new();
        for event in &self.disk.lock().events {
            match event {
                Event::Write(path) | Event::Truncate(path) if is_log(path) => drop(unsynced.insert(path.clone())),
                Event::Sync(path) | Event::Delete(path) => drop(unsynced.remove(path)),
                Event::Acknowledged(n) if !unsynced.is_empty() => return Some(*n),
                _ => {}
            }
        }
        None
    }
}

fn is_log(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"-wal")
}
