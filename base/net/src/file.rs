//! Files that nobody else may read, and the data directory that one process owns.
//!
//! [`write_private`] replaces a file as a whole: bytes go to a temporary name, are synced, renamed, and the directory
//! is synced, so that a crash leaves the old file or the new one. One writer a directory is assumed, which
//! [`DataDir::lock`] ensures.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Creates a directory and its missing parents with mode 0700. What exists keeps its mode.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Replaces `path` by a file with mode 0600 that holds `bytes`, durable and whole when this returns.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no path of a file", path.display())));
    };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".tmp");
    let temporary = dir.join(temporary);
    // Left behind by a crash, perhaps with another mode.
    match fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(dir)?.sync_all()
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process works in it.
    #[error(
        "the data directory {} is in use by process {holder}; stop that process, or choose another directory with --data-dir",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process id that stands in the lock, or `unknown`.
        holder: String,
    },
    /// Something else has its name, or that of a directory above it.
    #[error("{} is no directory; choose another data directory with --data-dir", path.display())]
    NoDirectory {
        /// What is in the way.
        path: PathBuf,
    },
    /// It cannot be created, read or locked.
    #[error("cannot use the data directory {}: {source}; choose another one with --data-dir", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A data directory that this process alone works in, as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    // Closing the file gives the lock up; the system does so when the process dies in any way.
    _lock: File,
}

impl DataDir {
    /// Creates `path` where it is missing and takes it for this process.
    pub fn lock(path: &Path) -> Result<DataDir, DataDirError> {
        let io = |source| DataDirError::Io { path: path.to_owned(), source };
        if let Some(path) = path.ancestors().find(|path| path.exists()).filter(|path| !path.is_dir()) {
            return Err(DataDirError::NoDirectory { path: path.to_owned() });
        }
        create_private_dir(path).map_err(io)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::InUse { path: path.to_owned(), holder: holder(&lock) });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        lock.set_len(0).map_err(io)?;
        lock.rewind().map_err(io)?;
        writeln!(lock, "{}", std::process::id()).map_err(io)?;
        Ok(DataDir { path: path.to_owned(), _lock: lock })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn holder(lock: &File) -> String {
    let mut text = String::new();
    // The holder may be between its truncation and its write: then its number is not known.
    match lock.take(32).read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok()) {
        Some(pid) => pid.to_string(),
        None => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn private_files_are_private_and_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        create_private_dir(&deep).unwrap();
        assert_eq!((mode(&deep), mode(deep.parent().unwrap())), (0o700, 0o700));
        let path = deep.join("key");
        // What a crash left behind is neither trusted nor in the way.
        fs::write(deep.join(".key.tmp"), "half").unwrap();
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o600));
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_no_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "kept").unwrap();
        for path in [file.clone(), file.join("below/it")] {
            let refused = DataDir::lock(&path).unwrap_err().to_string();
            let expected = format!("{} is no directory; choose another data directory with --data-dir", file.display());
            assert_eq!(refused, expected);
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    }

    #[test]
    fn a_data_directory_has_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let held = DataDir::lock(&path).unwrap();
        let refused = DataDir::lock(&path).unwrap_err().to_string();
        let pid = std::process::id();
        assert_eq!(
            refused,
            format!(
                "the data directory {} is in use by process {pid}; stop that process, or choose another directory with --data-dir",
                path.display()
            )
        );
        drop(held);
        assert_eq!(DataDir::lock(&path).unwrap().path(), path);
    }
}
