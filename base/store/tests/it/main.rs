//! What must hold whatever happens to the process, the disk and the power. Seeds are fixed; `PURLIN_SOAK=1` runs the
//! full counts.

mod bench;
mod faults;
mod kill;
mod migrations;
mod power;

/// How often something is tried: `few` in CI, `many` in a soak run.
fn count(few: u64, many: u64) -> u64 {
    if std::env::var_os("PURLIN_SOAK").is_some() { many } else { few }
}
