//! Exit codes: scripts rely on them.

/// It was done.
pub const OK: u8 = 0;
/// The answer is no, or it could not start: a port or directory is taken, an object is not there.
pub const FAILED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// The server cannot be reached.
pub const UNREACHABLE: u8 = 3;
/// The server knows who asks and does not allow it, or does not know who asks.
pub const DENIED: u8 = 4;
/// It took too long.
pub const TIMEOUT: u8 = 5;
