//! Who sends a request, by the token that it brings.

mod base64;
pub mod json;
pub mod jwk;
