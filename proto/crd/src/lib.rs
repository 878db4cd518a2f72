//! CustomResourceDefinitions from Rust types: what every crate that defines kinds needs.
//!
//! The types are the definition. Their serde attributes say how an object is read and which defaults hold, their
//! schemars attributes what is accepted, their doc comments what `kubectl explain` shows. A crate of kinds
//!
//! 1. writes its types, with bounds from [`bounds`](mod@bounds) and lists and CEL rules by the transforms of [`schema`];
//! 2. makes a [`Kind`] of each, whose [`definition`](Kind::definition) an API server is given;
//! 3. writes down objects that have to be accepted and refused ([`cases`]), and lets [`findings`] judge them in a test.
//!
//! Everything is derived anew with each call; nothing here reads or keeps state. The schemas are structural as
//! apiextensions.k8s.io/v1 asks: every type in place, no references, no `null`.

pub mod bounds;
pub mod cases;
mod definition;
mod judge;
mod open_enum;
pub mod schema;

pub use definition::{Column, Kind, Names, Version};
pub use judge::findings;
