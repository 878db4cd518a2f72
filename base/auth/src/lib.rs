//! Who is asking and what they may do: the [`Caller`] of every request and the check of a role's rules.

mod caller;

pub use caller::{Caller, Principal};
