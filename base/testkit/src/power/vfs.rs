//! The VFS: passes each call on to SQLite's `unix` VFS, and tells the model of what changes files.
//!
//! A file of ours is a [`File`] with the real file right behind it in the memory that SQLite allocates. The real VFS
//! syncs a directory when it first syncs a journal or write-ahead log that it has created, and when a deletion asks
//! for it; the model is told the same. Memory-mapped reads are left out, shared memory (the WAL index, which no loss
//! of power survives) is passed on.
#![expect(unsafe_code, reason = "SQLite's VFS is a C interface: tables of functions over raw pointers")]

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, ptr, slice};

use anyhow::Context as _;
use rusqlite::ffi;

use super::disk::{Ask, Disk, Fault, FileId};

/// What the VFS keeps; its `pAppData`.
struct Shim {
    disk: Arc<Disk>,
    real: *mut ffi::sqlite3_vfs,
}

/// An open file: SQLite knows the first field only.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    /// What the model is told; null for temporary files, which no loss of power survives.
    tracked: *mut Tracked,
}

struct Tracked {
    disk: Arc<Disk>,
    path: PathBuf,
    id: FileId,
    /// The next sync syncs the directory as well.
    sync_directory: bool,
}

/// Registers a VFS over the default one and returns its name.
pub(super) fn register(disk: Arc<Disk>) -> anyhow::Result<String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("power-loss-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let c_name = CString::new(name.as_str())?;
    // SAFETY: the name is a C string. The VFS that is found lives as long as the process.
    let real = unsafe { ffi::sqlite3_vfs_find(c"unix".as_ptr()) };
    // SAFETY: SQLite returns null or a VFS.
    let mut vfs = *unsafe { real.as_ref() }.context("SQLite has no VFS named unix")?;
    // Functions that are not replaced are the real ones. They look at no field but mxPathname, which is the same.
    vfs.szOsFile += c_int::try_from(size_of::<File>())?;
    vfs.zName = c_name.into_raw();
    vfs.pAppData = Box::into_raw(Box::new(Shim { disk, real })).cast();
    vfs.pNext = ptr::null_mut();
    vfs.xOpen = Some(open);
    vfs.xDelete = Some(delete);
    // SAFETY: a registered VFS must stay in its place for ever: it, its name and its data are leaked.
    let code = unsafe { ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0) };
    anyhow::ensure!(code == ffi::SQLITE_OK, "SQLite refuses the VFS: {code}");
    Ok(name)
}

/// The real file behind ours.
///
/// # Safety
/// `file` must be one that [`open`] was given.
unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: szOsFile makes SQLite allocate our File and then the real one. File's size is a multiple of its
    // alignment, that of a pointer, which is all that the real one needs.
    unsafe { file.cast::<File>().add(1).cast() }
}

/// What the model is told of a file, where it is told anything.
///
/// # Safety
/// `file` must be open, and SQLite uses it from one thread at a time.
unsafe fn tracked<'a>(file: *mut ffi::sqlite3_file) -> Option<&'a mut Tracked> {
    // SAFETY: `open` has filled in the field; nothing else refers to it during a call.
    unsafe { (*file.cast::<File>()).tracked.as_mut() }
}

/// The fault that hinders a change of this file.
///
/// # Safety
/// As for [`tracked`].
unsafe fn hindered(file: *mut ffi::sqlite3_file, ask: Ask) -> Option<Fault> {
    // SAFETY: as the caller says.
    unsafe { tracked(file) }.and_then(|own| own.disk.lock().hindered(ask))
}

unsafe fn path_of<'a>(name: *const c_char) -> Option<&'a Path> {
    // SAFETY: SQLite's names are null or C strings that outlive the call.
    (!name.is_null()).then(|| Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes())))
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: the VFS is ours, so its data is a Shim; the file's memory is ours to fill in.
    unsafe {
        let shim = &*(*vfs).pAppData.cast::<Shim>();
        let path = path_of(name).filter(|_| flags & ffi::SQLITE_OPEN_DELETEONCLOSE == 0);
        // A file that the model knows is not read: to close it would give up the locks that other connections hold.
        let known = path.is_some_and(|path| shim.disk.lock().knows(path));
        let before = path.filter(|_| !known).and_then(|path| fs::read(path).ok());
        // SQLite closes a file that it failed to open only when this is set.
        (*file).pMethods = ptr::null();
        let Some(real_open) = (*shim.real).xOpen else { return ffi::SQLITE_CANTOPEN };
        let code = real_open(shim.real, name, real(file), flags, out_flags);
        if code != ffi::SQLITE_OK {
            return code;
        }
        let tracked = path.map(|path| {
            const SYNCED_WITH_DIRECTORY: c_int =
                ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL | ffi::SQLITE_OPEN_WAL;
            let sync_directory = !known && before.is_none() && flags & SYNCED_WITH_DIRECTORY != 0;
            let id = shim.disk.lock().open(path, before);
            Box::into_raw(Box::new(Tracked { disk: shim.disk.clone(), path: path.to_owned(), id, sync_directory }))
        });
        (*file.cast::<File>()).tracked = tracked.unwrap_or(ptr::null_mut());
        (*file).pMethods = &METHODS;
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_directory: c_int) -> c_int {
    // SAFETY: as in `open`.
    unsafe {
        let shim = &*(*vfs).pAppData.cast::<Shim>();
        let Some(real_delete) = (*shim.real).xDelete else { return ffi::SQLITE_IOERR_DELETE };
        if shim.disk.lock().hindered(Ask::Other).is_some() {
            return ffi::SQLITE_IOERR_DELETE;
        }
        let code = real_delete(shim.real, name, sync_directory);
        if let (ffi::SQLITE_OK, Some(path)) = (code, path_of(name)) {
            let mut disk = shim.disk.lock();
            disk.delete(path);
            if sync_directory != 0 {
                disk.sync_directory_of(path);
            }
        }
        code
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the file is open; after this call it is not, and what it tracked is freed once.
    unsafe {
        let tracked = (*file.cast::<File>()).tracked;
        if !tracked.is_null() {
            drop(Box::from_raw(tracked));
        }
        let code = forward_close(file);
        (*file).pMethods = ptr::null();
        code
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, bytes: *const c_void, length: c_int, at: i64) -> c_int {
    // SAFETY: SQLite gives `length` readable bytes.
    unsafe {
        match hindered(file, Ask::Write) {
            None => {}
            Some(Fault::Io) => return ffi::SQLITE_IOERR_WRITE,
            Some(Fault::Full) => return ffi::SQLITE_FULL,
        }
        let code = forward_write(file, bytes, length, at);
        let (Ok(length), Ok(at)) = (usize::try_from(length), usize::try_from(at)) else { return code };
        if let (ffi::SQLITE_OK, Some(own)) = (code, tracked(file)) {
            own.disk.lock().write(own.id, &own.path, at, slice::from_raw_parts(bytes.cast(), length));
        }
        code
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    // SAFETY: the file is open.
    unsafe {
        if hindered(file, Ask::Other).is_some() {
            return ffi::SQLITE_IOERR_TRUNCATE;
        }
        let code = forward_truncate(file, length);
        if let (ffi::SQLITE_OK, Ok(length), Some(own)) = (code, usize::try_from(length), tracked(file)) {
            own.disk.lock().truncate(own.id, &own.path, length);
        }
        code
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: the file is open.
    unsafe {
        if hindered(file, Ask::Other).is_some() {
            if let Some(own) = tracked(file) {
                own.disk.lock().fail_sync(own.id);
            }
            return ffi::SQLITE_IOERR_FSYNC;
        }
        let code = forward_sync(file, flags);
        if let (ffi::SQLITE_OK, Some(own)) = (code, tracked(file)) {
            let mut disk = own.disk.lock();
            disk.sync(own.id, &own.path);
            if std::mem::take(&mut own.sync_directory) {
                disk.sync_directory_of(&own.path);
            }
        }
        code
    }
}

/// Functions that call the real file's method of the same name; what it lacks answers `$default`.
macro_rules! forward {
    ($($name:ident = $method:ident($($arg:ident: $ty:ty),*) -> $ret:ty, or $default:expr;)*) => {
        $(unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $arg: $ty)*) -> $ret {
            // SAFETY: the real file is open as long as ours is, and has methods as long as it is open.
            unsafe {
                let real = real(file);
                match (*real).pMethods.as_ref().and_then(|methods| methods.$method) {
                    Some(method) => method(real $(, $arg)*),
                    None => $default,
                }
            }
        })*
    };
}

forward! {
    forward_close = xClose() -> c_int, or ffi::SQLITE_OK;
    forward_read = xRead(out: *mut c_void, length: c_int, at: i64) -> c_int, or ffi::SQLITE_IOERR;
    forward_write = xWrite(bytes: *const c_void, length: c_int, at: i64) -> c_int, or ffi::SQLITE_IOERR;
    forward_truncate = xTruncate(length: i64) -> c_int, or ffi::SQLITE_IOERR;
    forward_sync = xSync(flags: c_int) -> c_int, or ffi::SQLITE_IOERR;
    file_size = xFileSize(out: *mut i64) -> c_int, or ffi::SQLITE_IOERR;
    lock = xLock(level: c_int) -> c_int, or ffi::SQLITE_IOERR;
    unlock = xUnlock(level: c_int) -> c_int, or ffi::SQLITE_IOERR;
    check_reserved_lock = xCheckReservedLock(out: *mut c_int) -> c_int, or ffi::SQLITE_IOERR;
    file_control = xFileControl(op: c_int, arg: *mut c_void) -> c_int, or ffi::SQLITE_NOTFOUND;
    sector_size = xSectorSize() -> c_int, or 4096;
    device_characteristics = xDeviceCharacteristics() -> c_int, or 0;
    shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int, or ffi::SQLITE_IOERR;
    shm_lock = xShmLock(offset: c_int, n: c_int, flags: c_int) -> c_int, or ffi::SQLITE_IOERR;
    shm_barrier = xShmBarrier() -> (), or ();
    shm_unmap = xShmUnmap(delete: c_int) -> c_int, or ffi::SQLITE_OK;
}

/// Version 2: with shared memory, without memory-mapped reads.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(forward_read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
