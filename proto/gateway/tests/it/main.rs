//! The definitions against the facts of the specification.

mod facts;
