//! Who is asking and what they may do.
//!
//! At the door a request's credentials become a [`Principal`]: a client certificate by [`x509`], a service account's
//! token by [`token`]; [`impersonation`] may replace it. The principal stands in the [`Caller`] that travels with the
//! request, and [`rbac`] says yes or no. All of that is pure: keys, objects and the time come from outside.
//!
//! [`verifier`] is for those whose clients come with tokens of other issuers, passwords or API keys.

mod caller;
pub mod impersonation;
pub mod rbac;
pub mod token;
pub mod verifier;
pub mod x509;

pub use caller::{Caller, Principal};
