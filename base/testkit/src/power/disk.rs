//! What a disk holds for certain, and what only the page cache holds.
//!
//! A file is its content at the last sync and the operations since then. A directory is the same: entries that a sync
//! of the directory has made durable, and those that are there now. Operations that were not synced may reach the disk
//! in any order, in part, or not at all; a write changes no byte outside of its range (SQLite's power-safe overwrite).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Disks write sectors of this size as a whole.
const SECTOR: usize = 512;

/// What becomes of operations that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// None reached the disk.
    Dropped,
    /// All reached the disk.
    Kept,
    /// Each reached the disk, or did not, or did in part, as this seed says.
    Torn(u64),
}

/// What happened to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes were written.
    Write(PathBuf),
    /// It was cut to a length.
    Truncate(PathBuf),
    /// It was synced.
    Sync(PathBuf),
    /// A directory was synced.
    SyncDirectory(PathBuf),
    /// It was deleted.
    Delete(PathBuf),
    /// A commit was acknowledged; not a file's.
    Acknowledged(u64),
}

/// What a broken disk answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing can be changed or synced: an I/O error.
    Io,
    /// Nothing can be written: no space is left. Truncations, syncs and deletions succeed.
    Full,
}

/// What is asked of the disk, as far as a fault cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Write,
    Other,
}

#[derive(Default)]
pub(super) struct Disk(Mutex<State>);

impl Disk {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked while it held the lock has failed already.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Op {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Op>,
}

/// Names a file whatever its directory entry is.
pub(super) type FileId = usize;

#[derive(Default)]
pub(super) struct State {
    files: Vec<File>,
    entries: BTreeMap<PathBuf, FileId>,
    durable_entries: BTreeMap<PathBuf, FileId>,
    pub(super) events: Vec<Event>,
    /// The fault, and how many more changes succeed before it.
    pub(super) breaks: Option<(Fault, usize)>,
}

impl State {
    /// To be asked before each change: the fault that hinders it, where there is one.
    pub(super) fn hindered(&mut self, ask: Ask) -> Option<Fault> {
        match &mut self.breaks {
            None => None,
            Some((Fault::Full, 0)) if ask != Ask::Write => None,
            Some((fault, 0)) => Some(*fault),
            Some((_, left)) => {
                *left -= 1;
                None
            }
        }
    }

    pub(super) fn note(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Whether there is a file of that name, as far as the model has seen.
    pub(super) fn knows(&self, path: &Path) -> bool {
        self.entries.contains_key(path)
    }

    /// A file is opened: one that was there before the model saw it (`found`) is durable as it is.
    pub(super) fn open(&mut self, path: &Path, found: Option<Vec<u8>>) -> FileId {
        if let Some(id) = self.entries.get(path) {
            return *id;
        }
        let id = self.files.len();
        if found.is_some() {
            self.durable_entries.insert(path.to_owned(), id);
        }
        self.files.push(File { durable: found.unwrap_or_default(), pending: Vec::new() });
        self.entries.insert(path.to_owned(), id);
        id
    }

    pub(super) fn write(&mut self, id: FileId, path: &Path, at: usize, bytes: &[u8]) {
        self.pend(id, Op::Write { at, bytes: bytes.to_vec() });
        self.note(Event::Write(path.to_owned()));
    }

    pub(super) fn truncate(&mut self, id: FileId, path: &Path, length: usize) {
        self.pend(id, Op::Truncate(length));
        self.note(Event::Truncate(path.to_owned()));
    }

    fn pend(&mut self, id: FileId, op: Op) {
        if let Some(file) = self.files.get_mut(id) {
            file.pending.push(op);
        }
    }

    pub(super) fn sync(&mut self, id: FileId, path: &Path) {
        if let Some(file) = self.files.get_mut(id) {
            for op in file.pending.drain(..) {
                apply(&mut file.durable, &op, usize::MAX);
            }
        }
        self.note(Event::Sync(path.to_owned()));
    }

    /// A sync failed. As on Linux, what was written then counts as clean: it is still read from the page cache, but no
    /// later sync brings it to the disk unless it is written again.
    pub(super) fn fail_sync(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(id) {
            file.pending.retain(|op| matches!(op, Op::Truncate(_)));
        }
    }

    pub(super) fn delete(&mut self, path: &Path) {
        self.entries.remove(path);
        self.note(Event::Delete(path.to_owned()));
    }

    pub(super) fn sync_directory_of(&mut self, path: &Path) {
        let directory = path.parent();
        self.durable_entries.retain(|path, _| path.parent() != directory);
        let now = self.entries.iter().filter(|(path, _)| path.parent() == directory);
        self.durable_entries.extend(now.map(|(path, id)| (path.clone(), *id)));
        self.note(Event::SyncDirectory(directory.unwrap_or(path).to_owned()));
    }

    /// The files that are found after a loss of power.
    pub(super) fn image(&self, damage: Damage) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut fate = Fate::of(damage);
        let mut image = BTreeMap::new();
        let paths: BTreeSet<&PathBuf> = self.entries.keys().chain(self.durable_entries.keys()).collect();
        for path in paths {
            let (now, durable) = (self.entries.get(path), self.durable_entries.get(path));
            let entry = if now == durable || !fate.reaches() { durable } else { now };
            let Some(file) = entry.and_then(|id| self.files.get(*id)) else { continue };
            let mut content = file.durable.clone();
            for op in &file.pending {
                let length = match op {
                    Op::Write { bytes, .. } => bytes.len(),
                    Op::Truncate(_) => 0,
                };
                if let Some(sectors) = fate.of_op(length) {
                    apply(&mut content, op, sectors);
                }
            }
            image.insert(path.clone(), content);
        }
        image
    }
}

/// Does the first `sectors` sectors of an operation.
fn apply(content: &mut Vec<u8>, op: &Op, sectors: usize) {
    match op {
        Op::Truncate(length) => content.resize(*length, 0),
        Op::Write { at, bytes } => {
            let bytes = &bytes[..bytes.len().min(sectors.saturating_mul(SECTOR))];
            let end = at + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*at..end].copy_from_slice(bytes);
        }
    }
}

enum Fate {
    Always(bool),
    Random(Box<StdRng>),
}

impl Fate {
    fn of(damage: Damage) -> Fate {
        match damage {
            Damage::Dropped => Fate::Always(false),
            Damage::Kept => Fate::Always(true),
            Damage::Torn(seed) => Fate::Random(Box::new(StdRng::seed_from_u64(seed))),
        }
    }

    fn reaches(&mut self) -> bool {
        match self {
            Fate::Always(reaches) => *reaches,
            Fate::Random(random) => random.random(),
        }
    }

    /// How many sectors of an operation on `length` bytes reach the disk; `None` when it does not happen.
    fn of_op(&mut self, length: usize) -> Option<usize> {
        if !self.reaches() {
            return None;
        }
        match self {
            Fate::Random(random) => {
                let whole = random.random();
                Some(if whole { usize::MAX } else { random.random_range(0..=length / SECTOR) })
            }
            Fate::Always(_) => Some(usize::MAX),
        }
    }
}
