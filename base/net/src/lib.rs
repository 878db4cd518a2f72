//! The platform's network foundation: where it listens, how it serves HTTP, and the certificates it does so with.
//!
//! A role takes a listener from [`listen::bind`], a TLS configuration from [`pki::Pki`] and hands both to
//! [`serve::serve`], which owns each connection until it has drained. Files that hold secrets are written by [`file`].

pub mod crypto;
pub mod file;
pub mod listen;
pub mod pki;
pub mod serve;
