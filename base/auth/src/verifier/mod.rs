//! Who sends a request, by the token that it brings.

mod base64;
pub mod claims;
pub mod issuer;
pub mod json;
pub mod jwk;
pub mod jws;
mod recent;
pub mod refresh;

#[cfg(test)]
mod testkeys;
#[cfg(test)]
mod wycheproof;
