//! Who sends a request, by the token that it brings.

mod base64;
pub mod claims;
pub mod json;
pub mod jwk;
pub mod jws;

#[cfg(test)]
mod wycheproof;
